"""What each operation means, on streams and directions that hypothesis picks."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vagus_kernels.layout import (
    ABLATE,
    ADD,
    CLAMP,
    GATE_NONE,
    SCALE_FLAG,
    SET,
    SiteTables,
    entries,
)
from vagus_kernels.reference import steer_read_

examples = settings(max_examples=25, derandomize=True, deadline=None, database=None)

SEEDS = st.integers(0, 1 << 30)
WIDTHS = st.integers(1, 200)
AMOUNTS = st.floats(-100, 100, width=32)
BITS = st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=1, max_size=20)

Operation = tuple[int, int, float, float]


def _stream(seed: int, hidden: int) -> tuple[Tensor, Tensor]:
    """Four rows and two vectors of any length, as rows 1 and 2 of the vectors."""
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(3, hidden, generator=draw).to(torch.float16)
    vectors[0] = 0
    stream = torch.randn(4, hidden, generator=draw) * 10
    return stream, vectors


def _inverse(vectors: Tensor) -> Tensor:
    return 1 / vectors.double().norm(dim=1).clamp(min=1e-6).float()


def _units(vectors: Tensor) -> Tensor:
    return vectors.float() * _inverse(vectors)[:, None]


def _steer(
    stream: Tensor, vectors: Tensor, *operations: Operation, slots: int = 1, flags: int = -1
) -> tuple[Tensor, Tensor]:
    """The steered stream, and its projections before and after, [rows, vectors, 2]."""
    rows, count, inverse = stream.shape[0], len(operations), _inverse(vectors)
    scaled = flags & ~SCALE_FLAG
    ints = torch.zeros(2, entries(count), 4, dtype=torch.int32)
    floats = torch.zeros(2, entries(count), 8)
    for p, (kind, vector, a, b) in enumerate(operations):
        ints[1, p] = torch.tensor([kind, p, vector, GATE_NONE])
        floats[1, p, :3] = torch.tensor([a, b, float(inverse[vector])])
    tables = SiteTables(
        vectors=vectors,
        program_count=torch.tensor([0, count], dtype=torch.int32),
        program_int=ints,
        program_float=floats,
        row_slot=torch.full((rows,), slots, dtype=torch.int32),
        row_flags=torch.full((rows,), scaled, dtype=torch.int32),
        row_scale=torch.ones(rows, count),
        row_gates=torch.zeros(rows, dtype=torch.int32),
        site=torch.tensor([1, 1, 0, 0], dtype=torch.int32),
        marks=torch.zeros(rows, dtype=torch.int32),
        steps=torch.zeros(rows, count),
        readout_vectors=vectors,
        readout_scale=inverse,
        readout=torch.zeros(rows, len(vectors)),
        readout_shape=torch.zeros(2, dtype=torch.int32),
    )
    steered = stream.clone()
    steer_read_(steered, None, *tables)
    before = tables.readout[:rows].clone()
    return steered, torch.stack([before, steered @ _units(vectors).T], dim=-1)


def _slack(stream: Tensor, *amounts: float) -> float:
    """A few float32 roundings of the largest row, or of the amounts that move it."""
    size = float(stream.norm(dim=1).max()) + sum(map(abs, amounts))
    return 8 * torch.finfo(torch.float32).eps * size


@examples
@given(SEEDS, WIDTHS, AMOUNTS, AMOUNTS)
def test_additions_commute(seed: int, hidden: int, a: float, b: float) -> None:
    stream, vectors = _stream(seed, hidden)
    first, second = (ADD, 1, a, 0.0), (ADD, 2, b, 0.0)
    one_way, _ = _steer(stream, vectors, first, second)
    other_way, _ = _steer(stream, vectors, second, first)
    assert (one_way - other_way).abs().max() <= _slack(stream, a, b)
    units = _units(vectors)
    sum_of_both = stream + a * units[1] + b * units[2]
    assert (one_way - sum_of_both).abs().max() <= _slack(stream, a, b)


@examples
@given(SEEDS, WIDTHS)
def test_full_ablation_is_idempotent(seed: int, hidden: int) -> None:
    stream, vectors = _stream(seed, hidden)
    ablate = (ABLATE, 1, 1.0, 0.0)
    once, readout = _steer(stream, vectors, ablate)
    twice, _ = _steer(stream, vectors, ablate, ablate)
    assert readout[:, 1, 1].abs().max() <= _slack(stream)
    assert (once - twice).abs().max() <= _slack(stream)


@examples
@given(SEEDS, WIDTHS, AMOUNTS, AMOUNTS)
def test_clamp_bounds_the_projection(seed: int, hidden: int, a: float, b: float) -> None:
    stream, vectors = _stream(seed, hidden)
    lower, upper = sorted((a, b))
    steered, readout = _steer(stream, vectors, (CLAMP, 1, lower, upper))
    before, after = readout[:, 1].unbind(1)
    slack = _slack(stream, a, b)
    assert (after >= lower - slack).all()
    assert (after <= upper + slack).all()
    within = (before > lower + slack) & (before < upper - slack)
    assert torch.equal(steered[within], stream[within])


@examples
@given(SEEDS, WIDTHS, AMOUNTS)
def test_set_sets_the_projection_alone(seed: int, hidden: int, a: float) -> None:
    stream, vectors = _stream(seed, hidden)
    steered, readout = _steer(stream, vectors, (SET, 1, a, 0.0))
    assert (readout[:, 1, 1] - a).abs().max() <= _slack(stream, a)
    u = _units(vectors)[1]
    across = torch.eye(hidden) - torch.outer(u, u)
    assert ((steered - stream) @ across).abs().max() <= _slack(stream, a)


@examples
@given(BITS, AMOUNTS)
def test_slot_0_and_flags_0_keep_every_bit(patterns: list[int], a: float) -> None:
    """Any bits at all, NaN and infinities and minus zero among them."""
    patterns += [-(1 << 31), 0x7F800000, 0x7FC00001]
    stream = torch.tensor([patterns], dtype=torch.int32).view(torch.float32)
    vectors = torch.ones(3, len(patterns), dtype=torch.float16)
    for slots, flags in ((0, -1), (1, 0), (0, 0)):
        steered, _ = _steer(stream, vectors, (ADD, 1, a, 0.0), slots=slots, flags=flags)
        assert torch.equal(steered.view(torch.int32), stream.view(torch.int32))
