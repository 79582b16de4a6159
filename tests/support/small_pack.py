"""A pack small enough to work out by hand."""

import numpy as np

from vagus_server.packs.pack import ConceptInfo, Manifest, ModelInfo, Pack

NAMES = ("calm", "desperate", "happy", "sad")
SITES, HIDDEN = 4, 8
NORMS = (2.0, 4.0, 8.0, 16.0)


def small_pack(
    seed: int = 0, sites: int = SITES, hidden: int = HIDDEN, readout_site: int = 2
) -> Pack:
    """Four concepts; every array drawn from the seed but the residual norms."""
    draw = np.random.default_rng(seed)
    shape = (len(NAMES), sites)
    manifest = Manifest(
        schema_version=1,
        name="small",
        version="1",
        license="Apache-2.0",
        created="2026-11-24T00:00:00Z",
        model=ModelInfo("tiny", "0" * 32, hidden, sites),
        concepts=[ConceptInfo(name, name) for name in NAMES],
        readout_site=readout_site,
        steering_site=1,
        tensors_sha256="ab" * 32,
        provenance={},
    )
    return Pack(
        manifest,
        {
            "vectors": draw.normal(size=(*shape, hidden)).astype(np.float16),
            "residual_norms": np.array(NORMS[:sites], dtype=np.float32),
            "reference_mean": draw.normal(size=shape).astype(np.float32),
            "reference_std": draw.uniform(0.5, 2, size=shape).astype(np.float32),
        },
    )
