"""Check 9: vectors of one half of the topics against those of the other half."""

import numpy as np

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.halves import Halves, split
from vagus_server.evaluate.pictures import BLUE, GREY, RED, canvas
from vagus_server.evaluate.result import Figure, Null, Picture, Section, Table
from vagus_server.evaluate.statistics import share_interval
from vagus_server.extract.heldout import shuffled

#: Least share of concepts above the null's 95th percentile.
FLOOR = 0.95
SPLITS = 20


def shuffled_halves(evidence: Evidence) -> list[Halves]:
    """The same from stories whose concepts are permuted within topics, one split each."""
    e = evidence
    return [
        split(
            e.measured.stories,
            shuffled(e.concept, e.topic, rng),
            e.topic,
            e.site,
            e.components,
            rng,
            1,
        )
        for rng in e.rng().spawn(SPLITS)
    ]


def halves(evidence: Evidence) -> Halves:
    """SPLITS splits at the readout site."""
    e = evidence
    return split(e.measured.stories, e.concept, e.topic, e.site, e.components, e.rng(), SPLITS)


def check(evidence: Evidence, true: Halves, null: list[Halves]) -> Section:
    """Compares each concept's mean cosine over splits with the shuffled one's."""
    e = evidence
    cosines = true.cosines().mean(axis=0)
    chance = np.concatenate([one.cosines().ravel() for one in null])
    bound = float(np.quantile(chance, 0.95))
    above = cosines > bound
    random = e.random_vectors
    by_chance = Halves(random[::2], random[1::2]).cosines()
    order = np.argsort(cosines, kind="stable")
    rows = [[e.names[c], f"{cosines[c]:.3f}", "" if above[c] else "no"] for c in order]
    return Section(
        key="reliability",
        title="Split-half reliability",
        method=[
            f"The topics are split into halves {SPLITS} times; each half gives its own vectors by "
            "the pack's recipe; a concept's figure is the mean cosine of its two vectors. Null: "
            "the same with concepts permuted within each topic. The pack's vectors come from all "
            "topics and are more reliable than either half.",
        ],
        figures=[
            Figure(
                "concepts above the null's 95th percentile",
                float(above.mean()),
                share_interval(above, e.rng()),
                floor=FLOOR,
                percent=True,
                note=f"{above.sum()} of {len(above)}; 95th percentile {bound:.3f}",
            ),
            Figure(
                "mean cosine of the two halves",
                float(cosines.mean()),
                share_interval(cosines, e.rng()),
                Null(by_chance.mean(axis=1), np.array([one.cosines().mean() for one in null])),
            ),
        ],
        tables=[Table("Each concept", ["concept", "cosine of halves", "above the null"], rows)],
        pictures=[_picture(cosines, chance, bound)],
    )


def _picture(cosines: np.ndarray, chance: np.ndarray, bound: float) -> Picture:
    with canvas(size=(7.5, 2.8)) as drawn:
        axes = drawn.axes[0]
        bins = np.linspace(min(chance.min(), cosines.min()), 1.0, 60).tolist()
        axes.hist(chance, bins, density=True, color=GREY, alpha=0.7, label="labels shuffled")
        axes.hist(cosines, bins, density=True, color=BLUE, alpha=0.8, label="concepts")
        axes.axvline(bound, color=RED, linewidth=1, label="null's 95th percentile")
        axes.set(xlabel="cosine of the two halves' vectors", ylabel="density")
        axes.legend()
    return drawn.picture("reliability", "Split-half cosines of all concepts.")
