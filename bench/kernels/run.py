"""Times the kernels against the engine's own fused norm, on a GPU.

usage: python bench/kernels/run.py [--out FILE]

Every figure is the median over replays of a CUDA graph of many launches, each on buffers of its
own, so that nothing is in the cache but what a decoder would find there (vectors, weight).
Nothing is timed before it has been found right. Without a GPU it prints the floors alone.
"""

import argparse
import csv
import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

if "bench" not in sys.modules:
    package = ModuleType("bench")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["bench"] = package

import torch

from bench.kernels.roofline import DEVICES, Device, Work
from bench.kernels.scene import Scene

HIDDEN = (2048, 4096)
DECODE = (1, 8, 32, 64, 128, 256)
PREFILL = 8192
REPLAYS = 50


def works(hidden: int, rows: int) -> dict[str, Work]:
    """What is measured for one shape of the stream."""
    shapes = {
        "idle": Work(rows, hidden),
        "one ADD": Work(rows, hidden, steered=1),
        "three operations, shared": Work(rows, hidden, steered=3),
        "three operations, distinct": Work(rows, hidden, steered=3, programs=rows),
        "one ADD, 171 readouts": Work(rows, hidden, steered=1, concepts=171),
    }
    return shapes


def seconds(launches: list[Callable[[], object]]) -> float:
    """Median time of one launch, of a graph that makes all of them."""
    launches[0]()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [launch() for launch in launches]
    times = []
    for _ in range(REPLAYS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / len(launches))
    del kept
    return sorted(times)[len(times) // 2]


def buffers(work: Work, cache: float) -> int:
    """How many sets of buffers are together larger than the cache twice over."""
    return max(8, min(256, int(2 * cache / work.stream_bytes) + 1))


def engine_norm() -> Callable[..., object] | None:
    """vLLM's own kernel, where vLLM is installed."""
    try:
        import vllm._custom_ops as ops
    except ImportError:
        return None
    return ops.fused_add_rms_norm


def measure(device: Device) -> list[dict[str, object]]:
    """All rows of the results."""
    rows_of_results: list[dict[str, object]] = []
    for hidden in HIDDEN:
        for rows in (*DECODE, PREFILL):
            count = buffers(Work(rows, hidden), device.cache)
            baselines = Scene(Work(rows, hidden), count)
            copy = seconds(baselines.copies())
            native = seconds(baselines.native_norms())
            own = engine_norm()
            engine = seconds(baselines.engine_norms(own)) if own is not None else native
            for name, work in works(hidden, rows).items():
                scene = Scene(work, count)
                scene.check()
                measured, floor = seconds(scene.launches()), work.floor(device)
                unfused = seconds(scene.unfused_launches())
                rows_of_results.append(
                    {
                        "hidden": hidden,
                        "rows": rows,
                        "work": name,
                        "bytes": work.stream_bytes + work.vector_bytes + work.readout_bytes,
                        "operations": work.operations,
                        "floor_us": round(floor * 1e6, 2),
                        "measured_us": round(measured * 1e6, 2),
                        "share_of_floor": round(floor / measured, 3),
                        "engine_norm_us": round(engine * 1e6, 2),
                        "native_norm_us": round(native * 1e6, 2),
                        "ratio_to_engine": round(measured / engine, 3),
                        "steer_read_us": round(unfused * 1e6, 2),
                        "copy_us": round(copy * 1e6, 2),
                        "share_of_copy_bandwidth": round(
                            (work.stream_bytes / measured) / (baselines.copied_bytes / copy), 3
                        ),
                    }
                )
                print(rows_of_results[-1], flush=True)
    return rows_of_results


def predict() -> None:
    """Prints the floors for known devices."""
    print("no CUDA device: floors by memory traffic, in microseconds (launch included)")
    for device in DEVICES:
        for hidden in HIDDEN:
            for rows in (1, 64, 256, PREFILL):
                floors = {n: w.floor(device) * 1e6 for n, w in works(hidden, rows).items()}
                text = ", ".join(f"{name} {us:.1f}" for name, us in floors.items())
                print(f"{device.name} hidden {hidden} rows {rows}: {text}")


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="default: bench/results/<gpu>/<date>-kernels.csv")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        predict()
        return 0
    name = torch.cuda.get_device_name()
    device = next((d for d in DEVICES if d.name in name), DEVICES[1])
    results = measure(device)
    folder = Path(__file__).resolve().parents[1] / "results" / name.lower().replace(" ", "-")
    out = arguments.out or folder / f"{datetime.date.today().isoformat()}-kernels.csv"
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(results[0]))
        writer.writeheader()
        writer.writerows(results)
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
