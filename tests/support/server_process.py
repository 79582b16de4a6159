"""A real `vagus-server serve` in a process of its own."""

import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Self

import grpc
import psutil

from support.app_thread import PACK
from support.waiting import wait_for

V2_ON_CPU = Path(__file__).parent / "v2_on_cpu"


class ServerProcess:
    """Starts the server with the bundled model; `channel` speaks to it.

    Args:
        *arguments: further arguments of `vagus-server serve`.
        v2: vLLM's V2 runner and asynchronous scheduling, in Triton's interpreter.
        env: further environment variables.
        seconds: how long the start may take.
    """

    def __init__(
        self,
        *arguments: str,
        v2: bool = False,
        env: dict[str, str] | None = None,
        seconds: float = 600,
    ) -> None:
        command = [sys.executable, "-m", "vagus_server", "serve", "--pack", str(PACK)]
        command += ["--port", "0", "--metrics-port", "0", "--kv-cache-gib", "0.5"]
        command += ["--state", "", *arguments]
        self._command = command
        self._env = {**os.environ, **(env or {})}
        if v2:
            paths = [str(V2_ON_CPU), self._env.get("PYTHONPATH", "")]
            self._env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
            self._env["VLLM_USE_V2_MODEL_RUNNER"] = "1"
        self._seconds = seconds
        self.runner = 2 if v2 else 1
        self.output: list[str] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + self._seconds
        while not (address := self._find(r"serving \S+ on ([^\s\"]+)[\"\n]")):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise RuntimeError("the server did not start:\n" + "".join(self.output))
            time.sleep(0.1)
        self.target = address
        self.channel = grpc.insecure_channel(address)
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self._stop()

    def _stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def kill(self) -> None:
        """Ends the server's process at once, as a lack of memory does; the engine's must follow."""
        processes = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(30)
        _, alive = psutil.wait_procs(processes, 30)
        assert not alive

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.output.extend(iter(self.process.stdout.readline, ""))

    def _find(self, pattern: str) -> str:
        found = re.search(pattern, "".join(self.output), re.MULTILINE)
        return found[1] if found else ""

    @property
    def metrics_target(self) -> str:
        """Host and port of the metrics page, which the server tells right after its own."""
        pattern = r"metrics on http://([^/\s]+)/metrics"
        wait_for(lambda: bool(self._find(pattern)), "the address of the metrics")
        return self._find(pattern)

    def metrics(self) -> dict[str, float]:
        """The metrics page, by sample name with labels."""
        with urllib.request.urlopen(f"http://{self.metrics_target}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def usage(self) -> dict[str, int]:
        """Requests and slots that the workers hold, as of the last second."""
        metrics = self.metrics()
        return {
            "requests": int(metrics["vagus_worker_requests"]),
            "slots": int(metrics["vagus_worker_program_slots_used"]),
        }
