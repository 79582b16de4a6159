"""The held-out figures of a corpus on a model, and the readout site that they choose."""

import json
from dataclasses import dataclass

import numpy as np

from vagus_server.extract.heldout import (
    Means,
    accuracy,
    bootstrap,
    held_out_ranks,
    nested_accuracy,
    random_direction_ranks,
    shuffled,
)

_NULLS = 20


@dataclass(frozen=True)
class Stories:
    """Story means with their labels; one row per story."""

    means: Means
    #: [stories], 0 .. concepts-1.
    concept: np.ndarray
    #: [stories], any integers.
    topic: np.ndarray


@dataclass(frozen=True)
class Quality:
    """What leaving topics out found, at the readout site unless a field says otherwise."""

    readout_site: int
    #: Per concept, over its held-out stories.
    top1: np.ndarray
    top5: np.ndarray
    #: Facts for the manifest's provenance.
    facts: dict[str, str]


def assess(stories: Stories, names: list[str], components: list[np.ndarray], seed: int) -> Quality:
    """Sweeps the sites by held-out top-1 and describes the best.

    Args:
        stories: what is scored.
        names: concepts, in the order of the labels.
        components: the neutral components that the recipe removes.
        seed: of the bootstraps and nulls.
    """
    means, concept, topic = stories.means, stories.concept, stories.topic
    rng = np.random.default_rng(seed)
    ranks = held_out_ranks(means, concept, topic, components)
    by_site = accuracy(ranks, 1)
    site = best_site(by_site)
    own = ranks[:, site]
    label_null = [
        _top1(held_out_ranks(means, shuffled(concept, topic, rng), topic, components, [site]))
        for _ in range(_NULLS)
    ]
    random_null = [
        _top1(random_direction_ranks(means, concept, topic, rng, [site])) for _ in range(_NULLS)
    ]
    facts = {
        "held_out_method": (
            f"leave one of {len(set(topic.tolist()))} topics out, {len(names)} concepts, "
            f"{len(concept)} stories; intervals are 95 %, bootstrapped over topics"
        ),
        "held_out_top1": _with_interval(own, topic, 1, rng),
        "held_out_top5": _with_interval(own, topic, 5, rng),
        "held_out_top1_site_chosen_without_the_topic": _percent(nested_accuracy(ranks, topic, 1)),
        "held_out_top1_by_site": _table(by_site),
        "held_out_top5_by_site": _table(accuracy(ranks, 5)),
        "null_top1_labels_shuffled": _null(label_null),
        "null_top1_random_directions": _null(random_null),
    }
    per_concept = [
        np.array([(own[concept == c] < top).mean() for c in range(len(names))]) for top in (1, 5)
    ]
    return Quality(site, per_concept[0], per_concept[1], facts)


def best_site(shares: np.ndarray) -> int:
    """The site with the greatest share; of equals, as few texts have, that at two thirds of the
    depth or nearest to it (where the paper reads)."""
    equal = np.flatnonzero(shares == shares.max())
    return int(equal[np.abs(equal - 2 / 3 * (len(shares) - 1)).argmin()])


def _top1(ranks: np.ndarray) -> float:
    return float(accuracy(ranks, 1)[0])


def _table(shares: np.ndarray) -> str:
    return json.dumps([round(float(share), 3) for share in shares])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _with_interval(ranks: np.ndarray, topic: np.ndarray, top: int, rng: np.random.Generator) -> str:
    low, high = bootstrap(ranks, topic, top, rng)
    return f"{_percent(float((ranks < top).mean()))} [{100 * low:.1f}, {100 * high:.1f}]"


def _null(shares: list[float]) -> str:
    return f"mean {_percent(float(np.mean(shares)))}, greatest {_percent(max(shares))} of {_NULLS}"
