"""Where the site operation goes, by what a layer takes and returns."""

from typing import Any

import pytest
import torch
from torch import nn

from vagus_kernels.layout import ADD, SiteTables, entries, readout_parts
from vagus_server.plugin.pin import Unsupported
from vagus_server.plugin.sites import Decoder, install

HIDDEN, ROWS = 8, 3


class RMSNorm(nn.Module):
    """vLLM's, as far as it is looked at."""

    has_weight, variance_size_override, variance_epsilon = True, None, 1e-6

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm()

    def forward(self, hidden: Any, residual: Any) -> Any:
        return hidden.clone(), residual.clone()


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm()

    def forward(self, hidden: Any) -> Any:
        return hidden.clone()


class Three(nn.Module):
    def forward(self, hidden: Any) -> Any:
        return hidden, hidden, hidden


class PPMissingLayer(nn.Module):
    pass


def model(*layers: nn.Module, holder: str = "model", name: str = "layers") -> nn.Module:
    outer, inner = nn.Module(), nn.Module()
    setattr(inner, name, nn.ModuleList(layers))
    inner.norm = RMSNorm()
    setattr(outer, holder, inner)
    return outer


def tables() -> SiteTables:
    """One program in slot 1: add 2 along the first axis, for all rows."""
    ints = torch.zeros(2, entries(1), 4, dtype=torch.int32)
    ints[1, 0] = torch.tensor([ADD, 0, 1, -1])
    floats = torch.zeros(2, entries(1), 8)
    floats[1, 0, :3] = torch.tensor([2.0, 0.0, 1.0])
    return SiteTables(
        vectors=torch.eye(HIDDEN, dtype=torch.float16)[[7, 0]],
        program_count=torch.tensor([0, 1], dtype=torch.int32),
        program_int=ints,
        program_float=floats,
        row_slot=torch.ones(ROWS, dtype=torch.int32),
        row_flags=torch.ones(ROWS, dtype=torch.int32),
        row_scale=torch.ones(ROWS, 1),
        row_gates=torch.zeros(ROWS, dtype=torch.int32),
        site=torch.tensor([1, 0, 0, 0], dtype=torch.int32),
        marks=torch.zeros(ROWS, dtype=torch.int32),
        steps=torch.zeros(ROWS, 1),
        readout_vectors=torch.zeros(0, HIDDEN, dtype=torch.float16),
        readout_scale=torch.zeros(0),
        readout=torch.zeros(readout_parts(ROWS), 0),
        readout_shape=torch.zeros(2, dtype=torch.int32),
    )


@pytest.mark.parametrize(
    ("layer", "wanted", "installed"),
    [
        (Pair, "hook", "hook"),
        (Pair, "norm", "norm"),
        (Whole, "hook", "hook"),
        (Whole, "norm", "hook"),
    ],
)
def test_installation(layer: type[nn.Module], wanted: str, installed: str) -> None:
    decoder = Decoder(model(layer(), layer()), 2)
    assert install(decoder, [tables(), tables()], wanted) == [installed] * 2


def moved(before: torch.Tensor) -> torch.Tensor:
    after = before.clone()
    after[..., 0] += 2
    return after


def test_a_pair_is_steered_in_its_residual() -> None:
    decoder = Decoder(model(Pair()), 1)
    install(decoder, [tables()], "hook")
    hidden, residual = torch.randn(2, ROWS, HIDDEN)
    out_hidden, out_residual = decoder.layers[0](hidden, residual)
    assert torch.equal(out_hidden, hidden)
    assert torch.allclose(out_residual, moved(residual))


@pytest.mark.parametrize("shape", [(ROWS, HIDDEN), (1, ROWS, HIDDEN)])
def test_a_whole_stream_is_steered_in_place(shape: tuple[int, ...]) -> None:
    decoder = Decoder(model(Whole()), 1)
    install(decoder, [tables()], "hook")
    hidden = torch.randn(shape)
    assert torch.allclose(decoder.layers[0](hidden), moved(hidden))


@pytest.mark.parametrize(("layer", "shape"), [(Three, (ROWS, HIDDEN)), (Whole, (2, ROWS, HIDDEN))])
def test_other_outputs_are_refused(layer: type[nn.Module], shape: tuple[int, ...]) -> None:
    decoder = Decoder(model(layer()), 1)
    install(decoder, [tables()], "hook")
    with pytest.raises(Unsupported, match="returns neither the residual stream nor"):
        decoder.layers[0](torch.randn(shape))


def test_a_stage_installs_its_own_sites_alone() -> None:
    decoder = Decoder(model(Pair(), Pair(), PPMissingLayer()), 3)
    assert decoder.here == [0, 1]
    # The norm behind the stage's last layer is on the next stage.
    assert install(decoder, [tables()] * 3, "norm") == ["norm", "hook"]


def test_both_places_of_the_layers() -> None:
    assert len(Decoder(model(Pair()), 1).layers) == 1
    assert len(Decoder(model(Whole(), holder="transformer", name="h"), 1).layers) == 1


@pytest.mark.parametrize("strange", [nn.Module(), model(Pair(), Pair(), Pair())])
def test_models_built_otherwise_are_refused(strange: nn.Module) -> None:
    with pytest.raises(Unsupported, match="should have 2 decoder layers"):
        Decoder(strange, 2)
