"""The small pack as a folder, with a collapse dose."""

from pathlib import Path

import msgspec
import numpy as np

from support.small_pack import small_pack
from vagus_server.packs.pack import Pack
from vagus_server.packs.write import write_pack


def write_small_pack(folder: Path) -> Pack:
    """Writes it; calm collapses at site 1 at 0.4."""
    pack = small_pack()
    concepts = [
        msgspec.structs.replace(c, collapse_dose={1: 0.4} if c.name == "calm" else {})
        for c in pack.manifest.concepts
    ]
    tensors = {
        "vectors": pack.vectors,
        "residual_norms": np.array(pack.residual_norms),
        "reference_mean": pack.reference_mean,
        "reference_std": pack.reference_std,
    }
    return write_pack(folder, msgspec.structs.replace(pack.manifest, concepts=concepts), tensors)
