"""The demo: a server, a client in another process, a few metrics; then everything stops."""

import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVER = [
    *(sys.executable, "-m", "vagus_server", "serve"),
    *("--port", "0", "--metrics-port", "0", "--eager", "--max-model-len", "1024"),
    *("--max-running", "16", "--kv-cache-gib", "0.5", "--state", ""),
]
METRICS = (
    'vagus_requests_total{code="OK",method="StreamGenerate"}',
    "vagus_generated_tokens_total",
    "vagus_steered_tokens_total",
    "vagus_receipts_total",
    'vagus_concept_turn_mean_z_count{concept="desperate"}',
    'vagus_concept_dose_ratio_sum{concept="calm"}',
    "vagus_worker_program_slots_used",
)


def main() -> int:
    """Returns the exit code."""
    server = subprocess.Popen(SERVER, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log: list[str] = []
    threading.Thread(target=show_progress, args=(server, log), daemon=True).start()
    try:
        addresses = wait_until_serving(server, log)
        client = [sys.executable, str(ROOT / "examples" / "side_by_side.py")]
        code = subprocess.run([*client, "--server", addresses["serving"]], check=False).returncode
        time.sleep(1.5)  # the server looks at its workers once a second
        print("\nmetrics:")
        with urllib.request.urlopen(addresses["metrics"], timeout=10) as page:
            for line in page.read().decode().splitlines():
                if line.startswith(METRICS):
                    print(" ", line)
        return code
    finally:
        server.terminate()
        server.wait(60)


def show_progress(server: subprocess.Popen[str], log: list[str]) -> None:
    """Shows what the server itself says; keeps what its libraries say, in case it fails."""
    assert server.stderr is not None
    for line in server.stderr:
        log.append(line)
        if line.startswith(("starting", "converting", "vagus-server")):
            print(line, end="", flush=True)


def wait_until_serving(server: subprocess.Popen[str], log: list[str]) -> dict[str, str]:
    """Reads the addresses that the server prints when it is healthy."""
    assert server.stdout is not None
    found: dict[str, str] = {}
    for line in server.stdout:
        if match := re.match(r"(serving) .* on (\S+)|(metrics) on (\S+)", line):
            found[match[1] or match[3]] = match[2] or match[4]
        if len(found) == 2:
            return found
    sys.stderr.writelines(log)
    raise SystemExit(f"the server ended with code {server.wait()}")


if __name__ == "__main__":
    sys.exit(main())
