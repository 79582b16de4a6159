"""An engine that cannot start: an operator is told, and nothing listens or stays behind."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.engine


def test_an_engine_that_cannot_start_is_told_in_a_line(model_folder: Path, tmp_path: Path) -> None:
    options = ["--model", str(model_folder), "--port", "0", "--metrics-port", "-1", "--eager"]
    # Room for fewer tokens than one request may have.
    options += ["--state", "", "--kv-cache-gib", "0.001", "--max-model-len", "2048"]
    done = subprocess.run(
        [sys.executable, "-m", "vagus_server", "serve", *options],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip().splitlines()[-1].startswith("vagus-server: the engine did not start; ")
    )
    # The engine's own reason; the server adds no traceback of its own to it.
    assert "cache blocks" in done.stderr
    assert "vagus_server/serve.py" not in done.stderr
    assert not [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(tmp_path)]
