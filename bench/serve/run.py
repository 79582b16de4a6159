"""Starts the serving benchmark: `python bench/serve/run.py --help`.

Only `bench` is made importable. With the repository's root on the path, its folder `kernels`
would stand for the package of that name that transformers looks for.
"""

import sys
from pathlib import Path
from types import ModuleType

# Processes that multiprocessing spawns run this file's top level again.
if "bench" not in sys.modules:
    package = ModuleType("bench")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["bench"] = package

if __name__ == "__main__":
    from bench.serve.cli import main

    sys.exit(main())
