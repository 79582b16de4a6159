"""Measures how launches are best cut on this GPU: `python bench/kernels/tune.py`.

For every shape, each choice is changed in turn from the best so far, checked against the
reference, timed on decode batches and on a prefill, and kept if the geometric mean of the times
falls by more than the noise. Writes kernels/vagus_kernels/tuned/<device>.json.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from unittest import mock

if "bench" not in sys.modules:
    package = ModuleType("bench")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["bench"] = package

import torch
from triton.errors import TritonError

from bench.kernels.roofline import DEVICES, Work
from bench.kernels.run import buffers, seconds
from bench.kernels.scene import Scene
from vagus_kernels import project, steer_add_rms_norm
from vagus_kernels.tuning import DEFAULT, FOLDER, Tuning, file_name

CHOICES = {
    "row_warps": (0, 2, 4, 8, 16),
    "few_rows": (64, 128, 256, 512),
    "tile_rows": (64, 128),
    "tile_warps": (4, 8),
    "tile_concepts": (32, 64, 128),
    "step_columns": (32, 64, 128),
    "enough": (66, 132, 264),
}
ROWS = (1, 16, 64, 256, 4096)
#: A choice has to be better by this share, or chance would choose.
_GAIN = 0.02


def cost(choice: Tuning, hidden: int, concepts: int, cache: float) -> float:
    """Geometric mean of the times of steered and read passes, in seconds; inf if it fails."""

    def chosen(*_: object) -> Tuning:
        return choice

    total = 0.0
    with (
        mock.patch.object(project, "tuning", chosen),
        mock.patch.object(steer_add_rms_norm, "tuning", chosen),
    ):
        for rows in ROWS:
            work = Work(rows, hidden, steered=1, concepts=concepts)
            scene = Scene(work, buffers(work, cache))
            try:
                scene.check()
                total += math.log(seconds(scene.launches()))
            # Out of registers or shared memory, or wrong.
            except (TritonError, RuntimeError, AssertionError) as error:
                print(f"  {choice}: {type(error).__name__}", flush=True)
                return math.inf
    return math.exp(total / len(ROWS))


def tune(hidden: int, concepts: int, cache: float) -> Tuning:
    """Coordinate descent, once through all choices."""
    best, least = DEFAULT, cost(DEFAULT, hidden, concepts, cache)
    for name, values in CHOICES.items():
        for value in values:
            choice = replace(best, **{name: value})
            if choice == best:
                continue
            found = cost(choice, hidden, concepts, cache)
            if found < least * (1 - _GAIN):
                best, least = choice, found
    print(f"{hidden}x{concepts}: {least * 1e6:.2f} us, {best}", flush=True)
    return best


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", default="1024,2048,3584,4096,5120,8192")
    parser.add_argument("--concepts", default="0,171")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing to tune; the defaults stay")
        return 0
    name = torch.cuda.get_device_name()
    device = next((d for d in DEVICES if d.name in name), DEVICES[1])
    tuned = {}
    for hidden in map(int, arguments.hidden.split(",")):
        for concepts in map(int, arguments.concepts.split(",")):
            choice = asdict(tune(hidden, concepts, device.cache))
            changed = {k: v for k, v in choice.items() if v != getattr(DEFAULT, k)}
            if changed:
                tuned[f"{hidden}x{concepts}"] = changed
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{file_name(name)}.json"
    path.write_text(json.dumps(tuned, indent=2) + "\n")
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
