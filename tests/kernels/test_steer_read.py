"""The Triton kernel against the oracle: interpreted on the CPU, compiled on a GPU.

Triton decides on import, for a whole process, whether kernels are interpreted. So the
interpreter gets a process of its own, and this one stays free to compile.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple
from unittest import mock

import pytest
import torch
from kernel_cases import CASES, Case
from kernel_checks import Op, check, check_sites_accumulate
from torch import Tensor

from vagus_kernels.layout import SiteTables
from vagus_kernels.steer_read import steer_read_


class Launch(NamedTuple):
    op: Op
    device: str
    #: How a float32 is rounded to bfloat16, in units in the last place.
    bfloat16_ulps: float


@pytest.fixture(
    scope="module", params=["interpreted", pytest.param("compiled", marks=pytest.mark.gpu)]
)
def launch(request: pytest.FixtureRequest) -> Iterator[Launch]:
    if request.param == "compiled":
        _need_gpu()
        yield Launch(steer_read_, "cuda", 0.5)
        return
    # torch hands tensors to another process in shared memory, so what the launcher writes
    # there is seen here. The interpreter cuts a float32 off where hardware rounds it.
    with mock.patch.dict(os.environ, TRITON_INTERPRET="1"):
        pool = ProcessPoolExecutor(1, mp_context=torch.multiprocessing.get_context("spawn"))
        pool.submit(int).result()
    with pool:
        yield Launch(lambda *args: pool.submit(steer_read_, *args).result(timeout=60), "cpu", 1.0)


def _need_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_site(launch: Launch, case: Case) -> None:
    ulps = launch.bfloat16_ulps if case.dtype == torch.bfloat16 else 0.5
    check(launch.op, case, launch.device, ulps)


def test_sites_accumulate(launch: Launch) -> None:
    check_sites_accumulate(launch.op, launch.device)


@pytest.mark.gpu
def test_graph_replays_with_new_tables() -> None:
    _need_gpu()

    def replay(stream: Tensor, addend: Tensor | None, *tables: Tensor) -> None:
        site = SiteTables(*tables).site
        busy = site.clone()
        site.zero_()
        steer_read_(stream, addend, *tables)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            steer_read_(stream, addend, *tables)
        site.copy_(busy)
        graph.replay()

    check(replay, Case(hidden=576), "cuda")


@pytest.mark.gpu
def test_offsets_past_31_bits() -> None:
    _need_gpu()

    def far_apart(stream: Tensor, addend: Tensor | None, *tables: Tensor) -> None:
        strides = ((1 << 30) + 16, 1)
        far = torch.empty_strided(stream.shape, strides, dtype=stream.dtype, device=stream.device)
        steer_read_(far.copy_(stream), addend, *tables)
        stream.copy_(far)

    check(far_apart, Case(rows=3, dtype=torch.bfloat16), "cuda")
