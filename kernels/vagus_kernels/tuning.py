"""How launches are cut, by device and shape.

The defaults follow from register and occupancy figures of the compiled code (docs/kernels.md).
Where `bench/kernels/tune.py` has measured better ones on a device, they lie in
`tuned/<device name>.json` beside this file and take the defaults' place:

    {"<hidden>x<concepts>": {"tile_rows": 128, ...}, ...}
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "tuned"


@dataclass(frozen=True)
class Tuning:
    """Choices that change no result but by rounding; all are powers of two."""

    #: Warps of a program that holds one row; 0 takes 16 columns a thread.
    row_warps: int = 0
    #: Up to so many rows, tiles share a launch with programs for single rows, and are smaller.
    few_rows: int = 256
    #: Rows and warps of a tile with more rows than that.
    tile_rows: int = 64
    tile_warps: int = 8
    #: Concepts of a tile, and columns per step of its product.
    tile_concepts: int = 64
    step_columns: int = 64
    #: Tiles that keep the device busy: with fewer, columns are split.
    enough: int = 128


DEFAULT = Tuning()


def tuning(device: torch.device, hidden: int, concepts: int) -> Tuning:
    """The choices for a shape on a device; the defaults where nothing was measured."""
    if device.type != "cuda":
        return DEFAULT
    return _tuned(_name(device.index or 0)).get(f"{hidden}x{concepts}", DEFAULT)


@cache
def _name(index: int) -> str:
    return file_name(torch.cuda.get_device_name(index))


def file_name(device: str) -> str:
    """Name of a device's file, without suffix."""
    return device.lower().replace(" ", "-")


@cache
def _tuned(name: str) -> dict[str, Tuning]:
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return {}
    return {shape: Tuning(**given) for shape, given in json.loads(path.read_text()).items()}
