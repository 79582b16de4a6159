"""A real Prometheus with the rules of deploy/, scraping one server."""

import json
import re
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

import yaml

from support.waiting import wait_for

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


class PrometheusProcess:
    """Runs while the block does; needs `prometheus` (Debian's package of that name).

    Args:
        target: the server's metrics, as host:port.
        folder: for its configuration and data.
        seconds: between scrapes, and between evaluations of the rules.
    """

    def __init__(self, target: str, folder: Path, seconds: int = 3) -> None:
        config = yaml.safe_load((RULES / "prometheus.yml").read_text())
        times = ("scrape_interval", "evaluation_interval")
        config["global"] = dict.fromkeys(times, f"{seconds}s")
        config["rule_files"] = [str(RULES / file) for file in config["rule_files"]]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._command = ["prometheus", f"--config.file={folder}/prometheus.yml"]
        self._command += [f"--storage.tsdb.path={folder}/data", "--web.listen-address=127.0.0.1:0"]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        output = self._process.stdout
        assert output is not None
        log = ""
        for line in output:
            log += line
            if found := re.search(r'msg="Listening on" address=(\S+)', line):
                self.url = f"http://{found[1]}"
                # Whatever it says later must not fill the pipe.
                threading.Thread(target=lambda: list(output), daemon=True).start()
                wait_for(self._ready, "Prometheus to open its data", 120)
                return self
        raise RuntimeError("Prometheus did not start:\n" + log)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=30) as page:
                return bool(page.status == 200)
        except urllib.error.HTTPError:
            return False

    def get(self, path: str, **arguments: str) -> Any:
        """`data` of an answer of its API."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=30) as page:
            return json.load(page)["data"]

    def query(self, expr: str) -> dict[frozenset[tuple[str, str]], float]:
        """Values of an expression now, by labels."""
        found = self.get("query", query=expr)["result"]
        return {frozenset(s["metric"].items()): float(s["value"][1]) for s in found}
