"""The kernel compiled for GPUs that need not be here: registers, spills, width of loads."""

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import mangle_type

from vagus_kernels import steer_read

pytestmark = pytest.mark.skipif(
    triton.knobs.runtime.interpret, reason="TRITON_INTERPRET leaves nothing to compile"
)


#: 4-byte loads of the kernel: 3 of the site, 2 of the row, 7 of an operation, 1 of its mark.
SCALARS = 13


class _Recorder:
    """Stands in for the kernel and keeps what the launcher passes it."""

    def __getitem__(self, grid: tuple[int, ...]) -> "_Recorder":
        return self

    def __call__(self, *args: Any, **constants: int) -> None:
        self.args, self.constants = args, constants


def _compile(
    monkeypatch: pytest.MonkeyPatch, arch: int, hidden: int, addend: bool, stride: int
) -> bytes:
    """The binary of a launch on bfloat16, specialised as the runtime would."""

    def table(*shape: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    rows, slots, operations, concepts, vectors = 4, 3, 8, 12, 9
    stream = table(rows, stride, dtype=torch.bfloat16)[:, :hidden]
    kernel, recorder = steer_read._steer_read_kernel, _Recorder()
    with monkeypatch.context() as patch:
        patch.setattr(steer_read, "_steer_read_kernel", recorder)
        steer_read.steer_read_(
            stream,
            stream if addend else None,
            table(vectors, hidden, dtype=torch.float32),
            table(slots, operations, 4),
            table(slots, operations, 4, dtype=torch.float32),
            table(rows),
            table(rows),
            table(4),
            table(concepts, hidden, dtype=torch.float32),
            table(rows, concepts, 2, dtype=torch.float32),
            table(rows, operations, 1),
        )
    constants = dict(recorder.constants)
    options = {"num_warps": constants.pop("num_warps")}
    signature = dict.fromkeys(constants, "constexpr")
    divisible = {}
    for i, arg in enumerate(recorder.args):
        signature[kernel.arg_names[i]] = mangle_type(arg)
        # The caching allocator aligns tensors to more than 16 bytes.
        if isinstance(arg, torch.Tensor) or arg % 16 == 0:
            divisible[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, divisible)
    compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    return bytes(compiled.asm["cubin"])


def _inspect(cubin: bytes, folder: Path) -> tuple[dict[str, int], Counter[str]]:
    """Resources of the kernel, and how often each memory instruction occurs in it."""
    path = folder / "kernel.cubin"
    path.write_bytes(cubin)
    command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", "--dump-sass", path]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    usage = {name: int(n) for name, n in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", text)}
    return usage, Counter(re.findall(r"\b(?:LDG|STG|LDL|STL)[.\w]*", text))


@pytest.mark.parametrize(
    ("hidden", "addend"), [(576, True), (2048, True), (4096, True), (4096, False), (8192, True)]
)
@pytest.mark.parametrize("arch", [80, 90, 100])
def test_no_spills_and_wide_accesses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arch: int, hidden: int, addend: bool
) -> None:
    usage, accesses = _inspect(_compile(monkeypatch, arch, hidden, addend, hidden), tmp_path)
    assert usage["STACK"] == usage["LOCAL"] == 0
    assert set(accesses) == {"LDG.E", "LDG.E.128", "STG.E", "STG.E.128"}
    # The stream alone is stored by the thread: 16 elements in 16-byte pieces of 8.
    assert accesses["STG.E.128"] == 2
    # What is left for narrow loads: scalars. The stream in 4-byte pieces would add 8.
    assert accesses["LDG.E"] < SCALARS + 8


def test_odd_stride_is_loaded_by_element(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The counterpart, which shows that the counts above can tell."""
    _, accesses = _inspect(_compile(monkeypatch, 90, 2048, False, 2049), tmp_path)
    assert accesses["LDG.E.U16"] == accesses["STG.E.U16"] == 16
    assert accesses["LDG.E"] == SCALARS
    assert not accesses["STG.E.128"]
