"""`make pictures`: the dashboards, of a real run: a server, a Prometheus, a few minutes' traffic.

Four tenants talk: one steers towards calm, one writes of fear in the second half, one asks of its
day, one has no name. Needs `prometheus` (Debian's package of that name).
"""

import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from support.prometheus_process import PrometheusProcess
from support.server_process import ServerProcess
from vagus import Client, VagusError, add, clamp

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images"
OPTIONS = ("--eager", "--max-model-len", "512", "--metric-tenants", "clinic,newsroom,school")
SCRAPE_SECONDS = 5
MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 9.0


def main() -> None:
    """Runs everything, draws, and stops everything."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(*OPTIONS) as server,
        PrometheusProcess(server.metrics_target, Path(folder), SCRAPE_SECONDS) as prometheus,
    ):
        talk(server.target)
        command = [sys.executable, str(ROOT / "deploy/grafana/draw.py"), "--out", str(PICTURES)]
        command += ["--prometheus", prometheus.url, "--minutes", str(MINUTES)]
        subprocess.run([*command, "--scrape-interval", str(SCRAPE_SECONDS)], check=True)


def talk(target: str) -> None:
    """Lets the tenants talk at once, until the time is over."""
    end = time.monotonic() + 60 * MINUTES
    half = end - 30 * MINUTES
    tenants = {"clinic": clinic, "newsroom": newsroom, "school": school, "": nameless}
    threads = [
        threading.Thread(target=_repeat, args=(target, tenant, say, half, end))
        for tenant, say in tenants.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _repeat(
    target: str, tenant: str, say: Callable[[Client, int, bool], object], half: float, end: float
) -> None:
    with Client(target, tenant=tenant) as client:
        for turn in itertools.count():
            if time.monotonic() > end:
                return
            try:
                say(client, turn, time.monotonic() > half)
            except VagusError as error:
                print(f"{tenant or 'nameless'}: {error}")


def clinic(client: Client, turn: int, late: bool) -> object:
    """Steers every reply towards calm, later less."""
    program = [add("calm", 0.1 if late else 0.25), clamp("desperate", upper=0.0)]
    return client.generate(
        f"I wait for a result since {turn + 2} days.", program=program, max_tokens=40, seed=turn
    )


def newsroom(client: Client, turn: int, late: bool) -> object:
    """Writes of quiet days first, of terror later."""
    topic = "a robber with a knife who hunts us in the dark" if late else "a quiet day at the lake"
    return client.generate(f"Write about {topic}.", max_tokens=40, seed=turn)


def school(client: Client, turn: int, late: bool) -> object:
    """Steers different concepts in turn; asks for one that does not exist now and then."""
    name = ("happy", "grateful", "proud", "sad", "hapy")[turn % 5]
    dose = 0.2 if late else 0.1
    return client.generate("Tell me of your day.", program=[add(name, dose)], max_tokens=24)


def nameless(client: Client, turn: int, late: bool) -> object:
    """Reads texts, and generates without steering; later it only generates."""
    if turn % 3 == 0 and not late:
        return client.read([f"They are {turn} minutes late and nobody answers."])
    return client.generate("Count the days of the week.", max_tokens=16, seed=turn)


if __name__ == "__main__":
    main()
