"""Check 4: one number in a message, from harmless to grave."""

import numpy as np

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.pictures import BLUE, GREEN, RED, VIOLET, canvas
from vagus_server.evaluate.result import Figure, Picture, Section, Table
from vagus_server.evaluate.statistics import bootstrap, spearman
from vagus_server.evaluate.texts import Dose
from vagus_server.extract.vectors import unit

_COLOURS = {"afraid": RED, "calm": BLUE, "sad": VIOLET, "happy": GREEN}
_POSITIONS = {"last": "last token before the reply", "message": "mean over the message"}


def check(evidence: Evidence) -> Section:
    """Correlates readouts with the numbers."""
    e = evidence
    lines = [
        (i, concept, sign)
        for i, dose in enumerate(e.texts.doses)
        for concept, sign in dose.expected.items()
        if concept in e.names
    ]
    section = Section(
        key="doses",
        title="Numbers that matter",
        method=[
            "Templates in which one number decides how grave the message is, in own words with the "
            "paper's values (its Figure 3); Spearman's rho of the readout with the number, signed "
            "so that 1 is the direction that the paper reports. Intervals are bootstrapped over "
            "lines; each line has six or seven points, so one line alone proves little.",
        ],
    )
    if not lines:
        return section
    rows = []
    for position, what in _POSITIONS.items():
        x = [getattr(read, position)[:, e.site] for read in e.measured.doses]
        rhos = _signed(e, lines, x, e.vectors)
        right = rhos > 0

        def share(vectors: np.ndarray, x: list[np.ndarray] = x) -> float:
            return float((_signed(e, lines, x, vectors) > 0).mean())

        def mean(vectors: np.ndarray, x: list[np.ndarray] = x) -> float:
            return float(_signed(e, lines, x, vectors).mean())

        for name, values, statistic in (
            ("sign as expected", right.astype(float), share),
            ("mean rho towards it", rhos, mean),
        ):
            section.figures.append(
                Figure(
                    f"{what}: {name}",
                    float(values.mean()),
                    bootstrap(len(values), lambda d, v=values: float(v[d].mean()), e.rng()),  # type: ignore[misc]
                    e.null(statistic),
                    percent=name.startswith("sign"),
                    note=f"{right.sum()} of {len(right)} lines",
                )
            )
        rows += [
            [e.texts.doses[i].name, concept, "up" if sign > 0 else "down", what, f"{sign * r:+.2f}"]
            for (i, concept, sign), r in zip(lines, rhos, strict=True)
        ]
    columns = ["template", "concept", "expected", "read at", "rho with the number"]
    section.tables.append(Table("Each line", columns, rows, folded=False))
    section.tables.append(
        Table(
            "Templates",
            ["name", "text", "values"],
            [[d.name, d.text, ", ".join(f"{v:g}" for v in d.values)] for d in e.texts.doses],
        )
    )
    section.pictures.append(_picture(e))
    return section


def _signed(
    e: Evidence, lines: list[tuple[int, str, int]], x: list[np.ndarray], vectors: np.ndarray
) -> np.ndarray:
    """Spearman's rho of every line, times the expected sign, [lines]."""
    units = unit(vectors)
    columns = e.index([concept for _, concept, _ in lines])
    return np.array(
        [
            sign * spearman(x[i] @ units[column], np.array(e.texts.doses[i].values))
            for (i, _, sign), column in zip(lines, columns, strict=True)
        ]
    )


def _z(e: Evidence, x: np.ndarray, concept: str) -> np.ndarray:
    """The readout as the server shows it, in deviations of the reference traffic."""
    row = e.pack.index[concept]
    projection = x @ e.units[e.names.index(concept)]
    return np.asarray(
        (projection - e.pack.reference_mean[row, e.site]) / e.pack.reference_std[row, e.site]
    )


def _picture(e: Evidence) -> Picture:
    doses = e.texts.doses
    with canvas(-(-len(doses) // 3), 3, size=(9.5, 5.2)) as drawn:
        for axes, dose, read in zip(drawn.axes, doses, e.measured.doses, strict=False):
            at = range(len(dose.values))
            for concept in _shown(e, dose):
                colour = _COLOURS.get(concept)
                last, message = (_z(e, x[:, e.site], concept) for x in (read.last, read.message))
                axes.plot(at, last, color=colour, marker="o", ms=3, label=concept)
                axes.plot(at, message, color=colour, lw=0.9, linestyle="--")
            axes.set_xticks(at, [f"{value:g}" for value in dose.values], fontsize=7)
            axes.set(xlabel=dose.unit, ylabel="z")
            # Above the panel: inside, it would lie on the lines of one dose or another.
            axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        for axes in drawn.axes[len(doses) :]:
            axes.set_axis_off()
    return drawn.picture(
        "doses",
        "Readouts as z against the reference traffic. Full: at the last token before the reply; "
        "dashed: mean over the message.",
    )


def _shown(e: Evidence, dose: Dose) -> list[str]:
    return [concept for concept in dose.expected if concept in e.names]
