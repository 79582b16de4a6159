"""Puts collapse doses into a pack's manifest."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from vagus_server.experiments.dose_report import Finding
from vagus_server.packs.pack import Manifest, Pack, PackError
from vagus_server.packs.write import write_manifest


def store_collapse_doses(
    folder: Path, found: Sequence[Finding], digest: str, controls_of: str
) -> int:
    """Writes what was found at the measured sites; other sites keep what they had.

    Args:
        folder: of the pack.
        found: by the dose experiment.
        digest: of the pack that was served.
        controls_of: of the pack that the served one adds random directions to, or "".

    Returns:
        How many doses the manifest now has of the concepts measured.

    Raises:
        PackError: the pack cannot be loaded, or is not the one that was measured.
    """
    pack = Pack.load(folder)
    if pack.digest not in (digest, controls_of):
        raise PackError(f"{pack.name} is not the pack that was measured: it has another digest")
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
    Pack.load(folder)
    return sum(len(doses[name]) for name in {finding.concept for finding in found})
