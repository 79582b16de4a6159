"""Finds a model's decoder layers and installs the site operation after each."""

from typing import Any

import torch
from torch import nn

from vagus_kernels import op
from vagus_kernels.layout import SiteTables
from vagus_server.plugin.pin import Unsupported

_PREFIX = "_vagus_"


def decoder_layers(model: nn.Module, expected: int) -> list[nn.Module]:
    """The decoder layers in order.

    Raises Unsupported when the model is not built as vLLM builds decoders, or has another
    number of layers than its configuration says.
    """
    parent: Any = model
    if hasattr(parent, "get_language_model"):
        parent = parent.get_language_model()
    layers = getattr(getattr(parent, "model", None), "layers", None)
    if not isinstance(layers, nn.ModuleList) or len(layers) != expected:
        found = len(layers) if isinstance(layers, nn.ModuleList) else "none"
        raise Unsupported(
            f"{type(model).__name__} should have {expected} decoder layers in model.layers; "
            f"found {found}"
        )
    return list(layers)


def install(layers: list[nn.Module], tables: list[SiteTables]) -> None:
    """Adds the site operation after each layer.

    Must run before the first forward pass: Dynamo traces hooks that exist then, and ignores
    all that come later. The tables become buffers of the layer, so that they enter the graph
    as inputs and a reloaded artifact binds to this process's own.
    """
    for layer, site_tables in zip(layers, tables, strict=True):
        for name, tensor in site_tables._asdict().items():
            layer.register_buffer(_PREFIX + name, tensor, persistent=False)
        layer.register_forward_hook(_after_layer)


_NAMES = tuple(_PREFIX + name for name in SiteTables._fields)


def _after_layer(layer: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
    # Steering goes to `residual`; reading `hidden` here is safe because the next norm is the
    # first to consume both.
    if not (isinstance(output, tuple) and len(output) == 2 and _is_pair(output)):
        raise Unsupported(
            f"{type(layer).__name__} does not return (hidden, residual): its residual stream "
            "is not where Vagus would steer it"
        )
    hidden, residual = output
    op.steer_read_(residual, hidden, *(getattr(layer, name) for name in _NAMES))


def _is_pair(output: tuple[Any, ...]) -> bool:
    return all(isinstance(part, torch.Tensor) for part in output)
