"""Finds a model's decoder layers and installs the site operation: in the next norm, or a hook."""

from typing import Any

import torch
from torch import nn

from vagus_kernels import op
from vagus_kernels.layout import SiteTables
from vagus_server.plugin.pin import Unsupported

_PREFIX = "_vagus_"
_NAMES = tuple(_PREFIX + name for name in SiteTables._fields)


def decoder(model: nn.Module, expected: int) -> nn.Module:
    """The module that holds the decoder layers, in `layers`.

    Raises Unsupported when the model is not built as vLLM builds decoders, or has another
    number of layers than its configuration says.
    """
    parent: Any = model
    if hasattr(parent, "get_language_model"):
        parent = parent.get_language_model()
    inner = getattr(parent, "model", None)
    layers = getattr(inner, "layers", None)
    if not isinstance(layers, nn.ModuleList) or len(layers) != expected:
        found = len(layers) if isinstance(layers, nn.ModuleList) else "none"
        raise Unsupported(
            f"{type(model).__name__} should have {expected} decoder layers in model.layers; "
            f"found {found}"
        )
    assert isinstance(inner, nn.Module)
    return inner


def install(inner: nn.Module, tables: list[SiteTables], wanted: str) -> list[str]:
    """Installs the operation at each site; returns how: "norm" or "hook".

    Must run before the first forward pass: Dynamo traces what is there then, and ignores all
    that comes later. The tables become buffers, so that they enter the graph as inputs and a
    reloaded artifact binds to this process's own.

    Args:
        inner: the decoder, with `layers` and `norm`.
        tables: of each site.
        wanted: "norm" fuses with the norm that follows wherever there is one that can be
            replaced; "hook" never does.
    """
    layers: Any = inner.layers
    how = []
    for site, site_tables in enumerate(tables):
        owner, name = (inner, "norm")
        if site + 1 < len(layers):
            owner, name = layers[site + 1], "input_layernorm"
        norm = getattr(owner, name, None)
        if wanted == "norm" and _replaceable(norm):
            setattr(owner, name, SteeredNorm(norm, site_tables))
            how.append("norm")
        else:
            _hold(layers[site], site_tables)
            layers[site].register_forward_hook(_after_layer)
            how.append("hook")
    return how


def install_tap(inner: nn.Module, ranges: torch.Tensor, sums: torch.Tensor) -> None:
    """Adds up the stream after every layer; must run before `install`, to see it unsteered.

    Args:
        inner: the decoder, with `layers`.
        ranges: int32 [groups, 2], rows of the pass.
        sums: float32 [sites, groups, hidden + 1].
    """
    layers: Any = inner.layers
    for layer, site_sums in zip(layers, sums, strict=True):
        layer.register_buffer(_PREFIX + "tap_ranges", ranges, persistent=False)
        layer.register_buffer(_PREFIX + "tap_sums", site_sums, persistent=False)
        layer.register_forward_hook(_tap_layer)


def _tap_layer(layer: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
    hidden, residual = _pair(layer, output)
    op.tap_(residual, hidden, layer._vagus_tap_ranges, layer._vagus_tap_sums)


def _hold(module: nn.Module, tables: SiteTables) -> None:
    for name, tensor in tables._asdict().items():
        module.register_buffer(_PREFIX + name, tensor, persistent=False)


def _after_layer(layer: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
    # Steering goes to `residual`; reading `hidden` here is safe because the next norm is the
    # first to consume both.
    hidden, residual = _pair(layer, output)
    op.steer_read_(residual, hidden, *(getattr(layer, name) for name in _NAMES))


def _pair(layer: nn.Module, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(output, tuple) and len(output) == 2:
        hidden, residual = output
        if isinstance(hidden, torch.Tensor) and isinstance(residual, torch.Tensor):
            return hidden, residual
    raise Unsupported(
        f"{type(layer).__name__} does not return (hidden, residual): its residual stream "
        "is not where Vagus would steer it"
    )


class SteeredNorm(nn.Module):
    """An RMSNorm that adds the layer's output to the residual, and steers and reads the sum.

    Stands where vLLM's own stood and keeps its weight under the same name.
    """

    def __init__(self, norm: Any, tables: SiteTables) -> None:
        super().__init__()
        self.weight = norm.weight
        self.variance_epsilon: float = norm.variance_epsilon
        self._plus_one = type(norm).__name__ == "GemmaRMSNorm"
        _hold(self, tables)

    def forward(
        self, x: torch.Tensor, residual: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As vLLM's RMSNorm with a residual; there always is one after a decoder layer."""
        if residual is None:
            raise Unsupported("a norm between decoder layers was called without a residual")
        tables = (getattr(self, name) for name in _NAMES)
        normed: tuple[torch.Tensor, torch.Tensor] = op.steer_add_rms_norm(
            x, residual, self.weight, self.variance_epsilon, self._plus_one, *tables
        )
        return normed


def _replaceable(norm: Any) -> bool:
    """Whether this is a norm whose arithmetic the fused operation reproduces."""
    if type(norm).__name__ == "GemmaRMSNorm":
        return True
    return (
        type(norm).__name__ == "RMSNorm" and norm.has_weight and norm.variance_size_override is None
    )
