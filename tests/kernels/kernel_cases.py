"""Random sites, and the list of those that every implementation is tested on."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from vagus_kernels.layout import (
    ABLATE,
    ADD,
    CLAMP,
    GATE_NONE,
    GATE_STORED,
    READ_FLAG,
    SCALE_FLAG,
    SET,
    TEST,
    SiteTables,
    entries,
    readout_parts,
)

VECTORS = 9
SLOTS = 5
#: A slot whose program tests every operation, then has each act where its test held.
TESTED = 2
#: Rows that the tables have beyond the batch.
SPARE = 3
INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True)
class Case:
    """A recipe of a site; two builds of one case are equal."""

    hidden: int = 33
    rows: int = 17
    dtype: torch.dtype = torch.float32
    operations: int = 4
    concepts: int = 3
    addend: bool = False
    steering: int = 1
    reading: int = 1
    gap: int = 0
    size: float = 1.0
    seed: int = 0

    def __str__(self) -> str:
        changed = (n for n in self.__dataclass_fields__ if getattr(self, n) != getattr(BASE, n))
        return "-".join(f"{n}={getattr(self, n)}".replace("torch.", "") for n in changed) or "base"

    def build(self, device: str = "cpu") -> tuple[Tensor, Tensor | None, SiteTables]:
        """Stream, addend and tables; NaN or nonsense wherever nobody may look."""
        draw = torch.Generator().manual_seed(self.seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=draw)

        def pick(top: int, *shape: int) -> Tensor:
            return torch.randint(top, shape, generator=draw, dtype=torch.int32)

        def vectors(count: int) -> tuple[Tensor, Tensor]:
            """Vectors of any length, and 1 / length."""
            drawn = normal(count, self.hidden) * (0.2 + 3 * torch.rand(count, 1, generator=draw))
            drawn = drawn.to(torch.float16)
            return drawn, 1 / drawn.double().norm(dim=1).clamp(min=1e-6).float()

        def part() -> Tensor:
            # The columns past `hidden` are the gap that a row stride above it leaves.
            values = (normal(self.rows, self.hidden + self.gap) * self.size).to(self.dtype)
            values[:, 3::7] = -0.0
            values[:, self.hidden :] = NAN
            return values.to(device)[:, : self.hidden]

        bank, inverse = vectors(VECTORS)
        bank[0], inverse[0] = 0, 0
        program_int = torch.full((SLOTS, entries(self.operations), 4), 1 << 30, dtype=torch.int32)
        program_float = torch.full((SLOTS, entries(self.operations), 8), NAN)
        program_count = torch.zeros(SLOTS, dtype=torch.int32)
        for slot in range(1, SLOTS):
            program = self._kinds(slot, pick)
            for i, (kind, p) in enumerate(program):
                gate = (GATE_NONE, GATE_STORED, int(pick(VECTORS - 1)) + 1)[int(pick(3))]
                if kind == TEST:
                    gate = int(pick(VECTORS - 1)) + 1
                elif slot == TESTED:
                    gate = GATE_STORED
                bounds = ((-INF, INF), (1.0, -1.0), (-0.6, 0.8), (0.1, INF))[int(pick(4))]
                a, b = sorted(normal(2).mul(3).tolist())
                if kind == CLAMP:
                    a, b = ((a, b), (-INF, b), (a, INF), (-INF, INF))[int(pick(4))]
                else:
                    b = NAN
                vector = int(pick(VECTORS))
                program_int[slot, i] = torch.tensor([kind, p, vector, gate])
                floats = [a, b, inverse[vector], NAN, NAN, NAN, NAN, NAN]
                if gate >= 0:
                    floats[3:6] = [*(x * self.size for x in bounds), inverse[gate]]
                program_float[slot, i] = torch.tensor(floats)
            program_count[slot] = len(program)
        stream = part()
        flags = pick(1 << self.operations, self.rows + SPARE)
        flags |= pick(2, self.rows + SPARE) * READ_FLAG | pick(2, self.rows + SPARE) * SCALE_FLAG
        slots = pick(SLOTS, self.rows + SPARE)
        # The first two rows have it all; some rows are idle; the last quarter is padding; the
        # spare rows past the batch ask for everything, and must get nothing.
        flags[:2] = (1 << self.operations) - 1 | READ_FLAG
        slots[:2] = torch.tensor([1, TESTED])
        flags[4::4] = 0
        padding = slice(self.rows - self.rows // 4, self.rows)
        flags[padding], stream[padding] = 0, NAN
        slots[(flags & ~READ_FLAG & ~SCALE_FLAG) == 0] = 1 << 30
        flags[self.rows :] = -1
        readers, reader_inverse = vectors(self.concepts)
        parts = readout_parts(self.rows + SPARE)
        tables = SiteTables(
            vectors=bank,
            program_count=program_count,
            program_int=program_int,
            program_float=program_float,
            row_slot=slots,
            row_flags=flags,
            row_scale=torch.rand(self.rows + SPARE, self.operations, generator=draw),
            row_gates=pick(1 << self.operations, self.rows + SPARE),
            site=torch.tensor([self.steering, self.reading, 0, 0], dtype=torch.int32),
            marks=torch.full((self.rows + SPARE,), 1 << 29, dtype=torch.int32),
            steps=torch.full((self.rows + SPARE, self.operations), NAN),
            readout_vectors=readers,
            readout_scale=reader_inverse,
            readout=torch.full((parts, self.concepts), NAN),
            readout_shape=torch.zeros(2, dtype=torch.int32),
        )
        addend = part() if self.addend else None
        return stream, addend, SiteTables(*(table.to(device) for table in tables))

    def _kinds(self, slot: int, pick: Callable[..., Tensor]) -> list[tuple[int, int]]:
        """Kind and operation of each entry: slot 1 has every kind in turn, others what comes."""
        numbers = range(self.operations)
        if slot == 1:
            return [((ADD, ABLATE, SET, CLAMP, TEST)[p % 5], p) for p in numbers]
        if slot == TESTED:
            return [(TEST, p) for p in numbers] + [(1 + int(pick(4)), p) for p in numbers]
        drawn = [(int(pick(6)), p) for p in numbers]
        return [(kind, p) for kind, p in drawn if kind]

    def weight(self, device: str = "cpu") -> Tensor:
        """Of a norm that follows."""
        return torch.linspace(0.5, 1.5, self.hidden).to(self.dtype).to(device)


BASE = Case()
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def _cases() -> list[Case]:
    """Every shape in every dtype, the rest drawn; then one departure from the base each."""
    draw = random.Random(0)
    shapes = product((1, 33, 576, 1000), (0, 1, 2, 17, 70))
    cases = [
        Case(
            hidden=hidden,
            rows=rows,
            dtype=dtype,
            operations=draw.randrange(9),
            concepts=draw.choice((0, 1, 12, 36)),
            addend=draw.random() < 0.5,
            gap=draw.choice((0, 0, 7, 16)),
            seed=seed,
        )
        for seed, ((hidden, rows), dtype) in enumerate(product(shapes, DTYPES))
    ]
    cases += [replace(BASE, operations=count, seed=count) for count in range(9)]
    cases += [replace(BASE, concepts=count) for count in (0, 1, 12, 64, 171, 256)]
    cases += [replace(BASE, steering=s, reading=r) for s, r in ((0, 0), (0, 1), (1, 0))]
    cases += [replace(BASE, addend=True, gap=gap, dtype=d) for gap in (0, 5) for d in DTYPES]
    # Near overflow: squares of 1e18 still fit float32; float16's largest is 65504.
    cases += [
        replace(BASE, addend=True, size=size, dtype=d, seed=7)
        for d, size in ((torch.float32, 1e17), (torch.float16, 5e3), (torch.bfloat16, 1e17))
    ]
    return cases


CASES = _cases()
#: What decoders have, with all 171 concepts: rows few and many for a tile.
LARGE = [
    Case(hidden=hidden, rows=rows, dtype=dtype, operations=3, concepts=171, addend=True, seed=rows)
    for hidden in (576, 1024, 2048, 3584, 4096, 5120, 8192)
    for rows, dtype in ((1, torch.bfloat16), (33, torch.float16), (130, torch.bfloat16))
]
#: Many rows: more than a launch of both kinds of program takes, and one past a power of two.
MANY_ROWS = [
    Case(hidden=40, rows=rows, dtype=dtype, operations=2, concepts=12, addend=True, seed=rows)
    for rows, dtype in ((257, torch.bfloat16), (1023, torch.float16), (4097, torch.float32))
]
#: In torch and on a GPU, which run them in no time.
LARGEST = [
    Case(
        hidden=hidden,
        rows=rows,
        dtype=torch.bfloat16,
        operations=8,
        concepts=k,
        addend=True,
        seed=5,
    )
    for hidden, rows, k in ((4096, 4097, 171), (2048, 1023, 256), (8192, 257, 12), (3584, 4096, 0))
]
