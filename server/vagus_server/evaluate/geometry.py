"""Check 6: how concepts lie to each other."""

import numpy as np

from vagus_server.evaluate.clusters import Clusters
from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.halves import Halves
from vagus_server.evaluate.pictures import canvas, matrix
from vagus_server.evaluate.result import Figure, Null, Picture, Section, Table
from vagus_server.evaluate.statistics import cosines, off_diagonal, pearson

#: Sizes and names of the paper's ten clusters of the same 171 words, by valence.
_PAPER = (
    "Exuberant Joy 20, Peaceful Contentment 9, Compassionate Gratitude 15, Competitive Pride 9, "
    "Playful Amusement 2, Depleted Disengagement 15, Vigilant Suspicion 3, Hostile Anger 25, "
    "Fear and Overwhelm 41, Despair and Shame 32"
)


def check(evidence: Evidence, clusters: Clusters, true: Halves, null: list[Halves]) -> Section:
    """Cosines between concepts, their clusters, and how far the halves agree on both."""
    e = evidence
    between = cosines(e.vectors)
    agreement = np.array([_agreement(true, i) for i in range(len(true.first))])
    chance = np.array([_agreement(one, 0) for one in null])
    random = np.array(
        [
            pearson(off_diagonal(cosines(a)), off_diagonal(cosines(b)))
            for a, b in zip(e.random_vectors[::2], e.random_vectors[1::2], strict=True)
        ]
    )
    low, high = np.quantile(agreement, [0.025, 0.975])
    same = clusters.label[:, None] == clusters.label[None, :]
    pairs = off_diagonal(same)
    inside = float(off_diagonal(between)[pairs].mean())
    outside = float(off_diagonal(between)[~pairs].mean())
    rows = [[i + 1, len(names), ", ".join(names)] for i, names in enumerate(clusters.members)]
    columns = ["cluster", "concepts", "members, the most central first"]
    return Section(
        key="geometry",
        title="Geometry",
        method=[
            "Cosines between the pack's vectors at the readout site, and k-means with k = 10 on "
            "their directions (50 starts), ordered along the first component. The paper's ten "
            f"clusters: {_PAPER}. It does not print their members in a form that could be compared "
            'word by word here, except that "desperate" lies in Despair and Shame; ours are named '
            "by their two most central concepts. Agreement of halves: correlation of the cosine "
            "matrices that the two halves of the topics give, over splits.",
        ],
        figures=[
            Figure(
                "agreement of the halves' cosine matrices (r)",
                float(agreement.mean()),
                (float(low), float(high)),
                Null(random, chance),
                note="interval over splits",
            ),
            Figure("mean cosine within a cluster", inside),
            Figure("mean cosine between clusters", outside),
        ],
        tables=[
            Table("Clusters", columns, rows, folded=False),
            Table("Nearest concepts", ["concept", "nearest, with cosine"], _nearest(e, between)),
        ],
        pictures=[_picture(e, between, clusters)],
        data={"cosines": np.round(between, 3).tolist(), "names": e.names},
    )


#: Cosines of unlike concepts are small: colours up to 1 would show the diagonal alone.
_COLOUR_LIMIT = 0.6


def _agreement(halves: Halves, index: int) -> float:
    first, second = cosines(halves.first[index]), cosines(halves.second[index])
    return pearson(off_diagonal(first), off_diagonal(second))


def _nearest(e: Evidence, between: np.ndarray) -> list[list[str]]:
    rows = []
    for c, name in enumerate(e.names):
        near = [i for i in np.argsort(-between[c]).tolist() if i != c][:5]
        rows.append([name, ", ".join(f"{e.names[i]} {between[c, i]:.2f}" for i in near)])
    return rows


def _picture(e: Evidence, between: np.ndarray, clusters: Clusters) -> Picture:
    order = clusters.order
    names = [e.names[i] for i in order]
    size = max(4.0, min(11.0, len(names) / 15))
    font = 7 if len(names) < 60 else 3.6
    with canvas(size=(size + 0.8, size)) as drawn:
        axes = drawn.axes[0]
        image = matrix(axes, between[np.ix_(order, order)], names, _COLOUR_LIMIT, font=font)
        for edge in np.cumsum([len(m) for m in clusters.members])[:-1] - 0.5:
            axes.axhline(edge, color="black", linewidth=0.4)
            axes.axvline(edge, color="black", linewidth=0.4)
        drawn.figure.colorbar(image, ax=axes, shrink=0.6, label="cosine", extend="both")
    return drawn.picture(
        "cosines",
        "Cosine of each concept with each, cluster by cluster; 0.6 and more have one colour.",
    )
