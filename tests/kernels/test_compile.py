"""The kernels compiled for GPUs that need not be here: registers, spills, width of accesses."""

import pytest
import triton

from bench.kernels.compiled import (
    ARCHITECTURES,
    HIDDEN,
    Compiled,
    around,
    compile_launch,
    fused,
    unfused,
)
from vagus_kernels import gather_readouts

pytestmark = pytest.mark.skipif(
    triton.knobs.runtime.interpret, reason="TRITON_INTERPRET leaves nothing to compile"
)

#: 16-byte loads of the streaming path, for 16 columns a thread: two each of hidden, residual,
#: weight, an operation's vector and a gate's.
WIDE_LOADS = 10
#: Narrow ones: flags, slot, site and what an entry of a program holds.
SCALARS = 16


def check_memory(compiled: Compiled) -> None:
    assert compiled.stack == compiled.spilled == 0
    assert not any("U16" in name or "U8" in name for name in compiled.memory), compiled.memory


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_fused_with_the_norm(arch: int, hidden: int) -> None:
    compiled = compile_launch(fused(hidden, 64, 0), arch)
    check_memory(compiled)
    assert compiled.memory["LDG.E.128"] == WIDE_LOADS
    assert compiled.memory["STG.E.128"] == 4
    assert compiled.memory["LDG.E"] <= SCALARS
    assert compiled.tensor_core == 0
    assert compiled.occupancy(arch) >= 0.5


@pytest.mark.parametrize("rows", [1, 128, 256])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_fused_where_concepts_are_read(arch: int, rows: int) -> None:
    compiled = compile_launch(fused(4096, rows, 171), arch)
    check_memory(compiled)
    assert compiled.memory["LDG.E.128"] == WIDE_LOADS
    copies = {n: c for n, c in compiled.memory.items() if n.startswith("LDGSTS")}
    assert copies, "tiles are not copied to shared memory ahead of the product"
    assert compiled.tensor_core > 0
    assert compiled.occupancy(arch) >= 0.25


@pytest.mark.parametrize("rows", [1, 4096])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_without_the_norm(arch: int, rows: int) -> None:
    steer, read = (compile_launch(launch, arch) for launch in unfused(4096, rows, 171))
    check_memory(steer)
    check_memory(read)
    assert steer.memory["LDG.E.128"] == 8
    assert steer.memory["STG.E.128"] == 2
    assert steer.tensor_core == 0
    assert read.tensor_core > 0


def test_odd_stride_is_loaded_by_element() -> None:
    """The counterpart, which shows that the counts above can tell."""
    compiled = compile_launch(fused(2048, 64, 0, stride=2049), 90)
    assert compiled.memory["LDG.E.U16"] == 32
    assert compiled.memory["LDG.E.128"] == WIDE_LOADS - 4


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_around_a_pass(arch: int) -> None:
    for launch in around(8192, 171):
        check_memory(compile_launch(launch, arch))


def test_rows_to_gather_may_begin_anywhere_in_a_message() -> None:
    """Sections before them have any length; else the first aligned ones compile it once more."""
    rows = gather_readouts._gather_kernel.params[0]
    assert rows.name == "rows_ptr"
    assert rows.do_not_specialize_on_alignment
