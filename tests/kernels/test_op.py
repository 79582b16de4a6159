"""`torch.ops.vagus`: the schemas tell the truth, and compilers respect them."""

from collections.abc import Callable

import pytest
import torch
import torch._dynamo
import torch._inductor.config
from kernel_cases import Case
from kernel_checks import check_fused, check_in_place
from torch import Tensor

from vagus_kernels.cpu_sites import Held
from vagus_kernels.layout import SiteTables
from vagus_kernels.op import steer_add_rms_norm, steer_read_, steer_read_at_

Site = tuple[Tensor, Tensor, SiteTables]

STEERED = Case(hidden=64, rows=8, addend=True)
READ = Case(hidden=64, rows=8, addend=True, steering=0)


def _finite(case: Case) -> Site:
    """The case without NaN, and with small integers: opcheck compares with a tolerance."""
    stream, addend, tables = case.build()
    for table in (tables.readout, tables.marks, tables.steps):
        table.zero_()
    return stream.nan_to_num_(0.5), torch.zeros_like(stream) if addend is None else addend, tables


def _layer(stream: Tensor, addend: Tensor, tables: SiteTables, weight: Tensor) -> Tensor:
    """Where two decoder layers meet: one's output, the site, the other's norm."""
    stream = stream + addend.tanh()
    steer_read_(stream, addend, *tables)
    return torch.nn.functional.rms_norm(stream + addend, (stream.shape[1],), weight)


def _fused_layer(stream: Tensor, addend: Tensor, tables: SiteTables, weight: Tensor) -> Tensor:
    normed, stream = steer_add_rms_norm(
        addend, stream + addend.tanh(), weight, 1e-5, False, *tables
    )
    return normed + stream


def _only_reads(stream: Tensor, addend: Tensor, tables: SiteTables, weight: Tensor) -> Tensor:
    """The op's outputs are used by nobody in the graph."""
    steer_read_(stream * 2, addend, *tables)
    return stream + weight


def _layer_at(stream: Tensor, addend: Tensor, tables: SiteTables, weight: Tensor) -> Tensor:
    stream = stream + addend.tanh()
    steer_read_at_(stream, addend, tables.site)
    return torch.nn.functional.rms_norm(stream + addend, (stream.shape[1],), weight)


def _only_reads_at(stream: Tensor, addend: Tensor, tables: SiteTables, weight: Tensor) -> Tensor:
    steer_read_at_(stream * 2, addend, tables.site)
    return stream + weight


def _held(stream: Tensor, addend: Tensor | None, *tables: Tensor) -> None:
    held = Held(SiteTables(*tables))
    steer_read_at_(stream, addend, held.tables.site)
    held.tables.site[2] = 0  # as it came: the check compares it


@pytest.mark.parametrize("case", [STEERED, READ, Case(), Case(reading=0)], ids=str)
def test_dispatch(case: Case) -> None:
    check_in_place(steer_read_, case)
    check_in_place(_held, case)
    if case.addend:
        check_fused(steer_add_rms_norm, case, False)


@pytest.mark.parametrize("case", [STEERED, READ, Case(rows=0), Case(concepts=0)], ids=str)
def test_opcheck(case: Case) -> None:
    stream, addend, tables = _finite(case)
    torch.library.opcheck(steer_read_, (stream, addend if case.addend else None, *tables))
    held = Held(tables)
    torch.library.opcheck(steer_read_at_, (stream, addend, held.tables.site))
    arguments = (stream, addend, case.weight(), 1e-5, True, *tables)
    torch.library.opcheck(steer_add_rms_norm, arguments)


def test_tables_that_nobody_holds_fail_the_pass() -> None:
    stream, addend, tables = _finite(STEERED)
    held = Held(tables)
    steer_read_at_(stream, addend, tables.site)
    del held
    with pytest.raises(KeyError):
        steer_read_at_(stream, addend, tables.site)


FUNCTIONS = [_layer, _fused_layer, _only_reads, _layer_at, _only_reads_at]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("backend", "in_place_v2"), [("eager", True), ("inductor", True), ("inductor", False)]
)
def test_compiled_equals_eager(
    function: Callable[..., Tensor], backend: str, in_place_v2: bool
) -> None:
    """vLLM compiles with the first version of inductor's pass for operators in place."""
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=backend)
    weight = torch.linspace(0.5, 1.5, 64)
    for case in (STEERED, READ):
        stream, addend, tables = _finite(case)
        *_, tables_compiled = _finite(case)
        held = Held(tables), Held(tables_compiled)
        want = function(stream, addend, tables, weight)
        settings = {"enable_auto_functionalized_v2": in_place_v2, "fx_graph_cache": False}
        with torch._inductor.config.patch(settings):
            got = compiled(stream, addend, tables_compiled, weight)

        # Fused arithmetic rounds in other places; outputs are of order 1, readouts of 10.
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(tables_compiled.readout, tables.readout, rtol=1e-5, atol=1e-4)
        assert tables.readout.any()
        assert tables.marks.any() == case.steering
        assert len({int(of.tables.site[2]) for of in held}) == 2
        assert torch.equal(tables_compiled.marks, tables.marks)
