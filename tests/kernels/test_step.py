"""What goes on around a forward pass: CPU and Triton against brute force."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from unittest import mock

import numpy as np
import pytest
import step_cases
import torch
from step_cases import ROWS, P, expect, expect_readouts, read_tables, tables

from vagus_kernels import begin_step, gather_readouts, reference_step
from vagus_kernels.step import StepTables

Run = Callable[..., Any]


@pytest.fixture(
    scope="module",
    params=["torch", "interpreted", pytest.param("compiled", marks=pytest.mark.gpu)],
)
def run(request: pytest.FixtureRequest) -> Iterator[tuple[Run, Any, Any, str]]:
    """How to call, begin_step, gather_readouts, and the device."""
    triton = begin_step.begin_step, gather_readouts.gather_readouts
    if request.param == "torch":
        functions = reference_step.begin_step, reference_step.gather_readouts
        yield lambda f, *args: f(*args), *functions, "cpu"
    elif request.param == "compiled":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        yield lambda f, *args: f(*args), *triton, "cuda"
    else:
        with mock.patch.dict(os.environ, TRITON_INTERPRET="1"):
            pool = ProcessPoolExecutor(1, mp_context=torch.multiprocessing.get_context("spawn"))
            pool.submit(int).result()
        with pool:
            yield lambda *args: pool.submit(*args).result(timeout=120), *triton, "cpu"


@pytest.mark.parametrize("known", [True, False], ids=["host positions", "device positions"])
@pytest.mark.parametrize("seed", range(12))
def test_begin_step(run: tuple[Run, Any, Any, str], seed: int, known: bool) -> None:
    call, begin, _, device = run
    message, before = step_cases.step(seed), tables()
    buffer = torch.full((message.words + 5,), -1, dtype=torch.int32)
    message.pack(buffer.numpy())
    positions = None if known else torch.randint(0, 300, (ROWS,))
    expected = expect(message, positions, before)
    written = type(before)(*(table.to(device) for table in before))
    there = None if positions is None else positions.to(device)
    call(begin, buffer.to(device), len(message.requests), len(message.programs), there, written)
    for name in before._fields:
        found, want = getattr(written, name).cpu(), getattr(expected, name)
        if name == "row_scale":
            torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-7)
        else:
            assert torch.equal(found, want), name
    read, marked, measured = message.indices(buffer)
    assert np.array_equal(read, message.read)
    assert np.array_equal(marked, message.marked)
    assert np.array_equal(measured, message.measured)


@pytest.mark.parametrize("seed", range(12))
def test_a_pass_that_goes_on_needs_no_new_message(
    run: tuple[Run, Any, Any, str], seed: int
) -> None:
    call, begin, _, device = run
    first = step_cases.steady(seed)
    buffer = torch.full((first.words + 5,), -1, dtype=torch.int32)
    first.pack(buffer.numpy())
    there = buffer.to(device)
    written = StepTables(*(table.to(device) for table in tables()))
    call(begin, there, len(first.requests), len(first.programs), None, written)
    # What the pass leaves, which must not count for the next.
    for left in (written.marks, written.row_gates, written.readout_shape):
        left.fill_(9)
    before = StepTables(*(table.clone().cpu() for table in written))
    requests = first.requests.copy()
    requests[:, 3] += requests[:, 1]
    message = first.further(requests)
    if begin is reference_step.begin_step:
        reference_step.clear(first.indices(there)[1], written)
    else:
        # The message still names programs; that they are not written again is the caller's word.
        call(begin, there, len(requests), len(message.programs), None, written)
    for name, want in expect(message, None, before)._asdict().items():
        assert torch.equal(getattr(written, name).cpu(), want), name


@pytest.mark.parametrize("concepts", [1, 12, 171])
@pytest.mark.parametrize(("splits", "rows"), [(1, 300), (3, 40), (32, 1)])
def test_gather_readouts(
    run: tuple[Run, Any, Any, str], splits: int, rows: int, concepts: int
) -> None:
    call, _, gather, device = run
    t = read_tables(splits, rows, concepts, seed=splits)
    for chosen in (torch.arange(rows), torch.arange(rows).flip(0)[::3].clone(), torch.arange(0)):
        wanted = chosen.to(torch.int32)
        out = torch.full((len(wanted), 2, concepts, 2), torch.nan).to(device)
        there = type(t)(*(table.clone().to(device) for table in t))
        call(gather, wanted.to(device), out, there)
        expected = expect_readouts(wanted, t)
        # Float32 sums of a few dozen numbers of order 1.
        torch.testing.assert_close(out.double().cpu(), expected, rtol=1e-5, atol=1e-4)
        there.readout_shape.zero_()
        call(gather, wanted.to(device), out, there)
        assert out.isnan().all(), "a pass that wrote nothing has no readouts"
        assert t.steps.shape[2] == P
