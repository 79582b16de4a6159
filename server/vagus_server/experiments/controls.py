"""A control pack: a pack with random directions beside its concepts, as a null for experiments."""

from pathlib import Path

import msgspec
import numpy as np

from vagus_server.experiments.session import CONTROL_PREFIX
from vagus_server.packs.pack import ConceptInfo, Pack
from vagus_server.packs.write import write_pack


def write_control_pack(source: Path, out: Path, count: int, seed: int) -> Pack:
    """Writes a pack with `count` further concepts named random-000, random-001, ...

    At each site a control is a Gaussian direction of the concepts' median length. Its reference
    statistics are the means of the concepts': nobody has measured the reference traffic along it,
    so its z-scores are on the concepts' scale but not centred.

    Returns:
        The pack as loaded from `out`.

    Raises:
        PackError: the source cannot be loaded, or what was written cannot.
        ValueError: the source has controls already, or `count` is not above 0.
    """
    pack = Pack.load(source)
    if count < 1:
        raise ValueError("a control pack needs at least one control")
    if any(name.startswith(CONTROL_PREFIX) for name in pack.names):
        raise ValueError(f"{pack.name} has random directions already")
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((count, *pack.vectors.shape[1:]))
    lengths = np.median(np.linalg.norm(pack.vectors.astype(np.float64), axis=2), axis=0)
    drawn *= (lengths / np.linalg.norm(drawn, axis=2))[:, :, None]
    controls = [
        ConceptInfo(
            name=f"{CONTROL_PREFIX}{i:03d}",
            description=(
                f"control: a random direction (seed {seed}) of the concepts' median length; it "
                "stands for nothing, and its reference statistics are the concepts' means"
            ),
        )
        for i in range(count)
    ]
    manifest = msgspec.structs.replace(
        pack.manifest,
        name=f"{pack.name}-controls",
        # Experiments measure beyond the doses that an earlier one found to be too much.
        concepts=[
            *(msgspec.structs.replace(c, collapse_dose={}) for c in pack.manifest.concepts),
            *controls,
        ],
        provenance={
            **pack.manifest.provenance,
            "controls": f"{count} random directions, seed {seed}; for experiments only",
            "controls_of": pack.digest,
        },
    )
    tensors = {
        "vectors": np.concatenate([pack.vectors, drawn]),
        "residual_norms": np.array(pack.residual_norms),
        "reference_mean": _with_mean(pack.reference_mean, count),
        "reference_std": _with_mean(pack.reference_std, count),
    }
    return write_pack(out, manifest, tensors)


def _with_mean(rows: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([rows, np.repeat(rows.mean(axis=0, keepdims=True), count, axis=0)])
