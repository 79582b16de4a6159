"""The Triton kernels against the oracle: interpreted on the CPU, compiled on a GPU.

Triton decides on import, for a whole process, whether kernels are interpreted. So the
interpreter gets a process of its own, and this one stays free to compile.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from kernel_cases import CASES, LARGE, LARGEST, MANY_ROWS, Case
from kernel_checks import (
    check_far_rows,
    check_fused,
    check_gate_of_an_earlier_site,
    check_idle_rows_are_plain,
    check_in_place,
)
from kernel_oracle import nearest_tf32
from tf32_driver import NANS, patterns, round_
from torch import Tensor

from vagus_kernels.layout import READ_FLAG, SiteTables
from vagus_kernels.steer_add_rms_norm import steer_add_rms_norm
from vagus_kernels.steer_read import steer_read_

FUSED = [case for case in CASES if case.addend]


class Launch(NamedTuple):
    run: Callable[..., Any]
    device: str
    #: How a float32 is rounded to bfloat16, in units in the last place.
    bfloat16_ulps: float

    def in_place(self, *args: Any) -> Any:
        return self.run(steer_read_, *args)

    def fused(self, *args: Any) -> Any:
        return self.run(steer_add_rms_norm, *args)

    def ulps(self, case: Case) -> float:
        return self.bfloat16_ulps if case.dtype == torch.bfloat16 else 0.5


@pytest.fixture(
    scope="module", params=["interpreted", pytest.param("compiled", marks=pytest.mark.gpu)]
)
def launch(request: pytest.FixtureRequest) -> Iterator[Launch]:
    if request.param == "compiled":
        _need_gpu()
        yield Launch(lambda function, *args: function(*args), "cuda", 0.5)
        return
    # torch hands tensors to another process in shared memory, so what the launcher writes
    # there is seen here. The interpreter cuts a float32 off where hardware rounds it.
    with mock.patch.dict(os.environ, TRITON_INTERPRET="1"):
        pool = ProcessPoolExecutor(1, mp_context=torch.multiprocessing.get_context("spawn"))
        pool.submit(int).result()
    with pool:
        yield Launch(lambda *args: pool.submit(*args).result(timeout=120), "cpu", 1.0)


def _need_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steer_read(launch: Launch, case: Case) -> None:
    check_in_place(launch.in_place, case, launch.device, launch.ulps(case))


@pytest.mark.parametrize("plus_one", [False, True], ids=["weight", "plus_one"])
@pytest.mark.parametrize("case", FUSED, ids=str)
def test_steer_add_rms_norm(launch: Launch, case: Case, plus_one: bool) -> None:
    check_fused(launch.fused, case, plus_one, launch.device, launch.ulps(case))


@pytest.mark.parametrize("case", FUSED, ids=str)
def test_idle_rows_are_plain(launch: Launch, case: Case) -> None:
    check_idle_rows_are_plain(launch.fused, case, launch.device)


def test_round_to_tf32(launch: Launch) -> None:
    x = patterns(20000)
    x = x[: x.numel() // 256 * 256].to(launch.device)
    rounded = x.clone()
    launch.run(round_, rounded)
    assert torch.equal(rounded.cpu().view(torch.int32), nearest_tf32(x).view(torch.int32))
    nans = torch.tensor(NANS * 64, dtype=torch.int32, device=launch.device).view(torch.float32)
    launch.run(round_, nans)
    assert nans.isnan().all()


def test_the_stream_is_rounded_before_it_is_read(launch: Launch) -> None:
    stream, _, tables = Case(hidden=64, rows=3, steering=0).build(launch.device)
    stream.fill_(1 + 2**-11)
    tables.row_flags.fill_(READ_FLAG)
    launch.in_place(stream, None, *tables)
    splits, rows = tables.readout_shape.tolist()
    found = tables.readout[: splits * rows].view(splits, rows, -1).sum(0)
    want = (1 + 2**-10) * tables.readout_vectors.float().sum(1) * tables.readout_scale
    torch.testing.assert_close(found, want.expand(rows, -1), rtol=1e-5, atol=1e-6)


def test_gate_of_an_earlier_site(launch: Launch) -> None:
    check_gate_of_an_earlier_site(launch.in_place, launch.device)


@pytest.mark.parametrize("case", MANY_ROWS, ids=str)
def test_many_rows(launch: Launch, case: Case) -> None:
    check_fused(launch.fused, case, False, launch.device, launch.ulps(case))
    check_in_place(launch.in_place, case, launch.device, launch.ulps(case))


def test_rows_past_2_to_the_31(launch: Launch) -> None:
    """Where the kernels run: a stream of 4 GB, of which three rows are ever touched."""
    launch.run(check_far_rows, steer_add_rms_norm, steer_read_, launch.device)


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_decoder_shapes(launch: Launch, case: Case) -> None:
    check_fused(launch.fused, case, False, launch.device, launch.ulps(case))


@pytest.mark.gpu
@pytest.mark.parametrize("case", LARGEST, ids=str)
def test_largest_shapes(case: Case) -> None:
    _need_gpu()
    check_fused(steer_add_rms_norm, case, False, "cuda")
    check_in_place(steer_read_, case, "cuda")


@pytest.mark.gpu
def test_graphs_replay_with_new_tables() -> None:
    """Captured with nothing to do, replayed with everything: equal to eager bit for bit."""
    _need_gpu()
    case = Case(hidden=2048, rows=64, dtype=torch.bfloat16, concepts=171, addend=True)

    def replayed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(first: Tensor, second: Tensor, *rest: Any) -> Any:
            tables = SiteTables(*rest[-len(SiteTables._fields) :])
            busy = tables.site.clone()
            tables.site.zero_()
            function(first, second, *rest)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = function(first, second, *rest)
            tables.site.copy_(busy)
            graph.replay()
            return outputs

        return run

    check_in_place(replayed(steer_read_), case, "cuda")
    check_fused(replayed(steer_add_rms_norm), case, False, "cuda")
