"""Random sites, and the list of those that every implementation is tested on."""

import random
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from vagus_kernels.layout import (
    ABLATE,
    ADD,
    CLAMP,
    GATE_NONE,
    READ_FLAG,
    SET,
    SiteTables,
    applied_words,
)

SITES = 64
VECTORS = 9
SLOTS = 5
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
    index: int = 5
    steering: int = 1
    reading: int = 1
    gap: int = 0
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

        def units(count: int) -> Tensor:
            return torch.nn.functional.normalize(normal(count, self.hidden), dim=1)

        def part() -> Tensor:
            # The columns past `hidden` are the gap that a row stride above it leaves.
            values = normal(self.rows, self.hidden + self.gap).to(self.dtype)
            values[:, 3::7] = -0.0
            values[:, self.hidden :] = NAN
            return values.to(device)[:, : self.hidden]

        program_int = torch.zeros(SLOTS, self.operations, 4, dtype=torch.int32)
        program_float = torch.zeros(SLOTS, self.operations, 4)
        for slot, p in product(range(1, SLOTS), range(self.operations)):
            # Slot 1 has every kind in turn; the others what comes, at times a gap (kind 0).
            kind = (ADD, ABLATE, SET, CLAMP)[p % 4] if slot == 1 else int(pick(5))
            gate = (GATE_NONE, int(pick(VECTORS - 1)) + 1)[int(pick(2))]
            lower, upper = ((-INF, INF), (1.0, -1.0), (-0.6, 0.8), (0.1, INF))[int(pick(4))]
            a, b = sorted(normal(2).mul(3).tolist())
            if kind == CLAMP:
                a, b = ((a, b), (-INF, b), (a, INF), (-INF, INF))[int(pick(4))]
            program_int[slot, p] = torch.tensor([kind, int(pick(VECTORS)), gate, 0])
            if kind != CLAMP:
                b = NAN
            if gate == GATE_NONE:
                lower = upper = NAN
            program_float[slot, p] = torch.tensor([a, b, lower, upper])
        stream = part()
        flags = pick(1 << self.operations, self.rows + SPARE)
        flags |= pick(2, self.rows + SPARE) * READ_FLAG
        slots = pick(SLOTS, self.rows + SPARE)
        # The first row has it all; some rows are idle; the last quarter is padding; the spare
        # rows past the batch ask for everything, and must get nothing.
        flags[:1], slots[:1] = (1 << self.operations) - 1 | READ_FLAG, 1
        flags[4::4] = 0
        padding = slice(self.rows - self.rows // 4, self.rows)
        flags[padding], stream[padding] = 0, NAN
        slots[flags == 0] = 1 << 30
        flags[self.rows :] = -1
        tables = SiteTables(
            vectors=torch.cat([torch.zeros(1, self.hidden), units(VECTORS - 1)]),
            program_int=program_int,
            program_float=program_float,
            row_slot=slots,
            row_flags=flags,
            site=torch.tensor([self.index, self.steering, self.reading, 0], dtype=torch.int32),
            readout_vectors=units(self.concepts),
            readout=torch.full((self.rows + SPARE, self.concepts, 2), NAN),
            applied=pick(1 << 30, self.rows + SPARE, self.operations, applied_words(SITES)),
        )
        addend = part() if self.addend else None
        return stream, addend, SiteTables(*(table.to(device) for table in tables))


BASE = Case()


def _cases() -> list[Case]:
    """Every shape in every dtype, the rest drawn; then one departure from the base each."""
    draw = random.Random(0)
    shapes = product((1, 33, 576, 1000), (0, 1, 2, 17, 64))
    dtypes = (torch.float32, torch.float16, torch.bfloat16)
    cases = [
        Case(
            hidden=hidden,
            rows=rows,
            dtype=dtype,
            operations=draw.randrange(9),
            concepts=draw.choice((0, 1, 12, 36)),
            addend=draw.random() < 0.5,
            index=draw.randrange(SITES),
            gap=draw.choice((0, 0, 7, 16)),
            seed=seed,
        )
        for seed, ((hidden, rows), dtype) in enumerate(product(shapes, dtypes))
    ]
    cases += [replace(BASE, index=index) for index in (0, 31, 32, 63)]
    cases += [replace(BASE, operations=count, seed=count) for count in range(9)]
    cases += [replace(BASE, concepts=count) for count in (0, 1, 12, 36)]
    cases += [replace(BASE, steering=s, reading=r) for s, r in ((0, 0), (0, 1), (1, 0))]
    cases += [replace(BASE, addend=True, gap=gap, dtype=d) for gap in (0, 5) for d in dtypes]
    return cases


CASES = _cases()
