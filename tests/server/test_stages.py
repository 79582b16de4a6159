"""Each stage of a pipeline adds its own sites to what the stages before it have found."""

from types import SimpleNamespace

import torch

from vagus_server.plugin.stages import merge, receive, send

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


def test_stages_together() -> None:
    hidden = {"hidden_states": torch.ones(2)}
    intermediate = SimpleNamespace(tensors=send(hidden, FIRST))
    earlier = receive(intermediate)
    assert intermediate.tensors.keys() == hidden.keys(), "vLLM knows no other keys"
    readouts, marks, steps = merge(SECOND, earlier, torch.tensor([False, True]))
    assert readouts.flatten().tolist() == [1, 2, 5, 6, 3, 4, 7, 8]
    assert marks.tolist() == [[1, 1], [2, 0]]
    assert steps.tolist() == [0.5, -0.25]


def test_a_site_whose_operation_did_not_run_stays_unread() -> None:
    lost = (torch.full_like(SECOND[0], NAN), *SECOND[1:])
    readouts, _, _ = merge(lost, FIRST, torch.tensor([False, True]))
    assert torch.isnan(readouts[:, 1]).all()


def test_nothing_comes_from_before_the_first_stage() -> None:
    assert receive(None) is None
    assert receive(SimpleNamespace(tensors={"hidden_states": torch.ones(1)})) is None
    assert merge(FIRST, None, torch.tensor([True, True])) is FIRST
