"""Compiles the shipped kernels for GPUs that need not be here, and reads the machine code.

Launches are recorded instead of made, so what is compiled is what the launchers ask for, with
the specialisation that Triton's runtime would choose.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction, mangle_type

from vagus_kernels import begin_step, gather_readouts, project, steer_add_rms_norm, steer_read
from vagus_kernels.gather_readouts import ReadTables
from vagus_kernels.layout import SiteTables, entries, readout_parts
from vagus_kernels.step import StepTables

ARCHITECTURES = (80, 90, 100)
HIDDEN = (576, 2048, 3584, 4096, 5120, 8192, 16384)
OPERATIONS = 8


@dataclass(frozen=True)
class Launch:
    """One recorded launch."""

    kernel: Any
    grid: tuple[int, ...]
    args: tuple[Any, ...]
    constants: dict[str, int]


@dataclass(frozen=True)
class Compiled:
    """What the machine code of a launch says. Memory instructions by name, with counts."""

    registers: int
    stack: int
    spilled: int
    shared: int
    warps: int
    memory: Counter[str]
    tensor_core: int

    def occupancy(self, architecture: int) -> float:
        """Share of the warps that fit a multiprocessor, by registers, shared memory and blocks."""
        warps, shared, blocks = {80: (64, 164, 32), 90: (64, 228, 32), 100: (64, 228, 32)}[
            architecture
        ]
        per_warp = -(-self.registers * 32 // 256) * 256
        by_registers = 65536 // per_warp // self.warps
        by_shared = shared * 1024 // (self.shared + 1024)
        return min(by_registers, by_shared, blocks, warps // self.warps) * self.warps / warps


def record(kernel: JITFunction[Any], module: Any, call: Callable[[], object]) -> list[Launch]:
    """The launches of a module's kernel while `call` runs, instead of which nothing happens."""
    launches: list[Launch] = []

    class Recorder:
        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            return lambda *args, **constants: launches.append(Launch(kernel, grid, args, constants))

    name = next(n for n, value in vars(module).items() if value is kernel)
    with mock.patch.object(module, name, Recorder()):
        call()
    return launches


def compile_launch(launch: Launch, architecture: int) -> Compiled:
    """Compiles a launch as Triton's runtime would on a GPU of compute capability x.y = xy."""
    constants = dict(launch.constants)
    options = {k: constants.pop(k) for k in ("num_warps", "maxnreg") if k in constants}
    kernel = launch.kernel
    signature = dict.fromkeys(constants, "constexpr")
    attributes = {}
    unspecialised = {p.name for p in kernel.params if p.do_not_specialize}
    for i, arg in enumerate(launch.args):
        name = kernel.arg_names[i]
        special = name not in unspecialised
        if special and isinstance(arg, int) and arg == 1:
            signature[name], constants[name] = "constexpr", 1
            continue
        signature[name] = mangle_type(arg)
        # The caching allocator aligns tensors to more than 16 bytes.
        aligned = isinstance(arg, Tensor) and not kernel.params[i].do_not_specialize_on_alignment
        if aligned or (special and isinstance(arg, int) and arg % 16 == 0):
            attributes[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, attributes)
    target = GPUTarget("cuda", architecture, 32)
    compiled = triton.compile(source, target=target, options=options)
    text = _disassembled(bytes(compiled.asm["cubin"]))
    usage = {name: int(n) for name, n in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", text)}
    memory = Counter(re.findall(r"\b(?:LDG|STG|LDL|STL)[.\w]*", text))
    tensor_core = len(re.findall(r"\b(?:HMMA|HGMMA|UTC\w*MMA|OMMA|QMMA|IMMA)\b", text))
    return Compiled(
        registers=usage["REG"],
        stack=usage["STACK"],
        spilled=usage["LOCAL"] + memory["LDL"] + memory["STL"],
        shared=int(compiled.metadata.shared),
        warps=options["num_warps"],
        memory=memory,
        tensor_core=tensor_core,
    )


def _disassembled(cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        tool = triton.knobs.nvidia.cuobjdump.path
        command = [tool, "--dump-resource-usage", "--dump-sass", file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def site_tables(hidden: int, rows: int, concepts: int) -> SiteTables:
    """Tables without memory, for launches that are only recorded."""

    def table(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    slots, f32, f16 = 9, torch.float32, torch.float16
    return SiteTables(
        vectors=table(9, hidden, dtype=f16),
        program_count=table(slots),
        program_int=table(slots, entries(OPERATIONS), 4),
        program_float=table(slots, entries(OPERATIONS), 8, dtype=f32),
        row_slot=table(rows),
        row_flags=table(rows),
        row_scale=table(rows, OPERATIONS, dtype=f32),
        row_gates=table(rows),
        site=table(4),
        marks=table(rows),
        steps=table(rows, OPERATIONS, dtype=f32),
        readout_vectors=table(concepts, hidden, dtype=f16),
        readout_scale=table(concepts, dtype=f32),
        readout=table(readout_parts(rows), concepts, dtype=f32),
        readout_shape=table(2),
    )


def fused(hidden: int, rows: int, concepts: int, stride: int | None = None) -> Launch:
    """The launch of `steer_add_rms_norm` on bfloat16."""
    shape = (rows, stride or hidden)
    stream = torch.empty(shape, dtype=torch.bfloat16, device="meta")[:, :hidden]
    weight = torch.empty(hidden, dtype=torch.bfloat16, device="meta")
    (launch,) = record(
        steer_add_rms_norm._steer_add_rms_norm_kernel,
        steer_add_rms_norm,
        lambda: steer_add_rms_norm.steer_add_rms_norm(
            stream, stream, weight, 1e-5, False, *site_tables(hidden, rows, concepts)
        ),
    )
    return launch


def unfused(hidden: int, rows: int, concepts: int) -> list[Launch]:
    """The launches of `steer_read_` on bfloat16: the readouts if any, and the steering."""
    stream = torch.empty((rows, hidden), dtype=torch.bfloat16, device="meta")
    tables = site_tables(hidden, rows, concepts)
    launches = [
        *record(
            steer_read._steer_kernel,
            steer_read,
            lambda: steer_read.steer_read_(stream, stream, *site_tables(hidden, rows, 0)),
        )
    ]
    if concepts:
        launches += record(
            project._project_kernel, project, lambda: project.project(stream, stream, tables)
        )
    return launches


def around(rows: int, concepts: int) -> list[Launch]:
    """The launches before and after a forward pass."""

    def table(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    sites, slots, vectors, read, p = 32, 1025, 1024, 1, OPERATIONS
    f32 = torch.float32
    step = StepTables(
        site=table(sites, 4),
        row_slot=table(rows),
        row_flags=table(rows),
        row_scale=table(rows, p, dtype=f32),
        row_gates=table(rows),
        marks=table(sites, rows),
        program_count=table(sites, slots),
        program_int=table(sites, slots, entries(p), 4),
        program_float=table(sites, slots, entries(p), 8, dtype=f32),
        program_vector=table(slots, p),
        readout_shape=table(read, 2),
    )
    reads = ReadTables(
        sites=table(read),
        readout=table(read, readout_parts(rows), concepts, dtype=f32),
        readout_shape=step.readout_shape,
        products=table(read, vectors, concepts, dtype=f32),
        row_slot=step.row_slot,
        row_flags=step.row_flags,
        marks=step.marks,
        steps=table(sites, rows, p, dtype=f32),
        program_vector=step.program_vector,
    )
    message, positions = table(4096), table(rows, dtype=torch.int64)
    kernels = (
        (begin_step._begin_rows_kernel, begin_step.begin_step, (message, 8, 0, positions, step)),
        (begin_step._begin_rows_kernel, begin_step.begin_step, (message, 8, 0, None, step)),
        (
            gather_readouts._gather_kernel,
            gather_readouts.gather_readouts,
            (table(rows), table(rows, read, concepts, 2, dtype=f32), reads),
        ),
    )
    launches = []
    for kernel, function, arguments in kernels:
        module = sys.modules[function.__module__]
        launches += record(kernel, module, partial(function, *arguments))
    with mock.patch.object(begin_step, "_begin_rows_kernel", mock.MagicMock()):
        launches += record(
            begin_step._write_programs_kernel,
            begin_step,
            lambda: begin_step.begin_step(message, 8, 4, None, step),
        )
    return launches
