"""From rounds to the rows of a results file."""

import csv
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from bench.serve.idle import Usage
from bench.serve.measure import Round

_ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Cell:
    """One mode at one batch size, measured in pairs with stock vLLM.

    Args:
        mode: the mode's name.
        batch: requests that run together.
        stock, vagus: the rounds, pair by pair.
        stock_usage, vagus_usage: cores used during them by (stock's, vagus's) processes.
    """

    mode: str
    batch: int
    stock: list[Round] = field(default_factory=list)
    vagus: list[Round] = field(default_factory=list)
    stock_usage: list[Usage] = field(default_factory=list)
    vagus_usage: list[Usage] = field(default_factory=list)

    def add(self, stock: Round, vagus: Round, stock_usage: Usage, vagus_usage: Usage) -> None:
        """Takes a pair."""
        self.stock.append(stock)
        self.vagus.append(vagus)
        self.stock_usage.append(stock_usage)
        self.vagus_usage.append(vagus_usage)

    @property
    def ratios(self) -> list[float]:
        """Throughput of Vagus as a share of stock's, pair by pair."""
        pairs = zip(self.stock, self.vagus, strict=True)
        return [v.tokens_per_second / s.tokens_per_second for s, v in pairs]

    @property
    def ratio_of_best(self) -> float:
        """Vagus's fastest round against stock's fastest.

        On a machine that others use too, noise only ever slows a round down, so the fastest
        rounds say most about the engines.
        """
        best = [max(r.tokens_per_second for r in rounds) for rounds in (self.vagus, self.stock)]
        return best[0] / best[1]

    def row(self) -> dict[str, str]:
        """The cell as columns. Times are in milliseconds, usage in cores."""
        ratios = self.ratios
        low, high = median_interval(ratios)
        pairs = list(zip(self.stock, self.vagus, strict=True))
        same = sum(s.same_as(v) for s, v in pairs) / (self.batch * len(pairs))
        # One engine that is both sides never waits.
        waiting = [used for u in self.stock_usage for used in u.engines[1:]]
        waiting += [used for u in self.vagus_usage for used in u.engines[:-1]]
        others = [u.others for u in (*self.stock_usage, *self.vagus_usage)]
        return {
            "mode": self.mode,
            "batch": str(self.batch),
            "pairs": str(len(pairs)),
            "ratio_median": f"{median(ratios):.4f}",
            "ratio_low": f"{low:.4f}",
            "ratio_high": f"{high:.4f}",
            "ratio_of_best": f"{self.ratio_of_best:.4f}",
            **self._processor(),
            **_times("stock", self.stock),
            **_times("vagus", self.vagus),
            "same_tokens_share": f"{same:.4f}",
            "idle_engine_cores_max": f"{max(waiting, default=0.0):.3f}",
            "other_cores_median": f"{median(others):.3f}",
            "ratios": " ".join(f"{ratio:.4f}" for ratio in ratios),
        }

    def _processor(self) -> dict[str, str]:
        """Processor time of each side's processes per token, and Vagus's as a share of stock's.

        What a hypervisor steals and what disturbs the clock is not in it; time that threads wait
        for each other in a loop is.
        """
        stock = _processor_ms(self.stock, self.stock_usage, 0)
        vagus = _processor_ms(self.vagus, self.vagus_usage, -1)
        ratios = [v / s for s, v in zip(stock, vagus, strict=True)]
        low, high = median_interval(ratios)
        return {
            "stock_processor_ms_per_token": f"{median(stock):.3f}",
            "vagus_processor_ms_per_token": f"{median(vagus):.3f}",
            "processor_ratio_median": f"{median(ratios):.4f}",
            "processor_ratio_low": f"{low:.4f}",
            "processor_ratio_high": f"{high:.4f}",
        }


def _processor_ms(rounds: list[Round], usage: list[Usage], side: int) -> list[float]:
    used = (u.engines[side] * u.seconds for u in usage)
    return [1000 * s / sum(map(len, r.tokens)) for r, s in zip(rounds, used, strict=True)]


def median_interval(values: list[float], draws: int = 4000) -> tuple[float, float]:
    """95 % interval of the median, by bootstrap with a fixed seed."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(values, size=(draws, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def _times(side: str, rounds: list[Round]) -> dict[str, str]:
    first = [seconds for r in rounds for seconds in r.first]
    gaps = [seconds for r in rounds for seconds in r.gaps] or [float("nan")]
    carried = median(r.bytes / sum(map(len, r.tokens)) for r in rounds)
    return {
        f"{side}_tokens_per_s": f"{median(r.tokens_per_second for r in rounds):.2f}",
        f"{side}_first_token_ms_p50": f"{1000 * median(first):.2f}",
        f"{side}_inter_token_ms_p50": f"{1000 * np.percentile(gaps, 50):.3f}",
        f"{side}_inter_token_ms_p99": f"{1000 * np.percentile(gaps, 99):.3f}",
        f"{side}_bytes_per_token": f"{carried:.0f}",
    }


def commit() -> str:
    """The commit that is checked out, marked when files differ from it; "" without git."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def default_path(device: str, date: str, against: str) -> Path:
    """bench/results/<device>/<date>-serve.csv, or -openai.csv"""
    name = "serve" if against == "engine" else against
    folder = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") or "unknown"
    return _ROOT / "bench" / "results" / folder / f"{date}-{name}.csv"


def write(path: Path, cells: list[Cell], environment: dict[str, str]) -> None:
    """Writes the results; every row carries the environment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [cell.row() | environment for cell in cells]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


_TABLE = {
    "batch": "batch",
    "mode": "mode",
    "stock_tokens_per_s": "stock tok/s",
    "vagus_tokens_per_s": "vagus tok/s",
    "ratio_median": "ratio",
    "ratio_low": "95 % from",
    "ratio_high": "to",
    "ratio_of_best": "best/best",
    "processor_ratio_median": "processor time ratio",
    "processor_ratio_low": "95 % from ",
    "processor_ratio_high": "to ",
    "stock_first_token_ms_p50": "stock TTFT ms",
    "vagus_first_token_ms_p50": "TTFT ms",
    "stock_inter_token_ms_p50": "stock ITL p50",
    "vagus_inter_token_ms_p50": "ITL p50",
    "stock_inter_token_ms_p99": "stock ITL p99",
    "vagus_inter_token_ms_p99": "ITL p99",
    "stock_bytes_per_token": "stock bytes/token",
    "vagus_bytes_per_token": "bytes/token",
}


def table(cells: list[Cell]) -> str:
    """The results as a Markdown table."""
    lines = [list(_TABLE.values()), ["---"] * len(_TABLE)]
    lines += [[cell.row()[column] for column in _TABLE] for cell in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
