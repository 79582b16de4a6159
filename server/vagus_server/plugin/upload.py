"""Copies step messages to the device: pinned, asynchronous, one copy each."""

import numpy as np
import torch
from torch import Tensor

from vagus_kernels.step import Step

#: Messages that may be under way at once: schedulers run a few steps ahead of the device.
_DEPTH = 4


class Upload:
    """A ring of pinned buffers, each with its twin on the device; both grow when they must."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        self._host = [torch.zeros(0, dtype=torch.int32) for _ in range(_DEPTH)]
        self._there = list(self._host)
        self._copied: list[torch.cuda.Event | None] = [None] * _DEPTH
        self._next = 0

    def __call__(self, step: Step) -> Tensor:
        """The message on the device, int32, longer than the step if an earlier one was."""
        i = self._next
        self._next = (i + 1) % _DEPTH
        event = self._copied[i]
        if event is not None:
            event.synchronize()  # done long ago, unless the host ran four steps ahead
        words = step.words
        if self._host[i].numel() < words:
            size = 1 << (words - 1).bit_length()
            self._host[i] = torch.zeros(size, dtype=torch.int32, pin_memory=self._cuda)
            self._there[i] = self._host[i]
            if self._cuda:
                self._there[i] = torch.zeros(size, dtype=torch.int32, device=self._device)
        array: np.ndarray = self._host[i].numpy()
        step.pack(array)
        if self._cuda:
            self._there[i][:words].copy_(self._host[i][:words], non_blocking=True)
            event = self._copied[i] = torch.cuda.Event()
            event.record()
        return self._there[i]
