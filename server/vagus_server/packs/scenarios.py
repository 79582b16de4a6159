"""Reads short situations of another register than the stories: does the readout carry over?

After the paper's implicit scenarios (section 6.1): a user says something that implies a concept
and does not name it. Each text is read as plain text, mean over its tokens.
"""

import json

import numpy as np

from vagus_server.packs.heldout import accuracy


def assess_scenarios(
    means: np.ndarray,
    concept: np.ndarray,
    units: np.ndarray,
    reference_mean: np.ndarray,
    reference_std: np.ndarray,
    site: int,
) -> dict[str, str]:
    """Facts for the provenance: how often a scenario's own concept reads highest.

    Args:
        means: [scenarios, sites, hidden].
        concept: index of each scenario's concept, [scenarios].
        units: unit vectors, [concepts, sites, hidden].
        reference_mean: of projections, [concepts, sites].
        reference_std: likewise.
        site: the readout site.
    """
    projections = np.einsum("nsh,csh->nsc", means, units, optimize=True)
    scores = {
        # As a server reads them, and as the paper's figure needs them: some probes are high
        # everywhere, so each is centred on its mean over the scenarios.
        "z_scores": (projections - reference_mean.T) / reference_std.T,
        "centred_on_scenarios": projections - projections.mean(axis=0),
    }
    facts = {"scenarios": f"{len(means)} short texts of another register, not in the stories"}
    for name, score in scores.items():
        own = np.take_along_axis(score, concept[:, None, None], axis=2)
        ranks = (score > own).sum(axis=2)
        top1, top5 = accuracy(ranks, 1), accuracy(ranks, 5)
        facts[f"scenarios_{name}"] = (
            f"top-1 {100 * top1[site]:.0f} %, top-5 {100 * top5[site]:.0f} %, "
            f"mean rank {1 + ranks[:, site].mean():.1f} of {units.shape[0]}"
        )
        facts[f"scenarios_{name}_top1_by_site"] = json.dumps([round(float(x), 2) for x in top1])
    return facts
