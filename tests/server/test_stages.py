"""Each stage of a pipeline adds its own sites to what the stages before it have found."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from vagus_kernels.layout import ADD
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.stages import merge, receive, send
from vagus_server.plugin.tables import Tables
from vagus_server.plugin.wire import NO_END, Order, OrderGate, OrderOperation
from vagus_server.plugin.worker import SteeringWorker

NAN = float("nan")
#: Two rows are read at readout sites 0 and 1, of one concept; two sites, two rows marked.
FIRST = (
    torch.tensor([[[[1.0, 2.0]], [[NAN, NAN]]], [[[3.0, 4.0]], [[NAN, NAN]]]]),
    torch.tensor([[1, 1], [0, 0]], dtype=torch.int32),
    torch.tensor([0.5, 0.0]),
)
SECOND = (
    torch.tensor([[[[NAN, NAN]], [[5.0, 6.0]]], [[[NAN, NAN]], [[7.0, 8.0]]]]),
    torch.tensor([[0, 0], [2, 0]], dtype=torch.int32),
    torch.tensor([0.0, -0.25]),
)

#: Of both rows.
GATES = torch.tensor([2, 0], dtype=torch.int32)


def test_stages_together() -> None:
    hidden = {"hidden_states": torch.ones(2)}
    intermediate = SimpleNamespace(tensors=send(hidden, FIRST, GATES))
    earlier = receive(intermediate)
    assert earlier is not None
    assert intermediate.tensors.keys() == hidden.keys(), "vLLM knows no other keys"
    readouts, marks, steps = merge(SECOND, earlier.collected, torch.tensor([False, True]))
    assert readouts.flatten().tolist() == [1, 2, 5, 6, 3, 4, 7, 8]
    assert marks.tolist() == [[1, 1], [2, 0]]
    assert steps.tolist() == [0.5, -0.25]
    assert earlier.gates is GATES


def test_a_site_whose_operation_did_not_run_stays_unread() -> None:
    lost = (torch.full_like(SECOND[0], NAN), *SECOND[1:])
    readouts, _, _ = merge(lost, FIRST, torch.tensor([False, True]))
    assert torch.isnan(readouts[:, 1]).all()


def test_nothing_comes_from_before_the_first_stage() -> None:
    assert receive(None) is None
    assert receive(SimpleNamespace(tensors={"hidden_states": torch.ones(1)})) is None


def test_gates_of_the_stage_before_hold_when_a_pass_begins() -> None:
    config = PluginConfig(
        sites=2, hidden_size=8, readout_sites=(1,), concepts=1, slots=3, operations=2, vectors=3
    )
    scope, gate = ((0, NO_END),), OrderGate(2, 0, 0.0, 1.0)
    order = Order((OrderOperation(ADD, 1, (1,), (1.0,), (0.0,), scope, gate),), b"x")
    stages = []
    for _ in range(2):
        stage: Any = object.__new__(SteeringWorker)
        stage.tables = Tables(config, 16, torch.device("cpu"))
        stage.batch = Batch(config, stage.tables.inverse_norms, 16)
        stage.batch.roster.add("a", order)
        stage._earlier = None
        stages.append(stage)
    first, second = stages
    ids, tokens, starts = ["a"], np.array([3]), np.array([0])
    first._begin_rows(ids, tokens, starts)
    first.tables.step.row_gates[:3] = torch.tensor([1, 0, 1])
    sent = send({}, first.tables.collect(), first.tables.gates())
    first._begin_rows(ids, tokens, starts)
    assert first.tables.gates().tolist() == [0, 0, 0], "what it found before is over"
    second._earlier = receive(SimpleNamespace(tensors=sent))
    second._begin_rows(ids, tokens, starts)
    assert second.tables.gates().tolist() == [1, 0, 1]
