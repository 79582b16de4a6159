"""The device tables of one worker, and the only code that writes them."""

import numpy as np
import torch
from torch import Tensor

from vagus_kernels.layout import GATE_NONE, SiteTables, applied_words
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import Order


class Tables:
    """Tensors at fixed addresses (see vagus_kernels.layout), for all sites together.

    Args:
        config: sizes.
        rows: most rows in a forward pass, padding included.
        device: where the model runs.
    """

    def __init__(self, config: PluginConfig, rows: int, device: torch.device) -> None:
        self.config = config
        self.device = device

        def zeros(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        c, f32 = config, torch.float32
        self.vectors = zeros(c.sites, c.vectors, c.hidden_size, dtype=f32)
        self.program_int = zeros(c.sites, c.slots, c.operations, 4)
        self.program_float = zeros(c.sites, c.slots, c.operations, 4, dtype=f32)
        self.row_slot = zeros(rows)
        self.row_flags = zeros(rows)
        self.site = zeros(c.sites, 4)
        self.site[:, 0] = torch.arange(c.sites, device=device)
        read = len(c.readout_sites)
        self.readout_vectors = zeros(read, c.concepts, c.hidden_size, dtype=f32)
        # NaN: a readout that the operation never wrote must not look like one.
        self.readout = zeros(read, rows, c.concepts, 2, dtype=f32).fill_(float("nan"))
        self.applied = zeros(rows, c.operations, applied_words(c.sites))
        self._no_vectors = zeros(0, c.hidden_size, dtype=f32)
        self._no_readout = zeros(rows, 0, 2, dtype=f32)

    def of_site(self, site: int) -> SiteTables:
        """The tables that the operation at one site gets."""
        readers = self.config.readout_sites
        read = readers.index(site) if site in readers else None
        return SiteTables(
            self.vectors[site],
            self.program_int[site],
            self.program_float[site],
            self.row_slot,
            self.row_flags,
            self.site[site],
            self._no_vectors if read is None else self.readout_vectors[read],
            self._no_readout if read is None else self.readout[read],
            self.applied,
        )

    def put_vectors(self, index: int, data: bytes) -> None:
        """Writes one concept's unit vectors, float32 [sites, hidden], at every site."""
        shape = (self.config.sites, self.config.hidden_size)
        self.vectors[:, index] = _float32(data, shape).to(self.device)

    def put_readout_vectors(self, data: bytes) -> None:
        """Writes the unit vectors read, float32 [readout sites, concepts, hidden]."""
        self.readout_vectors.copy_(_float32(data, tuple(self.readout_vectors.shape)))

    def put_program(self, slot: int, order: Order) -> None:
        """Writes one program into a slot, at every site."""
        c = self.config
        ints = np.zeros((c.sites, c.operations, 4), dtype=np.int32)
        floats = np.zeros((c.sites, c.operations, 4), dtype=np.float32)
        for p, operation in enumerate(order.operations):
            sites = list(operation.sites)
            ints[sites, p] = (operation.kind, operation.vector, GATE_NONE, 0)
            floats[sites, p, 0] = operation.a
            floats[sites, p, 1] = operation.b
        self.program_int[:, slot] = self._upload(ints)
        self.program_float[:, slot] = self._upload(floats)

    def put_rows(self, slots: np.ndarray, flags: np.ndarray, site_flags: np.ndarray) -> None:
        """Writes a step's row maps, int32 [rows], and int32 [sites, 2] what happens where.

        Rows past the batch are cleared: graphs replay on padded rows.
        """
        n = len(slots)
        self.row_slot[:n] = self._upload(slots)
        self.row_flags[:n] = self._upload(flags)
        self.row_flags[n:].zero_()
        self.site[:, 1:3] = self._upload(site_flags)
        self.applied[:n].zero_()

    def _upload(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cpu":
            return tensor
        # The caching host allocator keeps a pinned block until its copy is done, so the
        # next step may pin anew while this copy is still in flight.
        return tensor.pin_memory().to(self.device, non_blocking=True)


def _float32(data: bytes, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, dtype="<f4").reshape(shape).copy())
