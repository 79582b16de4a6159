"""Lets vLLM's V2 model runner, whose kernels are Triton, run on a CPU in the interpreter.

Python imports this at start-up in every process of a server that has this folder on its
path. vLLM takes V2 only where Triton has an active driver; a stand-in gives it one.
"""

import importlib.abc
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"


class _StandInDriver:
    @staticmethod
    def is_active() -> bool:
        return True

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cpu", 0, 1)

    def get_current_device(self) -> int:
        return 0


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> Any:
        if name != "triton.backends":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.backends["cpu"] = type(
                "StandIn", (), {"driver": _StandInDriver, "compiler": None}
            )()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Finder())
