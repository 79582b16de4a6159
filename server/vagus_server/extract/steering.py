"""Chooses the steering site: the best of some candidates, at the greatest strength they bear."""

from dataclasses import dataclass, replace

import numpy as np

from vagus_server.extract import provenance, sweep
from vagus_server.extract.bar import progress
from vagus_server.extract.offline import OfflineEngine

#: Random directions that are steered with beside the concepts.
RANDOM = sweep.RANDOM
#: The shallowest candidate, as a share of the depth.
_SHALLOWEST = 0.3
#: Sites past the readout site that are measured for the record; none of them is chosen.
_DEEPER = 3


@dataclass(frozen=True)
class Readouts:
    """How replies are read.

    Args:
        names: of the concepts.
        units: their unit directions, [concepts, sites, hidden].
        deviations: reference deviation of each, [concepts, sites].
        site: where they are read.
    """

    names: list[str]
    units: np.ndarray
    deviations: np.ndarray
    site: int


@dataclass(frozen=True)
class Choice:
    """The site, and what the manifest tells of it."""

    site: int
    facts: dict[str, str]


def candidates(sites: int, readout_site: int) -> list[int]:
    """The sites of a sweep where none are given: the middle of the model, up to the readout.

    A few deeper ones are among them, for the record.
    """
    first = min(int(_SHALLOWEST * sites), max(readout_site - _DEEPER, 0))
    return list(range(first, min(readout_site + _DEEPER + 1, sites)))


def choose(
    engine: OfflineEngine,
    prompts: list[str],
    readouts: Readouts,
    norms: np.ndarray,
    given: tuple[int, ...],
    seed: int,
) -> Choice:
    """Takes the one site that is given, or sweeps.

    Args:
        engine: its vector bank holds the concepts from row 1 on, and has room for RANDOM more.
        prompts: user turns that ask for nothing emotional.
        readouts: how replies are read.
        norms: mean residual norm per site.
        given: candidates; `candidates` where empty.
        seed: of the random directions.

    Raises:
        ValueError: no candidate is in front of the readout, or the text falls apart at all that
            are, however weak the steering.
    """
    if len(given) == 1:
        return Choice(given[0], {"steering_site_chosen": "given, not swept"})
    sites, site = engine.plugin.sites, readouts.site
    swept = sorted(set(given)) or candidates(sites, site)
    if swept[0] > site:
        raise ValueError(f"no steering site is in front of the readout, at site {site}")
    names, first = readouts.names, len(readouts.names) + 1
    chosen = [names.index(name) for name in sweep.CONCEPTS if name in names]
    chosen = chosen or list(range(min(len(names), len(sweep.CONCEPTS))))
    rng = np.random.default_rng(seed)
    engine.put_vectors(first, rng.standard_normal((RANDOM, sites, engine.plugin.hidden_size)))
    plain = sweep.Steered(
        names=[names[c] for c in chosen],
        vectors=[*(c + 1 for c in chosen), *range(first, first + RANDOM)],
        units=readouts.units[chosen, site],
        deviations=readouts.deviations[chosen, site],
        norms=norms,
        readout_site=site,
        strength=0.0,
    )
    total = len(prompts) * (1 + len(swept) * len(plain.vectors))
    bounds = sweep.Bounds(last_site=site)
    for strength in sweep.STRENGTHS:
        steered = replace(plain, strength=strength)
        with progress(f"steering sweep at {strength}", total) as bar:
            points = sweep.sweep(engine, prompts, steered, swept, bar)
        if (best := sweep.best(points, bounds)) is not None:
            return Choice(best, provenance.sweep_facts(points, bounds, strength))
    raise ValueError("no candidate site keeps the text coherent, however weak the steering")
