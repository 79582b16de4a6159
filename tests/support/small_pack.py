"""A pack small enough to work out by hand."""

import numpy as np

from vagus_server.packs.pack import ConceptInfo, Manifest, ModelInfo, Pack

NAMES = ("calm", "desperate", "happy", "sad")
SITES, HIDDEN = 4, 8
NORMS = (2.0, 4.0, 8.0, 16.0)


def small_pack(seed: int = 0) -> Pack:
    """Four concepts at four sites; every array drawn from the seed but the residual norms."""
    draw = np.random.default_rng(seed)
    shape = (len(NAMES), SITES)
    manifest = Manifest(
        schema_version=1,
        name="small",
        version="1",
        license="Apache-2.0",
        created="2026-11-24T00:00:00Z",
        model=ModelInfo("tiny", "0" * 32, HIDDEN, SITES),
        concepts=[ConceptInfo(name, name) for name in NAMES],
        readout_site=2,
        steering_site=1,
        tensors_sha256="ab" * 32,
        provenance={},
    )
    return Pack(
        manifest,
        {
            "vectors": draw.normal(size=(*shape, HIDDEN)).astype(np.float16),
            "residual_norms": np.array(NORMS, dtype=np.float32),
            "reference_mean": draw.normal(size=shape).astype(np.float32),
            "reference_std": draw.uniform(0.5, 2, size=shape).astype(np.float32),
        },
    )
