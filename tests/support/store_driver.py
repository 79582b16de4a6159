"""Changes a store without end, and says so before and after each change. Killed by its parent.

Usage: store_driver.py FOLDER SEED FIRST
"""

import sys
from pathlib import Path

import numpy as np

from vagus_server.concepts.concept import Concept, Reference
from vagus_server.concepts.parse import Shape
from vagus_server.concepts.store import Store
from vagus_server.concepts.vectors import Vectors

SHAPE = Shape(sites=20, hidden=2000)
NAMES = [f"concept {i}" for i in range(6)]


def change(seed: int, number: int) -> tuple[str, Concept | None]:
    """The name that the change is about, and what it is afterwards; None: deleted."""
    draw = np.random.default_rng([seed, number])
    name = NAMES[draw.integers(len(NAMES))]
    if draw.random() < 0.3:
        return name, None
    # Few contents, so that some are shared and some come back.
    value = draw.integers(1, 8)
    array = np.full((SHAPE.sites, SHAPE.hidden), value, dtype=np.float16)
    reference = {0: Reference(float(value), 1.0)}
    return name, Concept(name, Vectors.of(array), reference, f"change {number}", f"{number:09}")


def main() -> None:
    folder, seed, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store = Store(folder, "model")
    for number in range(first, 10**9):
        name, concept = change(seed, number)
        print("begin", number, flush=True)  # noqa: T201
        if concept is None:
            store.delete("tenant", name)
        else:
            store.put("tenant", concept)
        print("done", number, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
