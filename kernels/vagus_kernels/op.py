"""Registers the site operation with torch: `torch.ops.vagus.steer_read_`.

The operator is opaque to Dynamo and Inductor and takes tensors alone: a Python scalar such
as a layer index would make every layer's subgraph different (measured on 30 layers: 20 s of
compilation against 440 s). It declares what it mutates, so that the compiler neither drops
it nor moves the reads of the stream across it.
"""

import torch

from vagus_kernels import reference

NAME = "vagus::steer_read_"

_library = torch.library.Library("vagus", "DEF")
_library.define(
    "steer_read_(Tensor(a!) stream, Tensor? addend, Tensor vectors, Tensor program_int, "
    "Tensor program_float, Tensor row_slot, Tensor row_flags, Tensor site, "
    "Tensor readout_vectors, Tensor(b!) readout, Tensor(c!) applied) -> ()"
)


def _cuda(*args: torch.Tensor) -> None:
    # Imported on first use: machines without a GPU never load the Triton compiler.
    from vagus_kernels import steer_read

    steer_read.steer_read_(*args)


_library.impl("steer_read_", reference.steer_read_, "CPU")
_library.impl("steer_read_", _cuda, "CUDA")
torch.library.register_fake(NAME, lambda *_: None, lib=_library)

steer_read_ = torch.ops.vagus.steer_read_.default
