"""The rows of the current forward pass: whose they are and what happens to them."""

from dataclasses import dataclass

import numpy as np

from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.orders import OrderFlags
from vagus_server.plugin.slots import Slots
from vagus_server.plugin.wire import Order


@dataclass(frozen=True, slots=True)
class Rows:
    """A request's consecutive rows in a forward pass."""

    request_id: str
    row: int
    start: int
    tokens: int
    flags: np.ndarray
    steered: bool


class Batch:
    """Orders of the requests that the worker knows, and the row maps of the current pass."""

    def __init__(self, config: PluginConfig) -> None:
        self._config = config
        self.slots = Slots(config.slots)
        self._orders: dict[str, tuple[Order, OrderFlags, np.ndarray]] = {}
        self._rows: list[Rows] = []
        self._slot_per_row = np.zeros(0, dtype=np.int32)
        self._flags_per_row = np.zeros(0, dtype=np.int32)
        self._site_flags = np.zeros((config.sites, 2), dtype=np.int32)

    def add(self, request_id: str, order: Order) -> None:
        """Notes a request's order when it is first scheduled."""
        steered_sites = np.zeros(self._config.sites, dtype=bool)
        for operation in order.operations:
            steered_sites[list(operation.sites)] = True
        self._orders[request_id] = (order, OrderFlags(order), steered_sites)

    def pause(self, request_id: str) -> None:
        """Gives a preempted request's slot back; its order stays for when it resumes."""
        self.slots.release(request_id)

    def finish(self, request_id: str) -> None:
        """Forgets a request."""
        self.slots.release(request_id)
        self._orders.pop(request_id, None)

    @property
    def known(self) -> int:
        """Number of requests whose orders are held."""
        return len(self._orders)

    @property
    def idle(self) -> bool:
        """Whether no row of the current pass is steered or read."""
        return not self._rows

    def clear_rows(self) -> None:
        """Before a pass: no rows yet (dummy runs never get any)."""
        self._rows = []

    def begin(
        self, ids: list[str], tokens: list[int], starts: list[int]
    ) -> list[tuple[int, Order]]:
        """Lays out a pass's rows; returns programs that must be written, with their slots.

        Args:
            ids: requests in the order of their rows.
            tokens: number of rows of each.
            starts: position of each one's first row.
        """
        total = sum(tokens)
        self._slot_per_row = np.zeros(total, dtype=np.int32)
        self._flags_per_row = np.zeros(total, dtype=np.int32)
        self._site_flags = np.zeros((self._config.sites, 2), dtype=np.int32)
        self._rows = []
        fresh_programs: list[tuple[int, Order]] = []
        row = 0
        for request_id, count, start in zip(ids, tokens, starts, strict=False):
            if request_id in self._orders:
                order, order_flags, steered_sites = self._orders[request_id]
                slot, fresh = self.slots.acquire(request_id, order)
                if fresh:
                    fresh_programs.append((slot, order))
                flags = order_flags.at(start, count)
                self._slot_per_row[row : row + count] = slot
                self._flags_per_row[row : row + count] = flags
                self._site_flags[:, 0] |= steered_sites
                self._rows.append(Rows(request_id, row, start, count, flags, slot != 0))
            row += count
        if self._rows:
            self._site_flags[:, 1] = 1
        return fresh_programs

    def row_maps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slots and flags, int32 [rows], and int32 [sites, 2] for `Tables.put_rows`."""
        return self._slot_per_row, self._flags_per_row, self._site_flags

    def layout(self) -> list[Rows]:
        """The current pass's rows of requests with an order."""
        return self._rows
