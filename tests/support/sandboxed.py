"""Calls a function in the sandbox, where there can be one."""

import pytest

from vagus_server.experiments.sandbox import Limits, SandboxUnavailable, run_cases
from vagus_server.experiments.sandbox_result import CaseResult


def confines() -> bool:
    try:
        run_cases("def f(x):\n    return x", "f", ["1"])
    except SandboxUnavailable:
        return False
    return True


needs_sandbox = pytest.mark.skipif(
    not confines(), reason="needs util-linux's unshare and a kernel with Landlock and seccomp"
)


def call(body: str, argument: str = "0", limits: Limits | None = None) -> CaseResult:
    code = "def f(x):\n" + "\n".join("    " + line for line in body.splitlines())
    (result,) = run_cases(code, "f", [argument], limits)
    return result
