"""The device tables of one worker, and the only code that writes them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vagus_kernels import reference_step
from vagus_kernels.gather_readouts import ReadTables
from vagus_kernels.layout import SiteTables, entries, readout_parts
from vagus_kernels.step import PROGRAM, Step, StepTables
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.upload import Upload

BeginStep = Callable[[Tensor, int, int, Tensor | None, StepTables], None]
Clear = Callable[[Tensor, StepTables], None]
GatherReadouts = Callable[[Tensor, Tensor, ReadTables], None]


class Tables:
    """Tensors at fixed addresses (see vagus_kernels.layout), for all sites together.

    Args:
        config: sizes.
        rows: most rows in a forward pass, padding included.
        device: where the model runs.
    """

    def __init__(self, config: PluginConfig, rows: int, device: torch.device) -> None:
        self.config, self.device, self.rows = config, device, rows
        c, f32 = config, torch.float32

        def zeros(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.vectors = zeros(c.sites, c.vectors, c.hidden_size, dtype=torch.float16)
        #: Float32 [sites, vectors], 1 / |v|; 0 for vectors that are not there.
        self.inverse_norms = np.zeros((c.sites, c.vectors), dtype=np.float32)
        self.step = StepTables(
            site=zeros(c.sites, 4),
            row_slot=zeros(rows),
            row_flags=zeros(rows),
            row_scale=zeros(rows, c.operations, dtype=f32),
            row_gates=zeros(rows),
            marks=zeros(c.sites, rows),
            program_count=zeros(c.sites, c.slots),
            program_int=zeros(c.sites, c.slots, entries(c.operations), 4),
            program_float=zeros(c.sites, c.slots, entries(c.operations), 8, dtype=f32),
            program_vector=zeros(c.slots, c.operations),
            readout_shape=zeros(len(c.readout_sites), 2),
        )
        read, parts = len(c.readout_sites), readout_parts(rows)
        self.steps = zeros(c.sites, rows, c.operations, dtype=f32)
        self.readout_vectors = zeros(read, c.concepts, c.hidden_size, dtype=torch.float16)
        self.readout_scale = zeros(read, c.concepts, dtype=f32)
        self.read = ReadTables(
            sites=torch.tensor(c.readout_sites, dtype=torch.int32, device=device),
            # NaN: a readout that the operation never wrote must not look like one.
            readout=zeros(read, parts, c.concepts, dtype=f32).fill_(float("nan")),
            readout_shape=self.step.readout_shape,
            products=zeros(read, c.vectors, c.concepts, dtype=f32),
            row_slot=self.step.row_slot,
            row_flags=self.step.row_flags,
            marks=self.step.marks,
            steps=self.steps,
            program_vector=self.step.program_vector,
        )
        self._no_marks = zeros(c.sites, 0)
        self._upload = Upload(device)
        #: Of the message: rows read, rows marked, steps measured.
        self._indices: tuple[Tensor, Tensor, Tensor]
        self._nothing = {
            "readout_vectors": zeros(0, c.hidden_size, dtype=torch.float16),
            "readout_scale": zeros(0, dtype=f32),
            "readout": zeros(parts, 0, dtype=f32),
            "readout_shape": zeros(2),
        }
        self._begin: BeginStep = reference_step.begin_step
        self._clear: Clear | None = reference_step.clear
        self._gather: GatherReadouts = reference_step.gather_readouts
        if device.type == "cuda":
            # Imported here: machines without a GPU never load the Triton compiler.
            from vagus_kernels import begin_step, gather_readouts

            self._begin, self._gather = begin_step.begin_step, gather_readouts.gather_readouts
            # The launch costs the same, whatever the kernel has to do.
            self._clear = None

    def of_site(self, site: int) -> SiteTables:
        """The tables that the operation at one site gets."""
        s, readers = self.step, self.config.readout_sites
        if site in readers:
            r = readers.index(site)
            reading = {
                "readout_vectors": self.readout_vectors[r],
                "readout_scale": self.readout_scale[r],
                "readout": self.read.readout[r],
                "readout_shape": self.read.readout_shape[r],
            }
        else:
            reading = self._nothing
        return SiteTables(
            vectors=self.vectors[site],
            program_count=s.program_count[site],
            program_int=s.program_int[site],
            program_float=s.program_float[site],
            row_slot=s.row_slot,
            row_flags=s.row_flags,
            row_scale=s.row_scale,
            row_gates=s.row_gates,
            site=s.site[site],
            marks=s.marks[site],
            steps=self.steps[site],
            **reading,
        )

    def put_vectors(self, index: int, data: bytes) -> None:
        """Writes one concept's vectors, float16 [sites, hidden], at every site."""
        c = self.config
        vectors = np.frombuffer(data, dtype="<f2").reshape(c.sites, c.hidden_size)
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
        self.inverse_norms[:, index] = np.divide(1, norms, where=norms > 0, out=np.zeros(c.sites))
        self.vectors[:, index] = torch.from_numpy(vectors.copy()).to(self.device)
        self._put_products(slice(index, index + 1))

    def put_readout_vectors(self, indices: list[int]) -> None:
        """Reads these vectors of the bank at every readout site, in this order."""
        for r, site in enumerate(self.config.readout_sites):
            self.readout_vectors[r] = self.vectors[site, indices]
            scale = torch.from_numpy(self.inverse_norms[site, indices])
            self.readout_scale[r] = scale.to(self.device)
        self._put_products(slice(None))

    def _put_products(self, which: slice) -> None:
        for r, site in enumerate(self.config.readout_sites):
            inverse = torch.from_numpy(self.inverse_norms[site, which]).to(self.device)
            units = self.vectors[site, which].float() * inverse[:, None]
            products = units @ self.readout_vectors[r].float().T
            self.read.products[r, which] = products * self.readout_scale[r]

    def begin(self, step: Step, positions: Tensor | None = None) -> None:
        """Writes a step's message: one copy to the device, unpacked there.

        Args:
            step: the message.
            positions: int64, of every row of the pass, where the device alone knows them.
        """
        self._packed = step
        if step.again and self._clear is not None:
            self._clear(self._indices[1], self.step)
            return
        if not step.again:
            self._message = self._upload(step)
            self._indices = step.indices(self._message)
        requests, programs = len(step.requests), len(step.programs)
        self._begin(self._message, requests, programs, positions, self.step)

    def rehearse(self) -> None:
        """Launches once all that goes on around a pass, with nothing in it.

        That compiles it before anything is served: vLLM's own warm-up brings no orders.
        """

        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(shape, dtype=np.int32)

        nothing = Step(
            sites=zeros(self.config.sites),
            requests=zeros(0),
            ranges=zeros(0),
            scales=zeros(0),
            programs=zeros(1, PROGRAM),  # slot 0's, which stays without entries
            counts=zeros(1, self.config.sites),
            vectors=zeros(1, self.config.operations),
            entries=zeros(0),
            read=zeros(1),
            marked=zeros(0),
            measured=zeros(0),
            rows=0,
            rows_before=0,
        )
        self.begin(nothing)
        self.collect()

    def gates(self) -> Tensor:
        """What gates found in the pass just enqueued, int32 [its rows]: a copy."""
        return self.step.row_gates[: self._packed.rows].clone()

    def put_gates(self, gates: Tensor) -> None:
        """What earlier stages' gates found in the pass that begins; as from `gates`."""
        self.step.row_gates[: len(gates)].copy_(gates)

    def collect(self) -> tuple[Tensor, Tensor, Tensor]:
        """Readouts, marks and steps of the pass just enqueued, on the device.

        Returns float32 [rows read, readout sites, concepts, 2], int32 [sites, rows marked] and
        float32 [steps measured]. The tables may be written again as soon as this is enqueued.
        """
        read, marked, measured = self._indices
        shape = (len(read), len(self.config.readout_sites), self.config.concepts, 2)
        readouts = torch.empty(shape, dtype=torch.float32, device=self.device)
        self._gather(read, readouts, self.read)
        # Most passes steer nothing, and two operations on nothing cost as much as on something.
        marks = self.step.marks.index_select(1, marked) if marked.numel() else self._no_marks
        steps = self.steps.view(-1)
        steps = steps.index_select(0, measured) if measured.numel() else steps[:0]
        return readouts, marks, steps
