"""Vagus kernels: steering programs and concept readouts on the residual stream.

`steer_add_rms_norm` runs a row's program on the stream and projects it on concepts, in one
launch with the residual add and RMSNorm that the engine needs anyway; `steer_read` does the
same without the norm. `begin_step` and `gather_readouts` go around a forward pass. `reference`,
`run_programs` and `reference_step` are the same in torch and numpy: the CPU implementation.
`op` registers the site operations with torch as opaque, graph-safe operators. `layout` and
`step` say what all of them work on.
"""

__version__ = "0.2.0"
