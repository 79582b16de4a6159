"""Check 10: lengths and reference statistics at every site."""

import numpy as np

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.pictures import BLUE, GREEN, GREY, canvas, mark_site
from vagus_server.evaluate.result import Figure, Picture, Section, Table


def check(evidence: Evidence) -> Section:
    """Describes the pack's tensors."""
    pack = evidence.pack
    norms = np.array(pack.residual_norms)
    lengths = np.linalg.norm(pack.vectors.astype(np.float64), axis=2)
    deviations = pack.reference_std.astype(np.float64)
    isotropic = norms / np.sqrt(pack.vectors.shape[2])
    offset = np.abs(pack.reference_mean) / deviations
    median = {
        "length": np.median(lengths, axis=0),
        "deviation": np.median(deviations, axis=0),
        "offset": np.median(offset, axis=0),
    }
    site = pack.readout_site
    rows = [
        [
            s,
            f"{norms[s]:.1f}",
            f"{median['length'][s]:.2f}",
            f"{median['length'][s] / norms[s]:.1%}",
            f"{median['deviation'][s]:.2f}",
            f"{median['deviation'][s] / isotropic[s]:.2f}",
            f"{median['offset'][s]:.2f}",
        ]
        for s in range(pack.sites)
    ]
    low, high = np.quantile(lengths[:, site] / norms[site], [0.025, 0.975])
    columns = ["site", "mean |x|", "median |v|", "|v| / |x|", "median deviation"]
    columns += ["deviation / isotropic", "median |mean| / deviation"]
    return Section(
        key="norms",
        title="Norms and reference statistics",
        method=[
            "From the pack: mean length of the residual stream where the model generates, lengths "
            "of the vectors, deviation of a token's projection over the reference traffic. "
            "Isotropic: the deviation that a random direction would have if the stream spread "
            "evenly over all of its dimensions. The last column says how far readouts sit from 0 "
            "on ordinary traffic: why raw projections need the reference to be read.",
        ],
        figures=[
            Figure(
                "median |v| / mean |x| at the readout site",
                float(median["length"][site] / norms[site]),
                (float(low), float(high)),
                percent=True,
                note="interval: the middle 95 % of concepts",
            ),
            Figure(
                "median deviation / isotropic at the readout site",
                float(median["deviation"][site] / isotropic[site]),
                note="1 is what a random direction has",
            ),
        ],
        tables=[Table("Each site", columns, rows)],
        pictures=[_picture(norms, lengths, deviations, site)],
        data={
            "residual_norm": np.round(norms, 3).tolist(),
            "vector_length_median": np.round(median["length"], 4).tolist(),
            "reference_deviation_median": np.round(median["deviation"], 4).tolist(),
        },
    )


def _picture(norms: np.ndarray, lengths: np.ndarray, deviations: np.ndarray, site: int) -> Picture:
    with canvas() as drawn:
        axes = drawn.axes[0]
        at = range(len(norms))
        axes.plot(at, norms, color=GREY, label="mean |x|")
        for values, colour, label in ((lengths, BLUE, "|v|"), (deviations, GREEN, "deviation")):
            axes.plot(at, np.median(values, axis=0), color=colour, label=label)
            low, high = np.quantile(values, [0.05, 0.95], axis=0)
            axes.fill_between(at, low, high, color=colour, alpha=0.2)
        mark_site(axes, site)
        axes.set(xlabel="site", yscale="log")
        axes.legend()
    return drawn.picture(
        "norms", "Lengths by site; bands hold the middle 90 % of concepts. Dotted: readout site."
    )
