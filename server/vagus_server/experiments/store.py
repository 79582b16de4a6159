"""Puts collapse doses into a pack's manifest."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from vagus_server.experiments.dose import Settings
from vagus_server.experiments.dose_report import Finding
from vagus_server.packs.pack import Manifest, Pack, PackError
from vagus_server.packs.write import write_manifest


def check_target(folder: Path, digest: str, controls_of: str, settings: Settings) -> None:
    """Whether a pack can take the doses that will be measured.

    Args:
        folder: of the pack.
        digest: of the pack that is served.
        controls_of: of the pack that the served one adds random directions to, or "".
        settings: of what will be measured.

    Raises:
        PackError: the pack cannot be loaded, is not the one that is served, or lacks a concept.
        ValueError: a strength is no dose.
    """
    pack = _load(folder, digest, controls_of)
    if absent := [name for name in settings.concepts if name not in pack.index]:
        raise PackError(f"{pack.name} has no {', '.join(absent)} to store a collapse dose of")
    if not all(0 < strength < float("inf") for strength in settings.strengths):
        raise ValueError("with --store, --strengths must be finite and above 0")


def store_collapse_doses(
    folder: Path, found: Sequence[Finding], digest: str, controls_of: str
) -> int:
    """Writes what was found at the measured sites; other sites keep what they had.

    Args:
        folder: as in `check_target`, as are digest and controls_of.
        found: by the dose experiment.

    Returns:
        How many doses the manifest now has of the concepts measured.

    Raises:
        PackError: the pack cannot be loaded, is not the one that was measured, or cannot have
            such a dose; it stays as it was.
    """
    pack = _load(folder, digest, controls_of)
    doses = {concept.name: dict(concept.collapse_dose) for concept in pack.manifest.concepts}
    for finding in found:
        doses[finding.concept].pop(finding.site, None)
        if finding.collapse_dose is not None:
            doses[finding.concept][finding.site] = finding.collapse_dose
    concepts = [
        msgspec.structs.replace(concept, collapse_dose=dict(sorted(doses[concept.name].items())))
        for concept in pack.manifest.concepts
    ]
    manifest: Manifest = msgspec.structs.replace(pack.manifest, concepts=concepts)
    write_manifest(folder, manifest)
    return sum(len(doses[name]) for name in {finding.concept for finding in found})


def _load(folder: Path, digest: str, controls_of: str) -> Pack:
    pack = Pack.load(folder)
    if pack.digest not in (digest, controls_of):
        raise PackError(f"{pack.name} is not the pack that is served: it has another digest")
    return pack
