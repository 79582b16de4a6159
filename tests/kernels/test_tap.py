"""Sums over ranges of rows: torch and Triton against float64."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from vagus_kernels import op, reference, tap

RANGES = [(0, 3), (5, 5), (5, 6), (9, 2), (6, 40)]


@pytest.fixture(
    scope="module",
    params=["torch", "op", "interpreted", pytest.param("compiled", marks=pytest.mark.gpu)],
)
def run(request: pytest.FixtureRequest) -> Iterator[tuple[Callable[..., Any], str]]:
    if request.param in ("torch", "op"):
        yield {"torch": reference.tap_, "op": op.tap_}[request.param], "cpu"
    elif request.param == "compiled":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        yield tap.tap_, "cuda"
    else:
        with mock.patch.dict(os.environ, TRITON_INTERPRET="1"):
            pool = ProcessPoolExecutor(1, mp_context=torch.multiprocessing.get_context("spawn"))
            pool.submit(int).result()
        with pool:
            yield lambda *args: pool.submit(tap.tap_, *args).result(timeout=60), "cpu"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("addend", [False, True], ids=["alone", "addend"])
@pytest.mark.parametrize("hidden", [1, 33, 576])
def test_tap(
    run: tuple[Callable[..., Any], str], hidden: int, addend: bool, dtype: torch.dtype
) -> None:
    function, device = run
    draw = torch.Generator().manual_seed(hidden)

    def part() -> Tensor:
        values = torch.randn(40, hidden + 3, generator=draw).to(dtype)
        values[3:5] = torch.nan  # in no range
        return values.to(device)[:, :hidden]

    stream, other = part(), part() if addend else None
    x = stream.double().cpu() + (0 if other is None else other.double().cpu())
    before = torch.randn(len(RANGES), hidden + 1, generator=draw)
    expected = before.double()
    for group, (start, end) in enumerate(RANGES):
        if start < end:
            expected[group, :-1] += x[start:end].sum(0)
            expected[group, -1] += x[start:end].norm(dim=1).sum()
    sums = before.to(device).clone()
    ranges = torch.tensor(RANGES, dtype=torch.int32).to(device)
    function(stream, other, ranges, sums)
    # Float32 sums of a few dozen numbers of order 1, norms of order sqrt(hidden).
    torch.testing.assert_close(sums.double().cpu(), expected, rtol=1e-5, atol=1e-5)
