"""Check 3: what users might say, implying a concept that is never named."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.measure import Read
from vagus_server.evaluate.pictures import Canvas, canvas, matrix
from vagus_server.evaluate.result import Figure, Null, Picture, Section, Table
from vagus_server.evaluate.statistics import share_interval
from vagus_server.extract.heldout import ranks_of
from vagus_server.extract.vectors import unit
from vagus_server.packs.corpus import Scenario

_POSITIONS = {"last": "last token before the reply", "message": "mean over the message"}


@dataclass(frozen=True)
class Reading:
    """One set of scenarios at one position.

    Args:
        x: residuals at the readout site, [scenarios, hidden].
        own: column of each one's concept, [scenarios].
        rows: concepts that are compared, indices into the pack's.
    """

    x: np.ndarray
    own: np.ndarray
    rows: np.ndarray

    def cosines(self, vectors: np.ndarray) -> np.ndarray:
        """Cosine of every scenario with every compared concept."""
        return np.asarray(unit(self.x) @ unit(vectors[self.rows]).T)

    def centred(self, vectors: np.ndarray) -> np.ndarray:
        """The same without each concept's mean over the scenarios (some are high everywhere)."""
        cosines = self.cosines(vectors)
        return np.asarray(cosines - cosines.mean(axis=0))

    def ranks(self, scores: np.ndarray) -> np.ndarray:
        """Rank of the own concept, [scenarios]; 0 is the best."""
        return ranks_of(scores, self.own)


def check(evidence: Evidence) -> Section:
    """Ranks each scenario's own concept among those of its set."""
    e = evidence
    sets = {
        "implicit": (e.texts.implicit, e.measured.implicit),
        "further": (e.corpus.scenarios, e.measured.scenarios),
    }
    figures: list[Figure] = []
    tables: list[Table] = []
    pictures: list[Picture] = []
    data: dict[str, object] = {}
    for name, (texts, read) in sets.items():
        known = [i for i, row in enumerate(texts) if row.concept in e.names]
        if len({texts[i].concept for i in known}) < 3:
            continue
        rows = [texts[i] for i in known]
        readings = {p: _reading(e, rows, _taken(read, p)[known]) for p in _POSITIONS}
        for position, reading in readings.items():
            figures += _figures(e, f"{len(rows)} {name}", position, reading)
            data[f"{name}_{position}"] = np.round(reading.cosines(e.vectors), 4).tolist()
        tables.append(_table(e, name, rows, readings))
        if name == "implicit":
            pictures.append(_picture(e, rows, readings))
    return Section(
        key="scenarios",
        title="Implicit scenarios",
        method=[
            "One user message in the chat template, read at the last token before the reply and "
            "over the message's own tokens, as cosines. Implicit: twelve own texts after the "
            "paper's Table 2. Further: those of the corpus. Raw: the own concept among the "
            "concepts of the set. Centred: each concept's mean over the set is taken away first. "
            "The paper's own picture is top-1 in 6 of 12 and top-3 in 11 of 12 raw, because "
            '"loving" is high everywhere, and 10 of 12 top-1 centred; so top-3 and centred '
            "top-1 are what to compare. Intervals are bootstrapped over scenarios.",
        ],
        figures=figures,
        tables=tables,
        pictures=pictures,
        data=data,
    )


def _taken(read: Read, position: str) -> np.ndarray:
    return read.last if position == "last" else read.message


def _reading(e: Evidence, rows: list[Scenario], means: np.ndarray) -> Reading:
    concepts = sorted({row.concept for row in rows})
    own = np.array([concepts.index(row.concept) for row in rows])
    return Reading(means[:, e.site], own, e.index(concepts))


def _figures(e: Evidence, what: str, position: str, reading: Reading) -> list[Figure]:
    kinds: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "raw": reading.cosines,
        "centred": reading.centred,
    }
    figures = []
    for kind, scores in kinds.items():
        ranks = reading.ranks(scores(e.vectors))
        null = e.null(lambda vectors, scores=scores: reading.ranks(scores(vectors)))  # type: ignore[misc]
        assert null.random is not None
        assert null.shuffled is not None
        for top in (1, 3):
            figures.append(
                Figure(
                    f"{what}, {_POSITIONS[position]}: {kind} top-{top}",
                    float((ranks < top).mean()),
                    share_interval(ranks < top, e.rng()),
                    Null((null.random < top).mean(axis=1), (null.shuffled < top).mean(axis=1)),
                    percent=True,
                    note=f"{(ranks < top).sum()} of {len(ranks)}",
                )
            )
    return figures


def _table(e: Evidence, name: str, rows: list[Scenario], readings: dict[str, Reading]) -> Table:
    columns = ["concept", "scenario"]
    cells: list[list[str | int]] = [[row.concept, row.text] for row in rows]
    for position, reading in readings.items():
        everything = Reading(reading.x, reading.rows[reading.own], np.arange(len(e.names)))
        columns += [f"{position}: rank in the set, centred", f"rank of {len(e.names)}, centred"]
        for cell, few, all_ in zip(
            cells,
            reading.ranks(reading.centred(e.vectors)),
            everything.ranks(everything.centred(e.vectors)),
            strict=True,
        ):
            cell += [int(few) + 1, int(all_) + 1]
    return Table(f"Each of the {name} scenarios", columns, cells)


def _picture(e: Evidence, rows: list[Scenario], readings: dict[str, Reading]) -> Picture:
    with canvas(1, 2, size=(9.5, 4.4)) as drawn:
        for axes, (position, reading) in zip(drawn.axes, readings.items(), strict=True):
            _panel(drawn, axes, e, rows, reading)
            axes.set_title(_POSITIONS[position], fontsize=9)
    return drawn.picture(
        "implicit",
        "Cosine of each scenario (row) with each concept (column), less the concept's mean over "
        "the scenarios. Good is a red diagonal.",
    )


def _panel(
    drawn: Canvas, axes: "object", e: Evidence, rows: list[Scenario], reading: Reading
) -> None:
    order = np.argsort(reading.own, kind="stable")
    values = reading.centred(e.vectors)[order]
    labels = [rows[i].concept for i in order]
    columns = [e.names[i] for i in reading.rows]
    image = matrix(axes, values, labels, float(np.abs(values).max()), columns)  # type: ignore[arg-type]
    drawn.figure.colorbar(image, ax=axes, shrink=0.8)  # type: ignore[arg-type]
