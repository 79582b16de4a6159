"""What each operation means, on streams and directions that hypothesis picks."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vagus_kernels.layout import ABLATE, ADD, CLAMP, GATE_NONE, SET, SiteTables
from vagus_kernels.reference import steer_read_

examples = settings(max_examples=25, derandomize=True, deadline=None, database=None)

SEEDS = st.integers(0, 1 << 30)
WIDTHS = st.integers(1, 200)
AMOUNTS = st.floats(-100, 100, width=32)
BITS = st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=1, max_size=20)

Operation = tuple[int, int, float, float]


def _stream(seed: int, hidden: int) -> tuple[Tensor, Tensor]:
    """Four rows and two directions, as rows 1 and 2 of the vectors."""
    draw = torch.Generator().manual_seed(seed)
    units = torch.nn.functional.normalize(torch.randn(2, hidden, generator=draw), dim=1)
    stream = torch.randn(4, hidden, generator=draw) * 10
    return stream, torch.cat([torch.zeros(1, hidden), units])


def _steer(
    stream: Tensor, vectors: Tensor, *operations: Operation, slots: int = 1, flags: int = -1
) -> tuple[Tensor, Tensor]:
    """The steered stream, and its projections before and after, [rows, vectors, 2]."""
    rows, count = stream.shape[0], len(operations)
    program_int = torch.tensor([[kind, vector, GATE_NONE, 0] for kind, vector, _, _ in operations])
    program_float = torch.tensor([[a, b, 0.0, 0.0] for _, _, a, b in operations])
    tables = SiteTables(
        vectors=vectors,
        program_int=torch.stack([torch.zeros_like(program_int), program_int]).int(),
        program_float=torch.stack([torch.zeros_like(program_float), program_float]),
        row_slot=torch.full((rows,), slots, dtype=torch.int32),
        row_flags=torch.full((rows,), flags, dtype=torch.int32),
        site=torch.tensor([0, 1, 1, 0], dtype=torch.int32),
        readout_vectors=vectors,
        readout=torch.zeros(rows, len(vectors), 2),
        applied=torch.zeros(rows, count, 1, dtype=torch.int32),
    )
    steered = stream.clone()
    steer_read_(steered, None, *tables)
    return steered, tables.readout


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
    sum_of_both = stream + a * vectors[1] + b * vectors[2]
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
    across = torch.eye(hidden) - torch.outer(vectors[1], vectors[1])
    assert ((steered - stream) @ across).abs().max() <= _slack(stream, a)


@examples
@given(BITS, AMOUNTS)
def test_slot_0_and_flags_0_keep_every_bit(patterns: list[int], a: float) -> None:
    """Any bits at all, NaN and infinities and minus zero among them."""
    patterns += [-(1 << 31), 0x7F800000, 0x7FC00001]
    stream = torch.tensor([patterns], dtype=torch.int32).view(torch.float32)
    vectors = torch.ones(3, len(patterns))
    for slots, flags in ((0, -1), (1, 0), (0, 0)):
        steered, _ = _steer(stream, vectors, (ADD, 1, a, 0.0), slots=slots, flags=flags)
        assert torch.equal(steered.view(torch.int32), stream.view(torch.int32))
