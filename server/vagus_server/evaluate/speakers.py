"""Check 8: who feels it, the user or the assistant."""

import numpy as np

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.pictures import canvas, matrix
from vagus_server.evaluate.result import Figure, Picture, Section, Table
from vagus_server.evaluate.statistics import bootstrap, pearson, share_interval
from vagus_server.extract.heldout import ranks_of
from vagus_server.extract.vectors import unit


def check(evidence: Evidence) -> Section:
    """Reads both speakers of exchanges in which they feel different things."""
    e, rng = evidence, evidence.rng()
    section = Section(
        key="speakers",
        title="User against assistant",
        method=[
            "Exchanges of one user message and one reply in which the two feel different things "
            "(own texts; twelve concepts, each five times with each speaker, the two never the "
            "same). Means over the words of each turn are projected and centred per concept and "
            "speaker; the speaker's own concept is sought among the twelve. The reply's readings "
            "come after the user's words, so what carries over is in the lines on the other "
            "speaker's concept. r: correlation over dialogues and concepts of the two speakers' "
            "readings; the paper has 0.11 between the end of the user's turn and the colon, "
            "replications on open models about 0.6. Pairs are never the same, so perfect readings "
            "would correlate slightly below 0. Intervals are bootstrapped over dialogues.",
        ],
    )
    known = [
        i
        for i, d in enumerate(e.texts.dialogues)
        if d.user_concept in e.names and d.assistant_concept in e.names
    ]
    if len(known) < 10:
        return section
    dialogues = [e.texts.dialogues[i] for i in known]
    concepts = sorted(
        {d.user_concept for d in dialogues} | {d.assistant_concept for d in dialogues}
    )
    rows = e.index(concepts)
    user = np.array([concepts.index(d.user_concept) for d in dialogues])
    assistant = np.array([concepts.index(d.assistant_concept) for d in dialogues])
    spoken = e.measured.dialogues
    x = {
        name: getattr(spoken, name)[known, e.site]
        for name in ("user", "assistant", "user_end", "colon")
    }

    def read(place: str, vectors: np.ndarray) -> np.ndarray:
        return centred(x[place], vectors[rows])

    for name, place, own in (
        ("user's concept in the user's words", "user", user),
        ("assistant's concept in the assistant's words", "assistant", assistant),
        ("user's concept in the assistant's words", "assistant", user),
    ):
        for top in (1, 3):

            def share(
                v: np.ndarray, place: str = place, own: np.ndarray = own, top: int = top
            ) -> float:
                return float((ranks_of(read(place, v), own) < top).mean())

            hits = ranks_of(read(place, e.vectors), own) < top
            section.figures.append(
                Figure(
                    f"{name}: top-{top}",
                    float(hits.mean()),
                    share_interval(hits, rng),
                    e.null(share),
                    percent=True,
                    note=f"chance {top / len(concepts):.1%}",
                )
            )
    for name, first, second in (
        ("r of user's and assistant's words", "user", "assistant"),
        ("r of the user's last token and the last before the reply", "user_end", "colon"),
        ("r of the last token before the reply and the reply", "colon", "assistant"),
    ):

        def correlation(v: np.ndarray, first: str = first, second: str = second) -> float:
            return pearson(read(first, v).ravel(), read(second, v).ravel())

        one, two = read(first, e.vectors), read(second, e.vectors)
        section.figures.append(
            Figure(
                name,
                correlation(e.vectors),
                bootstrap(
                    len(one),
                    lambda d, a=one, b=two: pearson(a[d].ravel(), b[d].ravel()),  # type: ignore[misc]
                    rng,
                ),
                e.null(correlation),
            )
        )
    ranks = [
        ranks_of(read("user", e.vectors), user),
        ranks_of(read("assistant", e.vectors), assistant),
    ]
    section.tables.append(
        Table(
            "Each exchange",
            ["user feels", "assistant feels", "user's rank", "assistant's rank", "user", "reply"],
            [
                [d.user_concept, d.assistant_concept, int(a) + 1, int(b) + 1, d.user, d.assistant]
                for d, a, b in zip(dialogues, *ranks, strict=True)
            ],
        )
    )
    section.pictures.append(
        _picture(
            concepts,
            {
                "user's words, by user's concept": (read("user", e.vectors), user),
                "assistant's words, by assistant's": (read("assistant", e.vectors), assistant),
                "assistant's words, by user's": (read("assistant", e.vectors), user),
            },
        )
    )
    return section


def centred(x: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Cosines [dialogues, concepts] without each concept's mean."""
    cosines = unit(x) @ unit(vectors).T
    return np.asarray(cosines - cosines.mean(axis=0))


def _picture(concepts: list[str], panels: dict[str, tuple[np.ndarray, np.ndarray]]) -> Picture:
    drawings = []
    for title, (scores, own) in panels.items():
        felt = np.unique(own)
        means = np.stack([scores[own == c].mean(axis=0) for c in felt])
        drawings.append((title, means, [concepts[c] for c in felt]))
    limit = max(float(np.abs(means).max()) for _, means, _ in drawings)
    with canvas(1, 3, size=(11, 3.9)) as drawn:
        for axes, (title, means, labels) in zip(drawn.axes, drawings, strict=True):
            image = matrix(axes, means, labels, limit, concepts)
            axes.set_title(title, fontsize=9)
        drawn.figure.colorbar(image, ax=drawn.axes, shrink=0.8)
    return drawn.picture(
        "speakers",
        "Mean centred cosine by who is read and whose concept it is: rows are what is felt, "
        "columns what is read.",
    )
