"""Check 2: stories by writers whom the vectors have never seen."""

from typing import NamedTuple

import numpy as np

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.pictures import BLUE, GREEN, canvas, mark_site
from vagus_server.evaluate.result import Figure, Picture, Section, Table
from vagus_server.evaluate.statistics import share_interval
from vagus_server.extract.heldout import accuracy, held_out_ranks, ranks_of
from vagus_server.extract.lexical import word_ranks_of_others
from vagus_server.extract.vectors import unit
from vagus_server.packs.corpus import Story

#: Least share of the held-out figure that must carry over.
FLOOR = 2 / 3


class _Set(NamedTuple):
    """What a set of stories is to the pack."""

    key: str
    title: str
    told_by: str
    caveat: str


_OTHER = _Set(
    "other_writer",
    "Stories by another writer",
    "by a writer who had no part in the corpus",
    "Both were given the same description of each concept and often turn it into the same acts "
    "and things, so words alone carry over too.",
)
_EARLIER = _Set(
    "earlier_writers",
    "Stories to another brief",
    "by writers before the corpus, who were told the concepts in other words",
    "They share the fewest acts and things with the corpus, so this is the hardest set.",
)


def check(evidence: Evidence) -> list[Section]:
    """Scores the sets that the corpus has with the pack's own vectors, a section each."""
    e = evidence
    sets = (
        (_OTHER, e.corpus.other, e.measured.other),
        (_EARLIER, e.corpus.earlier, e.measured.earlier),
    )
    held_out = held_out_ranks(e.measured.stories, e.concept, e.topic, e.components, [e.site])[:, 0]
    return [_check(e, held_out, *given) for given in sets if given[1]]


def _check(
    e: Evidence, held_out: np.ndarray, about: _Set, stories: list[Story], told: np.ndarray
) -> Section:
    rng = e.rng()
    concept = e.index([story.concept for story in stories])
    means = told.astype(np.float64)
    at_site = means[:, e.site]
    ranks = ranks_of((at_site - e.centre) @ e.units.T, concept)
    recentred = ranks_of((at_site - at_site.mean(axis=0)) @ e.units.T, concept)
    held_out = held_out[np.isin(e.concept, concept)]
    words = word_ranks_of_others(
        [story.text for story in e.corpus.stories],
        e.concept,
        [story.text for story in stories],
        concept,
    )
    figures = []
    for top in (1, 5):

        def share(vectors: np.ndarray, top: int = top) -> float:
            scores = (at_site - e.centre) @ unit(vectors).T
            return float((ranks_of(scores, concept) < top).mean())

        hits = ranks < top
        figures.append(
            Figure(
                f"top-{top}",
                float(hits.mean()),
                share_interval(hits, rng),
                e.null(share),
                percent=True,
                note=f"chance {top / len(e.names):.1%}",
            )
        )
        ratio, interval = kept_share(hits, held_out < top, rng)
        figures.append(
            Figure(
                f"share of the held-out top-{top}",
                ratio,
                interval,
                floor=FLOOR,
                percent=True,
                note=f"held out, same writer: {(held_out < top).mean():.1%}",
            )
        )
    for top in (1, 5):
        figures.append(
            Figure(
                f"top-{top}, centred on these stories",
                float((recentred < top).mean()),
                share_interval(recentred < top, rng),
                percent=True,
                note="takes the writers' difference away; needs a sample of the new text",
            )
        )
    for top in (1, 5):
        figures.append(
            Figure(
                f"words alone, top-{top}",
                float((words < top).mean()),
                share_interval(words < top, rng),
                percent=True,
            )
        )
    by_site = _by_site(e, means, concept)
    rows = [
        [e.names[c], int(ranks[i]) + 1, stories[i].topic]
        for i, c in sorted(enumerate(concept.tolist()), key=lambda pair: (e.names[pair[1]], pair))
    ]
    return Section(
        key=about.key,
        title=about.title,
        method=[
            f"{len(stories)} stories of {len(set(concept.tolist()))} concepts on "
            f"{len({s.topic for s in stories})} further topics {about.told_by}, scored among all "
            f"{len(e.names)} with the pack's vectors as shipped, centred on the corpus' mean. "
            "Intervals are bootstrapped over stories; that of the share draws both corpora, the "
            f"held-out one's stories of these concepts alone. {about.caveat}",
        ],
        figures=figures,
        tables=[Table("Each story", ["concept", "rank of its own concept", "topic"], rows)],
        pictures=[_picture(by_site, e.site, about)],
        data={f"top{top}_by_site": np.round(accuracy(by_site, top), 4).tolist() for top in (1, 5)},
    )


def kept_share(
    hits: np.ndarray, reference: np.ndarray, rng: np.random.Generator, draws: int = 2000
) -> tuple[float, tuple[float, float]]:
    """Mean of `hits` over that of `reference`, with its interval; both are drawn anew."""

    def drawn(rows: np.ndarray) -> np.ndarray:
        return np.array([rows[rng.integers(0, len(rows), len(rows))].mean() for _ in range(draws)])

    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.divide(hits.mean(), reference.mean()))
        values = drawn(hits) / drawn(reference)
    low, high = np.quantile(values[np.isfinite(values)], [0.025, 0.975])
    return ratio, (float(low), float(high))


def _by_site(e: Evidence, means: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """Ranks at all sites, [stories, sites]."""
    rows = [e.pack.index[name] for name in e.names]
    columns = []
    for site in range(e.pack.sites):
        centre = e.measured.stories[:, site].mean(axis=0, dtype=np.float64)
        units = e.pack.unit_vectors[rows, site].astype(np.float64)
        columns.append(ranks_of((means[:, site] - centre) @ units.T, concept))
    return np.stack(columns, axis=1)


def _picture(ranks: np.ndarray, site: int, about: _Set) -> Picture:
    with canvas() as drawn:
        axes = drawn.axes[0]
        for top, colour in ((1, BLUE), (5, GREEN)):
            axes.plot(accuracy(ranks, top), color=colour, marker="o", ms=3, label=f"top-{top}")
        mark_site(axes, site)
        axes.set(xlabel="site", ylabel="share of stories", ylim=(0, 1.02))
        axes.legend()
    return drawn.picture(f"{about.key.replace('_', '-')}-by-site", f"{about.title}, at every site.")
