"""Bytes and operations of the site operation, and the least time that a device can take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """What bounds a kernel.

    Args:
        name: as CUDA reports it, or a part of it.
        bandwidth: of the memory, bytes per second.
        cache: second-level cache, bytes.
        tf32: dense tensor-core operations per second in tf32.
        launch: seconds that a kernel takes in a CUDA graph if it does nothing.
    """

    name: str
    bandwidth: float
    cache: float
    tf32: float
    launch: float = 2.0e-6


#: From the makers' data sheets; `launch` is a usual figure, measured anew by `run.py`.
DEVICES = (
    Device("H200", 4.8e12, 50e6, 495e12),
    Device("H100", 3.35e12, 50e6, 495e12),
    Device("A100", 2.0e12, 40e6, 156e12),
    Device("L4", 0.3e12, 48e6, 60e12),
)


@dataclass(frozen=True)
class Work:
    """One launch on bfloat16 streams.

    Args:
        rows, hidden: of the stream.
        steered: operations per row, 0 for idle.
        programs: distinct vectors per operation among the rows.
        concepts: read at the site.
    """

    rows: int
    hidden: int
    steered: int = 0
    programs: int = 1
    concepts: int = 0

    @property
    def stream_bytes(self) -> int:
        """Two parts read, norm and stream written, the weight."""
        return self.rows * self.hidden * 2 * 4 + self.hidden * 2

    @property
    def vector_bytes(self) -> int:
        """Each distinct vector once from memory; a row's entry and flags."""
        distinct = min(self.rows, self.programs) * self.steered
        return distinct * self.hidden * 2 + self.rows * (24 + 64 * self.steered)

    @property
    def readout_bytes(self) -> int:
        """Concepts once, projections written; the stream again from the cache."""
        if not self.concepts:
            return 0
        return self.concepts * self.hidden * 2 + self.rows * self.concepts * 4

    @property
    def operations(self) -> int:
        """Multiplications and additions of the projections."""
        return 2 * self.rows * self.hidden * self.concepts

    def floor(self, device: Device) -> float:
        """Seconds: memory and tensor cores side by side, and never less than a launch."""
        moved = self.stream_bytes + self.vector_bytes + self.readout_bytes
        busy = max(moved / device.bandwidth, self.operations / device.tf32)
        return device.launch + busy
