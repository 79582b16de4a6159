"""Finds a model's decoder layers and installs the site operation: in the next norm, or a hook.

Models keep the stream after a layer in one of two ways:

    a pair    the layer takes `residual` and returns (hidden, residual); the stream is their
              sum, which the norm that follows takes (Llama, Qwen, Mistral, Mixtral, Gemma, Phi-3)
    whole     the layer returns the stream (Granite, GPT-2, Falcon, and all that vLLM runs with
              transformers' own layers, such as OLMo2 and GPT-NeoX, with a batch axis of 1)
"""

import inspect
from typing import Any

import torch
from torch import nn

from vagus_kernels import op
from vagus_kernels.cpu_sites import Held
from vagus_kernels.layout import SiteTables
from vagus_server.plugin.pin import Unsupported

_PREFIX = "_vagus_"
_NAMES = tuple(_PREFIX + name for name in SiteTables._fields)


#: Where vLLM's models have their decoder layers.
_LAYERS = ("model.layers", "transformer.h")


class Decoder:
    """A model's decoder layers and what holds them.

    Raises Unsupported when the model is not built as vLLM builds decoders, or has another
    number of layers than its configuration says.
    """

    def __init__(self, model: nn.Module, expected: int) -> None:
        parent: Any = model
        if hasattr(parent, "get_language_model"):
            parent = parent.get_language_model()
        for path in _LAYERS:
            holder, name = path.split(".")
            self.inner: Any = getattr(parent, holder, None)
            self.layers: Any = getattr(self.inner, name, None)
            if isinstance(self.layers, nn.ModuleList):
                break
        found = len(self.layers) if isinstance(self.layers, nn.ModuleList) else "none"
        if found != expected:
            raise Unsupported(
                f"{type(model).__name__} should have {expected} decoder layers in "
                f"{' or '.join(_LAYERS)}; found {found}"
            )

    @property
    def here(self) -> list[int]:
        """The layers of this stage of the pipeline; the others are placeholders."""
        return [i for i, layer in enumerate(self.layers) if not _missing(layer)]

    def norm_after(self, site: int) -> tuple[Any, str] | None:
        """Holder and name of the norm that takes the pair after a layer, if it can be replaced."""
        layers = self.layers
        holder, name = (self.inner, "norm")
        if site + 1 < len(layers):
            holder, name = layers[site + 1], "input_layernorm"
        takes_pair = "residual" in inspect.signature(layers[site].forward).parameters
        replaceable = takes_pair and _replaceable(getattr(holder, name, None))
        return (holder, name) if replaceable else None


def install(decoder: Decoder, tables: list[SiteTables], wanted: str) -> list[str]:
    """Installs the operation at each site of this stage; returns how: "norm" or "hook".

    Must run before the first forward pass: Dynamo traces what is there then, and ignores all
    that comes later. The tables become buffers, so that they enter the graph as inputs and a
    reloaded artifact binds to this process's own.

    Args:
        decoder: the model's.
        tables: of each site of the whole model.
        wanted: "norm" fuses with the norm that follows wherever there is one that can be
            replaced; "hook" never does.
    """
    how = []
    for site in decoder.here:
        place = decoder.norm_after(site) if wanted == "norm" else None
        if place is not None:
            setattr(*place, SteeredNorm(getattr(*place), tables[site]))
            how.append("norm")
        else:
            _hook(decoder.layers[site], tables[site])
            how.append("hook")
    return how


def install_tap(decoder: Decoder, ranges: torch.Tensor, sums: torch.Tensor) -> None:
    """Adds up the stream after every layer; must run before `install`, to see it unsteered.

    Args:
        decoder: the model's.
        ranges: int32 [groups, 2], rows of the pass.
        sums: float32 [sites, groups, hidden + 1].
    """
    for site in decoder.here:
        layer = decoder.layers[site]
        layer.register_buffer(_PREFIX + "tap_ranges", ranges, persistent=False)
        layer.register_buffer(_PREFIX + "tap_sums", sums[site], persistent=False)
        layer.register_forward_hook(_tap_layer)


def _tap_layer(layer: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
    stream, addend = _stream(layer, output)
    op.tap_(stream, addend, layer._vagus_tap_ranges, layer._vagus_tap_sums)


def _hook(layer: nn.Module, tables: SiteTables) -> None:
    if tables.site.device.type == "cpu":
        layer.register_buffer(_PREFIX + "site", tables.site, persistent=False)
        layer._vagus_held = Held(tables)  # type: ignore[assignment]
        layer.register_forward_hook(_after_layer_on_cpu)
    else:
        _hold(layer, tables)
        layer.register_forward_hook(_after_layer)


def _hold(module: nn.Module, tables: SiteTables) -> None:
    for name, tensor in tables._asdict().items():
        module.register_buffer(_PREFIX + name, tensor, persistent=False)


def _after_layer(layer: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
    # Steering goes to the stream in place; reading a pair's `hidden` here is safe because the
    # next norm is the first to consume both.
    stream, addend = _stream(layer, output)
    op.steer_read_(stream, addend, *(getattr(layer, name) for name in _NAMES))


def _after_layer_on_cpu(layer: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
    stream, addend = _stream(layer, output)
    op.steer_read_at_(stream, addend, layer._vagus_site)


def _stream(layer: nn.Module, output: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What is steered, [N, H], and what is added to it to make the residual stream."""
    if isinstance(output, torch.Tensor):
        if output.dim() == 2:
            return output, None
        if output.dim() == 3 and output.shape[0] == 1:
            return output[0], None
    if isinstance(output, tuple) and len(output) == 2:
        hidden, residual = output
        if isinstance(hidden, torch.Tensor) and isinstance(residual, torch.Tensor):
            return residual, hidden
    raise Unsupported(
        f"{type(layer).__name__} returns neither the residual stream nor (hidden, residual): "
        "its stream is not where Vagus would steer it"
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


def _missing(layer: nn.Module) -> bool:
    """Whether a layer is on another stage of the pipeline."""
    return type(layer).__name__ == "PPMissingLayer"
