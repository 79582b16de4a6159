"""Starts the load and fault harness: `python bench/load/run.py --help`.

Only `bench` and the tests' helpers are made importable. With the repository's root on the path,
its folder `kernels` would stand for the package of that name that transformers looks for.
"""

import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
if "bench" not in sys.modules:
    package = ModuleType("bench")
    package.__path__ = [str(ROOT / "bench")]
    sys.modules["bench"] = package
    sys.path.insert(0, str(ROOT / "tests"))

if __name__ == "__main__":
    from bench.load.cli import app

    app()
