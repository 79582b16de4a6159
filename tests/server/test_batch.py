"""The requests of a pass: what its message says of their rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support import programs
from support.examples import examples
from vagus.v1 import steering_pb2 as pb
from vagus_kernels.layout import ADD, CLAMP, READ_FLAG, SCALE_FLAG, SET
from vagus_kernels.step import Step
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.tables import Tables
from vagus_server.plugin.wire import NO_END, Order, OrderEnvelope, OrderOperation, Range
from vagus_server.steering.program import Envelope, Program
from vagus_server.steering.rules import resolve_scope
from vagus_server.steering.scope import PromptMap, joined

SITES, ROWS = 4, 64
CONFIG = PluginConfig(
    sites=SITES, hidden_size=8, readout_sites=(2,), concepts=3, slots=5, operations=3, vectors=9
)


def operation(*sites: int, scope: tuple[Range, ...] = ((0, NO_END),), kind: int = ADD,
              envelope: OrderEnvelope | None = None) -> OrderOperation:  # fmt: skip
    n = len(sites)
    return OrderOperation(kind, 1, sites, (1.0,) * n, (0.0,) * n, scope, None, envelope)


def steered(digest: bytes, *sites: int, prompt_tokens: int = 3) -> Order:
    """Steers all tokens at the sites; reads from the last prompt token on."""
    return Order((operation(*sites),), digest, read=((prompt_tokens - 1, NO_END),))


class Worker:
    """A batch, and the tables that its messages are written to."""

    def __init__(self) -> None:
        self.tables = Tables(CONFIG, ROWS, torch.device("cpu"))
        self.batch = Batch(CONFIG, self.tables.inverse_norms, ROWS)

    def begin(self, ids: list[str], tokens: list[int], starts: list[int]) -> Step | None:
        step = self.batch.begin(ids, np.array(tokens), np.array(starts))
        if step is not None:
            self.tables.begin(step)
        return step

    def rows(self, count: int) -> tuple[list[int], list[int]]:
        """Slots and flags of the first rows."""
        step = self.tables.step
        return step.row_slot[:count].tolist(), step.row_flags[:count].tolist()


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_rows_of_several_requests_in_one_pass(worker: Worker) -> None:
    worker.batch.roster.add("a", steered(b"x", 1))
    worker.batch.roster.add("b", steered(b"y", 3))
    worker.batch.roster.add("c", Order(read=((0, 2),)))
    step = worker.begin(["b", "unknown", "a", "c"], [1, 2, 3, 2], [7, 0, 0, 0])
    assert step is not None
    slots, flags = worker.rows(9)
    slot_b, slot_a = slots[0], slots[3]
    assert {slot_a, slot_b} == {1, 2}
    assert slots[:8] == [slot_b, 0, 0, slot_a, slot_a, slot_a, 0, 0]
    assert flags == [1 | READ_FLAG, 0, 0, 1, 1, 1 | READ_FLAG, READ_FLAG, READ_FLAG, 0]
    assert step.sites.tolist() == [0, 1, 2, 1], "where any program acts, and where rows are read"
    assert worker.tables.step.program_count[:, slot_a].tolist() == [0, 1, 0, 0]
    assert worker.tables.step.program_count[:, slot_b].tolist() == [0, 0, 0, 1]
    assert step.read.tolist() == [0, 5, 6, 7]
    assert step.marked.tolist() == [0, 3, 4, 5]
    layout = worker.batch.layout
    assert layout is not None
    assert layout.ids == ["b", "unknown", "a", "c"]
    assert layout.spans.tolist() == [
        [7, 1, 1, 1, 0],
        [0, 2, 0, 0, 0],
        [0, 3, 1, 3, 0],
        [0, 2, 2, 0, 0],
    ]
    assert layout.positions.tolist() == [7, 2, 0, 1]


def test_a_program_is_written_once_while_it_runs(worker: Worker) -> None:
    def written(ids: list[str], tokens: list[int], starts: list[int]) -> int:
        step = worker.begin(ids, tokens, starts)
        assert step is not None
        return len(step.programs)

    worker.batch.roster.add("a", steered(b"x", 1))
    worker.batch.roster.add("b", steered(b"x", 1))
    assert written(["a"], [3], [0]) == 1
    assert written(["a", "b"], [1, 3], [3, 0]) == 0
    worker.batch.roster.finish("a")
    assert written(["b"], [1], [3]) == 0
    worker.batch.roster.finish("b")
    assert (len(worker.batch.roster), worker.batch.roster.slots.used) == (0, 0)
    worker.batch.roster.add("c", steered(b"x", 1))
    assert written(["c"], [3], [0]) == 1, "the slot may have been another's meanwhile"


def test_a_slot_taken_over_keeps_nothing_of_the_program_before(worker: Worker) -> None:
    worker.batch.roster.add("a", Order((operation(0, 1, 3), operation(1)), b"x"))
    worker.begin(["a"], [1], [0])
    worker.batch.roster.finish("a")
    worker.batch.roster.add("b", steered(b"y", 2))
    worker.begin(["b"], [1], [0])
    (slot,), _ = worker.rows(1)
    assert worker.tables.step.program_count[:, slot].tolist() == [0, 0, 1, 0]


def test_a_preempted_request_comes_back_with_its_order(worker: Worker) -> None:
    worker.batch.roster.add("a", steered(b"x", 1))
    worker.begin(["a"], [3], [0])
    worker.batch.roster.pause("a")
    assert (len(worker.batch.roster), worker.batch.roster.slots.used) == (1, 0)
    worker.batch.roster.add("b", steered(b"y", 2))
    worker.begin(["b"], [3], [0])
    worker.batch.roster.add("a", steered(b"x", 1))  # the V2 runner announces it as new again
    worker.begin(["b", "a"], [1, 3], [3, 0])
    slots, _ = worker.rows(4)
    assert slots[0] != slots[1]
    assert worker.tables.step.program_count[:, slots[1]].tolist() == [0, 1, 0, 0]


def test_passes_without_orders_send_nothing_after_one_that_clears(worker: Worker) -> None:
    assert worker.begin(["unknown"], [4], [0]) is None
    worker.batch.roster.add("a", steered(b"x", 1))
    worker.begin(["a"], [3], [0])
    step = worker.begin(["unknown"], [4], [0])
    assert step is not None
    assert worker.rows(4)[1] == [0] * 4
    assert worker.tables.step.site[:, :2].sum() == 0
    assert worker.batch.layout is None
    assert worker.begin(["unknown"], [4], [0]) is None


def test_steps_that_depend_on_the_row_are_measured(worker: Worker) -> None:
    plain, fading = operation(0), operation(2, envelope=OrderEnvelope(2, 0.0, 1.0))
    worker.batch.roster.add("a", Order((plain, operation(1, 3, kind=SET), fading), b"x"))
    step = worker.begin(["a"], [2], [1])
    assert step is not None
    assert worker.batch.layout is not None
    assert worker.batch.layout.spans.tolist() == [[1, 2, 0, 2, 6]]
    expected = [
        (site * ROWS + row) * 3 + p for row in (0, 1) for site, p in ((1, 1), (3, 1), (2, 2))
    ]
    assert step.measured.tolist() == expected
    assert worker.tables.step.row_scale[:2, 2].tolist() == [1.0, 1.0]
    worker.begin(["a"], [1], [4])
    assert worker.tables.step.row_scale[0, 2] == 0.25


def test_steps_are_measured_row_by_row_in_any_batch(worker: Worker) -> None:
    worker.batch.roster.add("a", Order((operation(1, 3, kind=SET), operation(2, kind=CLAMP)), b"x"))
    worker.batch.roster.add("b", steered(b"y", 1))
    for name in ("c", "d"):
        worker.batch.roster.add(name, Order((operation(0, kind=CLAMP),), b"z"))
    step = worker.begin(["c", "a", "b", "unknown", "d"], [1, 3, 2, 2, 2], [9] * 5)
    assert step is not None
    a, c = [(1, 0), (3, 0), (2, 1)], [(0, 0)]
    of_row = {0: c, 1: a, 2: a, 3: a, 8: c, 9: c}
    expected = [(site * ROWS + row) * 3 + p for row, steps in of_row.items() for site, p in steps]
    assert step.measured.tolist() == expected
    assert worker.batch.layout is not None
    assert worker.batch.layout.spans[:, 4].tolist() == [1, 9, 0, 0, 2]


def test_a_ramp_that_has_ended_costs_nothing(worker: Worker) -> None:
    ramp = operation(1, envelope=OrderEnvelope(2, 4.0, 0.0))
    fading = operation(1, envelope=OrderEnvelope(2, 0.0, 8.0))
    worker.batch.roster.add("a", Order((operation(0), ramp), b"x"))
    worker.batch.roster.add("b", Order((fading,), b"y"))
    step = worker.begin(["a", "b"], [1, 1], [4, 100])
    assert step is not None
    assert step.requests[:, 7].tolist() == [1, 1 << 8 | 1]
    assert step.scales[:, :2].tolist() == [[1, 2], [0, 2]]
    assert worker.tables.step.row_scale[0].tolist() == [1, 0.75, 1]
    step = worker.begin(["a", "b"], [1, 1], [6, 102])
    assert step is not None
    assert step.requests[:, 7].tolist() == [0, 1]
    assert worker.rows(2)[1] == [0b11, 1 | SCALE_FLAG]


def test_only_rows_across_a_bound_of_a_scope_need_ranges(worker: Worker) -> None:
    worker.batch.roster.add("a", Order((operation(1, scope=((2, 6),)),), b"x", ((5, NO_END),)))
    # The last two: what was drafted is computed anew.
    for start, tokens in ((0, 2), (2, 1), (3, 2), (5, 1), (6, 3), (5, 1), (1, 1)):
        step = worker.begin(["a"], [tokens], [start])
        assert step is not None
        assert len(step.ranges) == 0
        scoped, read = 2 <= start < 6, start >= 5
        assert worker.rows(tokens)[1] == [scoped | READ_FLAG * read] * tokens
        assert step.read.tolist() == list(range(tokens)) * read
    step = worker.begin(["a"], [3], [4])
    assert step is not None
    assert len(step.ranges) == 2
    assert worker.rows(3)[1] == [1, 1 | READ_FLAG, READ_FLAG]
    assert step.read.tolist() == [1, 2]


def test_a_slot_measures_what_its_program_needs_measured(worker: Worker) -> None:
    """Envelopes act through rows' scales; whether there is one decides what is measured."""
    plain, clamp = programs.operation(0), programs.operation(1, action=CLAMP)
    fading = replace(plain, envelope=Envelope(2, 0.0, 1.0))
    steps = {}
    for name, operations in (("plain", (plain, clamp)), ("fading", (fading, clamp))):
        program = Program(operations)
        row_of = dict.fromkeys(program.contents, 1)
        order = Order(program.order_operations(row_of), program.tables_digest)
        worker.batch.roster.add(name, order)
        worker.begin([name], [2], [0])
        assert worker.batch.layout is not None
        steps[name] = int(worker.batch.layout.spans[0, 4])
    assert steps == {"plain": 2, "fading": 4}


def test_no_bound_of_a_scope_is_too_large_for_the_tables(worker: Worker) -> None:
    rule = pb.ScopeRule(generated=pb.Range(start=1, end=NO_END))
    scope, _ = resolve_scope(pb.Scope(include=[rule]), PromptMap(4), "scope")
    worker.batch.roster.add("a", Order((operation(1, scope=scope),), b"x"))
    worker.begin(["a"], [4], [0])
    worker.begin(["a"], [3], [4])
    assert worker.rows(3)[1] == [0, 1, 1]


def test_finishing_or_pausing_the_unknown_is_ignored(worker: Worker) -> None:
    worker.batch.roster.finish("unknown")
    worker.batch.roster.pause("unknown")
    assert (len(worker.batch.roster), worker.batch.roster.slots.used) == (0, 0)


def test_any_number_of_requests_may_be_known(worker: Worker) -> None:
    for i in range(200):
        worker.batch.roster.add(f"r{i}", Order(read=((i, NO_END),)))
    worker.begin([f"r{i}" for i in range(60)], [1] * 60, [30] * 60)
    assert worker.rows(60)[1] == [READ_FLAG if i <= 30 else 0 for i in range(60)]
    for i in range(200):
        worker.batch.roster.finish(f"r{i}")
    assert len(worker.batch.roster) == 0


def test_a_changed_request_is_laid_out_by_parts(worker: Worker) -> None:
    roster = worker.batch.roster
    roster.add("a", steered(b"x", 1))
    roster.add("b", Order())
    worker.begin(["a"], [3], [0])
    roster.change("a", 3, steered(b"y", 2))
    step = worker.begin(["a"], [1], [3])
    assert step is not None
    assert len(step.programs) == 1
    roster.change("a", 5, Order(read=((2, NO_END),)))
    roster.pause("a")
    assert roster.slots.used == 0
    # Preempted, and computed anew in one pass: each part under its own program.
    step = worker.begin(["b", "a"], [1, 7], [0, 0])
    assert step is not None
    slots, flags = worker.rows(8)
    old, new, none = slots[1], slots[4], slots[6]
    assert slots == [0, old, old, old, new, new, none, none]
    assert len({0, old, new, none}) == 4
    assert worker.tables.step.program_count[:, none].tolist() == [0, 0, 0, 0]
    assert worker.tables.step.program_count[:, old].tolist() == [0, 1, 0, 0]
    assert worker.tables.step.program_count[:, new].tolist() == [0, 0, 1, 0]
    assert flags[1:] == [1, 1, *[1 | READ_FLAG] * 3, READ_FLAG, READ_FLAG]
    layout = worker.batch.layout
    assert layout is not None
    assert layout.ids == ["b", "a", "a", "a"]
    # Rows without a program are marked too, once it has been taken away.
    assert layout.spans.tolist() == [
        [0, 1, 0, 0, 0],
        [0, 3, 1, 3, 0],
        [3, 2, 2, 2, 0],
        [5, 2, 2, 2, 0],
    ]
    assert step.marked.tolist() == [1, 2, 3, 4, 5, 6, 7]
    roster.finish("a")
    roster.finish("b")
    assert (len(roster), roster.slots.used) == (0, 0)


def test_a_change_that_nothing_was_processed_under_is_forgotten(worker: Worker) -> None:
    roster = worker.batch.roster
    roster.add("a", steered(b"x", 1))
    roster.change("a", 0, steered(b"y", 2))
    roster.change("a", 4, steered(b"z", 3))
    roster.change("a", 4, steered(b"y", 2))
    worker.begin(["a"], [6], [0])
    slots, _ = worker.rows(6)
    assert slots == [slots[0]] * 6, "equal programs share a slot"
    assert roster.slots.used == 1
    for vector, used in ((1, True), (2, False)):
        assert roster.refers_to(vector) == used
    roster.finish("a")
    assert (len(roster), roster.slots.used) == (0, 0)


POSITIONS = st.integers(0, 9)
RANGES = st.lists(st.tuples(POSITIONS, POSITIONS | st.just(NO_END)), max_size=2).map(tuple)
SCOPES = RANGES.map(joined).map(tuple)
REQUESTS = st.lists(
    st.tuples(st.lists(SCOPES, max_size=3), RANGES, st.integers(1, 5), st.integers(0, 12)),
    max_size=5,
)


@examples
@given(REQUESTS)
def test_flags_and_rows_read_are_those_of_the_definition(
    drawn: list[tuple[list[tuple[Range, ...]], tuple[Range, ...], int, int]],
) -> None:
    worker = Worker()
    expected, read = [], []
    for i, (scopes, wanted, tokens, start) in enumerate(drawn):
        operations = tuple(operation(p, scope=scope) for p, scope in enumerate(scopes))
        worker.batch.roster.add(str(i), Order(operations, bytes([i % 3]), wanted))
        for q in range(start, start + tokens):
            flags = sum(1 << p for p, s in enumerate(scopes) if any(a <= q < b for a, b in s))
            if any(a <= q < b for a, b in wanted):
                flags |= READ_FLAG
                read.append(len(expected))
            expected.append(flags)
    ids = [str(i) for i in range(len(drawn))]
    step = worker.begin(ids, [d[2] for d in drawn], [d[3] for d in drawn])
    if drawn:
        assert step is not None
        assert worker.rows(len(expected))[1] == expected
        assert step.read.tolist() == read


EVENTS = st.lists(
    st.one_of(
        st.just("on"),
        st.tuples(st.sampled_from(["add", "change", "pause", "finish"]), st.integers(0, 3)),
        st.tuples(st.just("again"), st.integers(0, 3)),
        st.tuples(st.just("rows"), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=24,
)


@examples
@given(st.lists(st.tuples(RANGES, RANGES, st.integers(0, 3)), min_size=4, max_size=4), EVENTS)
def test_a_pass_that_goes_on_is_laid_out_as_if_it_were_the_first(
    drawn: list[tuple[tuple[Range, ...], tuple[Range, ...], int]], events: list[object]
) -> None:
    def order(i: int, site: int) -> Order:
        scope, read, p = drawn[i]
        envelopes = (None, None, OrderEnvelope(2, 3.0, 0.0), OrderEnvelope(2, 0.0, 1.0))
        kind = CLAMP if p == 1 else ADD
        scope = tuple(joined(scope))
        operations = (operation(site, scope=scope, kind=kind, envelope=envelopes[p]),)
        return Order(operations if p else (), bytes([i, site]), tuple(joined(read)))

    short, long = Worker(), Worker()
    at, rows = dict[int, int](), 1
    random = np.random.default_rng(len(events))
    for event in events:
        for roster in (worker.batch.roster for worker in (short, long)):
            match event:
                case ("add", int(i)):
                    roster.add(str(i), order(i, 0))
                    at.setdefault(i, 0)
                case ("change", int(i)) if i in at:
                    roster.change(str(i), at[i], order(i, 1 + i % 3))
                case ("pause", int(i)):
                    roster.pause(str(i))
                case ("finish", int(i)) if i in at and roster is long.batch.roster:
                    del at[i]
                    for of in (short, long):
                        of.batch.roster.finish(str(i))
        match event:
            case ("again", int(i)) if i in at:
                at[i] = 0
            case ("rows", int(rows)):
                pass
        running = sorted(at)
        ids, tokens = [str(i) for i in running], [rows] * len(at)
        starts = [at[i] for i in running]
        for worker in (short, long):
            # What the pass before has left.
            worker.tables.step.readout_shape.fill_(7)
        marks, gates = random.integers(0, 8, (SITES, ROWS)), random.integers(0, 8, ROWS)
        for worker in (short, long):
            worker.tables.step.marks.copy_(torch.from_numpy(marks))
            worker.tables.step.row_gates.copy_(torch.from_numpy(gates))
        long.batch._last = None
        found, wanted = (w.begin(ids, tokens, starts) for w in (short, long))
        assert (found is None) == (wanted is None)
        for name, table in short.tables.step._asdict().items():
            assert torch.equal(table, getattr(long.tables.step, name)), name
        if found is None or wanted is None:
            continue
        for name in ("sites", "requests", "ranges", "scales", "programs", "read", "marked",
                     "measured"):  # fmt: skip
            assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
        assert found.rows == wanted.rows
        one, other = short.batch.layout, long.batch.layout
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.ids == other.ids
            assert one.spans.tobytes() == other.spans.tobytes()
            assert one.positions.tobytes() == other.positions.astype(np.int32).tobytes()
        at = {i: position + rows for i, position in at.items()}


def test_a_batch_that_decodes_goes_on(worker: Worker) -> None:
    worker.batch.roster.add("a", steered(b"x", 1))
    worker.batch.roster.add("b", Order(read=((3, 9),)))
    goes_on = []
    for position in range(3, 11):
        step = worker.begin(["a", "b"], [1, 1], [position + 4, position])
        assert step is not None
        goes_on.append(step.again)
        assert worker.batch.layout is not None
        expected = [position + 4, position] if position < 9 else [position + 4]
        assert worker.batch.layout.positions.tolist() == expected
    assert goes_on == [False, *[True] * 5, False, True], "what is read ends at 9"


def test_a_program_taken_away_before_the_first_token_leaves_marks(worker: Worker) -> None:
    worker.batch.roster.add("a", steered(b"x", 1))
    worker.batch.roster.change("a", 0, Order(read=((2, NO_END),)))
    worker.begin(["a"], [4], [0])
    slots, flags = worker.rows(4)
    assert slots == [slots[0]] * 4
    assert slots[0] > 0
    assert flags == [0, 0, READ_FLAG, READ_FLAG]
    assert worker.batch.layout is not None
    assert worker.batch.layout.spans[0, 3] == 4, "the receipt wants a mark of each token"
