"""Registers the site operations with torch: `torch.ops.vagus.steer_read_`, `..._rms_norm`.

On a CPU `steer_read_at_` stands for `steer_read_` (see `cpu_sites`).

The operators are opaque to Dynamo and Inductor and take tensors alone, but for what is the same
at all sites: a Python scalar such as a layer index would make every layer's subgraph different
(measured on 30 layers: 20 s of compilation against 440 s). They declare what they mutate, so
that the compiler neither drops them nor moves reads across them.
"""

from typing import Any

import torch
from torch import Tensor

from vagus_kernels import cpu_sites, reference
from vagus_kernels.layout import SiteTables

_MUTATED = ("row_gates", "marks", "steps", "readout", "readout_shape")
_TABLES = ", ".join(
    f"Tensor({chr(ord('b') + i)}!) {name}" if name in _MUTATED else f"Tensor {name}"
    for i, name in enumerate(SiteTables._fields)
)

_library = torch.library.Library("vagus", "DEF")
_library.define(f"steer_read_(Tensor(a!) stream, Tensor? addend, {_TABLES}) -> ()")
_library.define("steer_read_at_(Tensor(a!) stream, Tensor? addend, Tensor(b!) site) -> ()")
_library.define(
    "steer_add_rms_norm(Tensor hidden, Tensor residual, Tensor weight, float eps, bool plus_one, "
    f"{_TABLES}) -> (Tensor, Tensor)"
)


_library.define("tap_(Tensor stream, Tensor? addend, Tensor ranges, Tensor(a!) sums) -> ()")


def _steer_read_cuda(*args: Any) -> None:
    # Imported on first use: machines without a GPU never load the Triton compiler.
    from vagus_kernels import steer_read

    steer_read.steer_read_(*args)


def _steer_add_rms_norm_cuda(*args: Any) -> tuple[Tensor, Tensor]:
    from vagus_kernels import steer_add_rms_norm

    return steer_add_rms_norm.steer_add_rms_norm(*args)


def _tap_cuda(*args: Any) -> None:
    from vagus_kernels import tap

    tap.tap_(*args)


def _like_both(hidden: Tensor, residual: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(hidden), torch.empty_like(residual)


_library.impl("steer_read_", reference.steer_read_, "CPU")
_library.impl("steer_read_", _steer_read_cuda, "CUDA")
torch.library.register_fake("vagus::steer_read_", lambda *_: None, lib=_library)
_library.impl("steer_read_at_", cpu_sites.steer_read_at_, "CPU")
torch.library.register_fake("vagus::steer_read_at_", lambda *_: None, lib=_library)
_library.impl("steer_add_rms_norm", reference.steer_add_rms_norm, "CPU")
_library.impl("steer_add_rms_norm", _steer_add_rms_norm_cuda, "CUDA")
torch.library.register_fake("vagus::steer_add_rms_norm", _like_both, lib=_library)
_library.impl("tap_", reference.tap_, "CPU")
_library.impl("tap_", _tap_cuda, "CUDA")
torch.library.register_fake("vagus::tap_", lambda *_: None, lib=_library)

steer_read_ = torch.ops.vagus.steer_read_.default
steer_read_at_ = torch.ops.vagus.steer_read_at_.default
steer_add_rms_norm = torch.ops.vagus.steer_add_rms_norm.default
tap_ = torch.ops.vagus.tap_.default
