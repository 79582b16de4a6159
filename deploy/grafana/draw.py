"""Draws the dashboards' panels from a Prometheus, for pages and where there is no Grafana.

python deploy/grafana/draw.py --prometheus http://localhost:9090 --minutes 10 --out pictures
"""

import argparse
import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
#: Inches of a column and of a row of Grafana's grid.
COLUMN, ROW = 0.72, 0.36
POINTS = 120
Z_RANGE = 2
#: Colours of the series in the order in which they come; then they repeat.
COLOURS = [*plt.get_cmap("tab10").colors, *plt.get_cmap("Set2").colors]  # type: ignore[attr-defined]


class Prometheus:
    """Asks for what dashboards show.

    Args:
        url: of the server.
        end, seconds: the time that is shown, Unix time.
        values: of the dashboards' variables.
    """

    def __init__(self, url: str, end: float, seconds: float, values: dict[str, str]) -> None:
        self._url, self._end, self._values = url, end, values
        self.seconds = seconds

    def _ask(self, path: str, target: dict[str, str], **when: float) -> list[tuple[str, Any]]:
        expr = target["expr"]
        for name, value in self._values.items():
            expr = expr.replace(f"${name}", value)
        arguments = urllib.parse.urlencode({"query": expr, **when})
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{arguments}", timeout=60) as page:
            found = json.load(page)["data"]["result"]
        return [(_legend(target, series["metric"]), series) for series in found]

    def now(self, target: dict[str, str]) -> list[tuple[str, float]]:
        """Legend and value of each series at the end."""
        found = self._ask("query", target, time=self._end)
        return [(legend, float(series["value"][1])) for legend, series in found]

    def over_time(self, target: dict[str, str]) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Legend, minutes before the end and values of each series."""
        step = self.seconds / POINTS
        start = self._end - self.seconds
        found = self._ask("query_range", target, start=start, end=self._end, step=step)
        # One value per step: where there is none, a line has a gap.
        times = start + step * np.arange(POINTS + 1)
        lines = []
        for legend, series in found:
            given = np.array(series["values"], dtype=float)
            values = np.full(len(times), np.nan)
            values[np.rint((given[:, 0] - start) / step).astype(int)] = given[:, 1]
            lines.append((legend, (times - self._end) / 60, values))
        return lines


def _legend(target: dict[str, str], labels: dict[str, str]) -> str:
    text = target["legendFormat"].replace("__auto", "")
    for name, value in labels.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def amount(value: float, unit: str) -> str:
    """A value as Grafana would write it."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s" and abs(value) < 1:
        return f"{1000 * value:.3g} ms"
    if unit in ("bytes", "Bps"):
        return f"{value / 2**20:.3g} MiB" + ("/s" if unit == "Bps" else "")
    return f"{value:.3g}" + {"s": " s", "reqps": " /s"}.get(unit, "")


def _stat(axes: Any, panel: dict[str, Any], prometheus: Prometheus) -> None:
    found = prometheus.now(panel["targets"][0])
    unit = panel["fieldConfig"]["defaults"]["unit"]
    text = amount(found[0][1], unit) if found else "no traffic"
    axes.text(0.5, 0.58, text, ha="center", va="center", fontsize=15, color="tab:blue")
    if found and found[0][0]:
        axes.text(0.5, 0.16, found[0][0], ha="center", va="center", fontsize=9)
    axes.set_axis_off()


def _bargauge(axes: Any, panel: dict[str, Any], prometheus: Prometheus) -> None:
    found = sorted(prometheus.now(panel["targets"][0]), key=lambda pair: pair[1])
    if not found:
        return _empty(axes)
    names, values = zip(*found, strict=True)
    axes.barh(range(len(names)), values, color=["tab:blue" if v < 0 else "tab:red" for v in values])
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.axvline(0, color="grey", linewidth=0.5)
    return None


def _timeseries(axes: Any, panel: dict[str, Any], prometheus: Prometheus) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    lines = [line for target in panel["targets"] for line in prometheus.over_time(target)]
    if not lines:
        return _empty(axes)
    axes.set_prop_cycle(color=COLOURS)
    for legend, minutes, values in lines:
        axes.plot(minutes, values, linewidth=1, label=legend)
    if any(legend for legend, _, _ in lines):
        axes.legend(fontsize=6, frameon=False, ncols=2, loc="best")
    axes.set_xlim(-prometheus.seconds / 60, 0)
    axes.set_ylim(defaults.get("min"), defaults.get("max"))
    axes.yaxis.set_major_formatter(lambda value, _: amount(value, defaults["unit"]))
    return None


def _heatmap(axes: Any, panel: dict[str, Any], prometheus: Prometheus) -> None:
    rows = prometheus.over_time(panel["targets"][0])
    if not rows:
        return _empty(axes)
    rows.sort(key=lambda row: row[0], reverse=True)
    times, grid = rows[0][1], np.stack([values for _, _, values in rows])
    axes.set_xlim(-prometheus.seconds / 60, 0)
    mesh = axes.pcolormesh(
        times, range(len(rows)), grid, cmap="RdBu_r", vmin=-Z_RANGE, vmax=Z_RANGE, shading="nearest"
    )
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=4.8)
    axes.tick_params(axis="y", length=0, pad=1)
    axes.figure.colorbar(mesh, ax=axes, pad=0.01, fraction=0.02, label="mean z")
    return None


def _empty(axes: Any) -> None:
    axes.text(0.5, 0.5, "no traffic", ha="center", va="center", color="grey")
    axes.set_xticks([])
    axes.set_yticks([])


_DRAW = {"stat": _stat, "bargauge": _bargauge, "timeseries": _timeseries, "heatmap": _heatmap}

_ROOM = {
    "stat": (0.2, 0.2, 0.8, 0.3),
    "bargauge": (2.6, 0.9, 0.9, 0.3),
    "timeseries": (1.5, 0.9, 0.9, 0.3),
    "heatmap": (1.5, 0.9, 0.9, 1.2),
}


def draw(dashboard: dict[str, Any], prometheus: Prometheus, path: Path) -> None:
    """Draws all panels of a dashboard at their places into one picture."""
    panels = dashboard["panels"]
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels)
    figure = plt.figure(figsize=(24 * COLUMN, height * ROW))
    for panel in panels:
        place = panel["gridPos"]
        # Room for labels and the title, in units of the grid.
        left, below, above, right = _ROOM[panel["type"]]
        axes = figure.add_axes(
            (
                (place["x"] + left) / 24,
                1 - (place["y"] + place["h"] - below) / height,
                (place["w"] - left - right) / 24,
                (place["h"] - below - above) / height,
            )
        )
        axes.set_title(panel["title"], fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        _DRAW[panel["type"]](axes, panel, prometheus)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Draws every dashboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prometheus", default="http://localhost:9090")
    parser.add_argument("--minutes", type=float, default=60, help="how far back")
    parser.add_argument("--scrape-interval", type=float, default=15, help="in seconds")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    values = {
        "__rate_interval": f"{4 * options.scrape_interval:g}s",
        "job": "vagus",
        "tenant": ".*",
        "concept": ".*",
        "few": "calm|desperate",
    }
    prometheus = Prometheus(options.prometheus, time.time(), options.minutes * 60, values)
    options.out.mkdir(parents=True, exist_ok=True)
    for file in sorted((HERE / "dashboards").glob("*.json")):
        draw(json.loads(file.read_text()), prometheus, options.out / f"{file.stem}.png")


if __name__ == "__main__":
    main()
