"""Test set-up of the kernels: their shared modules are importable, torch keeps to one core."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

# In importlib mode a test module cannot import its neighbours by itself.
sys.path.insert(0, str(Path(__file__).parent))
# The repository's root stays off the path: its folder `kernels` would hide a package.
bench = ModuleType("bench")
bench.__path__ = [str(Path(__file__).parents[2] / "bench")]
sys.modules.setdefault("bench", bench)


@pytest.fixture(autouse=True, scope="module")
def one_core() -> Iterator[None]:
    """Tensors this small are slower on several threads, the more so where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
