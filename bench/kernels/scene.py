"""Streams and tables for one kind of work, in many copies, on a GPU."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bench.kernels.roofline import Work
from vagus_kernels import reference
from vagus_kernels.layout import (
    ADD,
    CLAMP,
    GATE_NONE,
    READ_FLAG,
    SET,
    SiteTables,
    entries,
    readout_parts,
)
from vagus_kernels.steer_add_rms_norm import steer_add_rms_norm
from vagus_kernels.steer_read import steer_read_

OPERATIONS = 8
EPS = 1e-5
Launch = Callable[[], object]


class Scene:
    """One kind of work.

    Args:
        work: what each launch does.
        count: sets of buffers.
        device: where.
    """

    def __init__(self, work: Work, count: int, device: str = "cuda") -> None:
        self._work = work
        shape = (work.rows, work.hidden)
        draw = torch.Generator(device).manual_seed(0)

        def stream() -> Tensor:
            return torch.randn(shape, generator=draw, device=device).to(torch.bfloat16)

        self._pairs = [(stream(), stream()) for _ in range(count)]
        self._weight = torch.ones(work.hidden, device=device, dtype=torch.bfloat16)
        self._tables = site_tables(work, draw, device)
        self.copied_bytes = 2 * work.rows * work.hidden * 2

    def launches(self) -> list[Launch]:
        """The fused operation."""
        rest = (self._weight, EPS, False, *self._tables)
        return [partial(steer_add_rms_norm, h, r, *rest) for h, r in self._pairs]

    def unfused_launches(self) -> list[Launch]:
        """The operation without the norm."""
        return [partial(steer_read_, r, h, *self._tables) for h, r in self._pairs]

    def native_norms(self) -> list[Launch]:
        """The add and the norm alone, as torch's compiler fuses them."""

        def norm(h: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
            x = h.float() + r.float()
            y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)
            return y.to(h.dtype) * self._weight, x.to(h.dtype)

        compiled = torch.compile(norm)
        return [partial(compiled, h, r) for h, r in self._pairs]

    def engine_norms(self, function: Callable[..., object]) -> list[Launch]:
        """The engine's own kernel, in place."""
        return [partial(function, h, r, self._weight, EPS) for h, r in self._pairs]

    def copies(self) -> list[Launch]:
        """Copies of one stream: what the memory can do."""
        return [partial(r.copy_, h) for h, r in self._pairs]

    def check(self) -> None:
        """Raises unless both operations give what the reference gives, and nothing is NaN.

        bfloat16 has 8 bits; a sum taken in another order may round the other way.
        """
        hidden, residual = self._pairs[0]
        h, r, weight = (part.cpu().double() for part in (hidden, residual, self._weight))

        got, want = self._copy_of_tables(), self._copy_of_tables("cpu")
        normed, out = steer_add_rms_norm(hidden, residual, self._weight, EPS, False, *got)
        want_normed, want_out = reference.steer_add_rms_norm(h, r, weight, EPS, False, *want)
        torch.testing.assert_close(out.cpu().double(), want_out, rtol=2**-7, atol=2**-7)
        torch.testing.assert_close(normed.cpu().double(), want_normed, rtol=2**-6, atol=2**-6)
        self._check_tables(got, want)

        got, want = self._copy_of_tables(), self._copy_of_tables("cpu")
        stream = residual.clone()
        steer_read_(stream, hidden, *got)
        reference.steer_read_(r, h, *want)
        torch.testing.assert_close(stream.cpu().double(), r, rtol=2**-7, atol=2**-7)
        self._check_tables(got, want)

    def _copy_of_tables(self, device: str | None = None) -> SiteTables:
        """The tables before any launch, in memory of their own, on device if given."""
        return SiteTables(*(table.clone().to(device or table.device) for table in self._tables))

    def _check_tables(self, got: SiteTables, want: SiteTables) -> None:
        assert torch.equal(got.marks.cpu(), want.marks), "marks differ"
        torch.testing.assert_close(got.steps.cpu(), want.steps, rtol=1e-3, atol=1e-3)
        if self._work.concepts:
            splits, rows = got.readout_shape.tolist()
            assert rows == self._work.rows
            found = got.readout[: splits * rows].view(splits, rows, -1).sum(0).cpu()
            hidden, residual = self._pairs[0]
            norm = (hidden.double() + residual.double()).norm(dim=1, keepdim=True).cpu()
            error = (found - want.readout[:rows]).abs() / norm
            assert error.max() < 1e-3, f"readouts are off by {error.max():.1e} of the norm"


def site_tables(work: Work, draw: torch.Generator, device: str) -> SiteTables:
    """Tables that ask for the work; the programs' vectors differ as it says."""
    rows, steered = work.rows, work.steered
    slots = (work.programs if steered else 0) + 1
    vectors = max(2, min(1024, 1 + slots * max(steered, 1)))
    bank = torch.randn(vectors, work.hidden, generator=draw, device=device).to(torch.float16)
    inverse = 1 / bank.float().norm(dim=1)
    ints = torch.zeros(slots, entries(OPERATIONS), 4, dtype=torch.int32)
    floats = torch.zeros(slots, entries(OPERATIONS), 8)
    for slot in range(1, slots):
        for p in range(steered):
            vector = 1 + ((slot - 1) * steered + p) % (vectors - 1)
            ints[slot, p] = torch.tensor([(ADD, SET, CLAMP)[p % 3], p, vector, GATE_NONE])
            floats[slot, p, :3] = torch.tensor([0.5, 1.5, float(inverse[vector])])
    counts = torch.full((slots,), steered, dtype=torch.int32)
    counts[0] = 0
    slot_of = 1 + torch.arange(rows) % max(1, slots - 1) if steered else torch.zeros(rows)
    flags = (1 << steered) - 1 | (READ_FLAG if work.concepts else 0)
    readers = torch.randn(work.concepts, work.hidden, generator=draw, device=device)
    tables = SiteTables(
        vectors=bank,
        program_count=counts,
        program_int=ints,
        program_float=floats,
        row_slot=slot_of.to(torch.int32),
        row_flags=torch.full((rows,), flags, dtype=torch.int32),
        row_scale=torch.ones(rows, OPERATIONS),
        row_gates=torch.zeros(rows, dtype=torch.int32),
        site=torch.tensor([bool(steered), bool(work.concepts), 0, 0], dtype=torch.int32),
        marks=torch.zeros(rows, dtype=torch.int32),
        steps=torch.zeros(rows, OPERATIONS),
        readout_vectors=readers.to(torch.float16),
        readout_scale=1 / readers.norm(dim=1).clamp(min=1e-6),
        readout=torch.full((readout_parts(rows), work.concepts), torch.nan),
        readout_shape=torch.zeros(2, dtype=torch.int32),
    )
    return SiteTables(*(table.to(device) for table in tables))
