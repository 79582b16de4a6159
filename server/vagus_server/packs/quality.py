"""The held-out figures of a corpus on a model, and the readout site that they choose."""

import json
from dataclasses import dataclass

import numpy as np

from vagus_server.packs.extract import covariance_of, neutral_components
from vagus_server.packs.heldout import (
    accuracy,
    bootstrap,
    held_out_ranks,
    nested_accuracy,
    random_direction_ranks,
    shuffled,
)
from vagus_server.packs.lexical import word_ranks

SHARES = (0.0, 0.3, 0.5, 0.7)
_NULLS = 20


@dataclass(frozen=True)
class Stories:
    """Story means with their labels; one row per story."""

    means: np.ndarray
    texts: list[str]
    concept: np.ndarray
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


def assess(
    stories: Stories,
    names: list[str],
    components: list[np.ndarray],
    seed: int,
) -> Quality:
    """Sweeps the sites by held-out top-1 and describes the best.

    Args:
        names: concepts, in the order of the labels.
        components: the neutral components that the recipe removes.
    """
    means, concept, topic = stories.means, stories.concept, stories.topic
    rng = np.random.default_rng(seed)
    ranks = held_out_ranks(means, concept, topic, components)
    by_site = accuracy(ranks, 1)
    site = int(by_site.argmax())
    own = ranks[:, site]
    shuffles = [shuffled(concept, topic, rng) for _ in range(_NULLS)]
    there = means[:, site : site + 1], components[site : site + 1]
    label_null = [
        float(accuracy(held_out_ranks(there[0], labels, topic, there[1]), 1)[0])
        for labels in shuffles
    ]
    random_null = [
        float(accuracy(random_direction_ranks(there[0], concept, topic, rng), 1)[0])
        for _ in range(_NULLS)
    ]
    words = word_ranks(stories.texts, concept, topic)
    facts = {
        "held_out_method": (
            f"leave one of {len(set(topic.tolist()))} topics out, {len(names)} concepts, "
            f"{len(concept)} stories; intervals are 95 %, bootstrapped over topics"
        ),
        "held_out_top1": _with_interval(own, topic, 1, rng),
        "held_out_top5": _with_interval(own, topic, 5, rng),
        "held_out_top1_site_chosen_without_the_topic": _percent(
            nested_accuracy(means, concept, topic, components, 1)
        ),
        "held_out_top1_by_site": json.dumps([round(float(share), 3) for share in by_site]),
        "held_out_top5_by_site": json.dumps(
            [round(float(share), 3) for share in accuracy(ranks, 5)]
        ),
        "null_top1_labels_shuffled": _null(label_null),
        "null_top1_random_directions": _null(random_null),
        "words_alone_top1": _with_interval(words, topic, 1, rng),
        "words_alone_top5": _with_interval(words, topic, 5, rng),
        "concepts_read_right_in_at_most_half": json.dumps(_weak(own, concept, names)),
    }
    per_concept = [
        np.array([(own[concept == c] < top).mean() for c in range(len(names))]) for top in (1, 5)
    ]
    return Quality(site, per_concept[0], per_concept[1], facts)


def compare_denoising(
    stories: Stories, neutral_means: np.ndarray, neutral_covariance: np.ndarray
) -> str:
    """Best held-out top-1 for each way to find neutral components, as JSON.

    Args:
        neutral_means: [texts, sites, hidden].
        neutral_covariance: over tokens, [sites, hidden, hidden].

    Returns:
        {"token 0.5": [site, top-1, components there], ...}.
    """
    table = {}
    for kind, matrix in (("token", neutral_covariance), ("text", covariance_of(neutral_means))):
        for share in SHARES:
            components = neutral_components(matrix, share)
            ranks = held_out_ranks(stories.means, stories.concept, stories.topic, components)
            by_site = accuracy(ranks, 1)
            site = int(by_site.argmax())
            table[f"{kind} {share}"] = [site, round(float(by_site[site]), 3), len(components[site])]
    return json.dumps(table)


def _weak(ranks: np.ndarray, concept: np.ndarray, names: list[str]) -> dict[str, float]:
    """The concepts that are named at first try in at most half of their held-out stories."""
    shares = {name: float((ranks[concept == c] < 1).mean()) for c, name in enumerate(names)}
    return {name: round(share, 2) for name, share in shares.items() if share <= 0.5}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _with_interval(ranks: np.ndarray, topic: np.ndarray, top: int, rng: np.random.Generator) -> str:
    low, high = bootstrap(ranks, topic, top, rng)
    return f"{_percent(float((ranks < top).mean()))} [{100 * low:.1f}, {100 * high:.1f}]"


def _null(shares: list[float]) -> str:
    return f"mean {_percent(float(np.mean(shares)))}, greatest {_percent(max(shares))} of {_NULLS}"
