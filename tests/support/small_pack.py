"""A pack small enough to work out by hand."""

import asyncio
from collections.abc import Sequence

import numpy as np

from vagus_server.concepts.concept import pack_concepts
from vagus_server.concepts.registry import Registry
from vagus_server.concepts.store import Store, Stored
from vagus_server.engine.bank import VectorBank
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


def small_registry(
    pack: Pack, *, rows: int = 64, store: Store | None = None, stored: Sequence[Stored] = ()
) -> Registry:
    """A registry whose bank writes to nothing; `stored` must not need more than one loop."""

    async def write(row: int, data: bytes) -> None:
        await asyncio.sleep(0)

    concepts = pack_concepts(pack)
    bank = VectorBank(rows, write)

    async def hold() -> None:
        for vectors in [*(c.vectors for c in concepts.values()), *(s[1].vectors for s in stored)]:
            await bank.acquire(vectors)

    asyncio.run(hold())
    return Registry(pack, concepts, bank, store, stored)
