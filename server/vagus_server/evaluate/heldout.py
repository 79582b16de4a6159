"""Check 1: stories of topics that the vectors have never seen."""

from typing import Any

import numpy as np

from vagus_server.evaluate.clusters import Clusters
from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.pictures import BLUE, GREEN, GREY, canvas, mark_site, matrix
from vagus_server.evaluate.result import Figure, Null, Picture, Section, Table
from vagus_server.extract.heldout import (
    accuracy,
    bootstrap,
    held_out_ranks,
    held_out_scores,
    nested_accuracy,
    random_direction_ranks,
    ranks_of,
    shuffled,
)
from vagus_server.extract.lexical import word_ranks

#: Least shares of stories whose concept is the best one, or among the best five.
FLOORS = {1: 0.20, 5: 0.50}
#: Draws of each null; each is the whole procedure.
_NULLS = 20


def check(evidence: Evidence, clusters: Clusters) -> Section:
    """Leaves each topic out in turn, centred on the training stories."""
    e, rng = evidence, evidence.rng()
    means, concept, topic = e.measured.stories, e.concept, e.topic
    ranks = held_out_ranks(means, concept, topic, e.components)
    scores = held_out_scores(means, concept, topic, e.components, e.site)
    own = ranks_of(scores, concept)
    shuffles = [
        held_out_ranks(means, shuffled(concept, topic, rng), topic, e.components, [e.site])
        for _ in range(_NULLS)
    ]
    randoms = [random_direction_ranks(means, concept, topic, rng, [e.site]) for _ in range(_NULLS)]
    words = word_ranks([story.text for story in e.corpus.stories], concept, topic)
    figures = []
    for top, floor in FLOORS.items():
        figures.append(
            Figure(
                f"top-{top}",
                float((own < top).mean()),
                bootstrap(own, topic, top, rng),
                Null(_shares(randoms, top), _shares(shuffles, top)),
                floor=floor,
                percent=True,
                note=f"chance {top / len(e.names):.1%}",
            )
        )
    nested = nested_accuracy(ranks, topic, 1)
    figures.append(
        Figure("top-1, site chosen without the topic", nested, percent=True, note="nested choice")
    )
    for top in FLOORS:
        figures.append(
            Figure(
                f"words alone, top-{top}",
                float((words < top).mean()),
                bootstrap(words, topic, top, rng),
                percent=True,
                note="tf-idf centroids; no model",
            )
        )
    confusion = cluster_confusion(scores, concept, clusters.label)
    share = float(np.trace(confusion) / confusion.sum())
    figures.append(
        Figure("best concept is in the own cluster", share, percent=True, note="of ten clusters")
    )
    return Section(
        key="held_out",
        title="Held-out stories",
        method=[
            f"Each of the {len(set(topic.tolist()))} topics is left out in turn; vectors come from "
            f"the other topics by the pack's recipe, and the {len(concept)} stories are scored by "
            "projection after the training stories' mean is taken away. Intervals are bootstrapped "
            "over topics. The corpus was written for this project by one writer who was told each "
            "concept. The words-alone lines say how much word counts give away without any model: "
            "where they are as high as the readout, the stories show that a concept is read, not "
            "that more than its words is. Scenarios and dialogues below are in other words.",
        ],
        figures=figures,
        tables=[_by_concept(e, own, scores)],
        pictures=[
            _sites(ranks, words, e.site, len(e.names)),
            _confusion(confusion, clusters.titles),
        ],
        data={
            "top1_by_site": np.round(accuracy(ranks, 1), 4).tolist(),
            "top5_by_site": np.round(accuracy(ranks, 5), 4).tolist(),
            "cluster_confusion": confusion.tolist(),
        },
    )


def _shares(draws: list[np.ndarray], top: int) -> np.ndarray:
    return np.array([float((ranks < top).mean()) for ranks in draws])


def cluster_confusion(scores: np.ndarray, concept: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Stories by the cluster of their concept and of the best concept, [clusters, clusters]."""
    counts = np.zeros((int(label.max()) + 1,) * 2, dtype=np.int64)
    np.add.at(counts, (label[concept], label[scores.argmax(axis=1)]), 1)
    return counts


def _by_concept(e: Evidence, own: np.ndarray, scores: np.ndarray) -> Table:
    best = scores.argmax(axis=1)
    rows: list[list[Any]] = []
    for c, name in enumerate(e.names):
        mine = own[e.concept == c]
        taken = np.bincount(best[e.concept == c], minlength=len(e.names))
        taken[c] = 0
        other = f"{e.names[int(taken.argmax())]} ({taken.max()})" if taken.any() else ""
        rows.append(
            [
                name,
                f"{(mine < 1).mean():.0%}",
                f"{(mine < 5).mean():.0%}",
                f"{mine.mean() + 1:.1f}",
                other,
            ]
        )
    columns = ["concept", "top-1", "top-5", "mean rank", "most often taken for"]
    return Table("Each concept", columns, rows)


def _sites(ranks: np.ndarray, words: np.ndarray, site: int, concepts: int) -> Picture:
    with canvas() as drawn:
        axes = drawn.axes[0]
        for top, colour in ((1, BLUE), (5, GREEN)):
            axes.plot(accuracy(ranks, top), color=colour, marker="o", ms=3, label=f"top-{top}")
            axes.axhline(FLOORS[top], color=colour, linewidth=0.8, linestyle="--")
            axes.axhline(top / concepts, color=GREY, linewidth=0.6)
        axes.axhline((words < 1).mean(), color="black", lw=0.8, label="words alone, top-1")
        mark_site(axes, site)
        axes.set(xlabel="site", ylabel="share of held-out stories", ylim=(0, 1.02))
        axes.legend(ncols=3, loc="lower right")
    return drawn.picture(
        "held-out-by-site",
        "Held-out accuracy at every site. Dashed: floors. Dotted: the readout site. Grey: chance.",
    )


def _confusion(confusion: np.ndarray, titles: list[str]) -> Picture:
    shares = confusion / confusion.sum(axis=1, keepdims=True)
    with canvas(size=(6.6, 4.6)) as drawn:
        axes = drawn.axes[0]
        image = matrix(axes, shares, titles, 1.0, colours="Blues")
        axes.set(ylabel="cluster of the story's concept", xlabel="cluster of the best concept")
        drawn.figure.colorbar(image, ax=axes, label="share of stories")
    return drawn.picture("held-out-clusters", "Which clusters held-out stories are taken for.")
