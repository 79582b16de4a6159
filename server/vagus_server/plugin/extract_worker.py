"""The worker that concepts are extracted with: sums of the stream, and of readouts.

Nothing but sums leaves it: no residual stream of any token is kept or sent.
"""

from typing import Any

import numpy as np
import torch

from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.sites import Decoder, install_tap
from vagus_server.plugin.wire import order_from_sampling_params
from vagus_server.plugin.worker import SteeringWorker


class ExtractWorker(SteeringWorker):
    """A steering worker that also adds up. Named in EngineArgs.worker_cls."""

    def load_model(self, **kwargs: Any) -> None:
        """Installs the tap below the site operation."""
        self._taps: dict[str, tuple[tuple[int, int, int], ...]] = {}
        super().load_model(**kwargs)
        # Sums of all readouts since they were last taken: number, sum and sum of squares.
        c = self.tables.config
        self._moments = torch.zeros(2, len(c.readout_sites), c.concepts, dtype=torch.float64)
        self._moments = self._moments.to(self.device)
        self._read = 0

    def _before_install(self, decoder: Decoder, config: PluginConfig) -> None:
        groups, hidden = config.tap_groups, config.hidden_size
        self._ranges = torch.zeros(groups, 2, dtype=torch.int32, device=self.device)
        self._sums = torch.zeros(config.sites, groups, hidden + 1, device=self.device)
        install_tap(decoder, self._ranges, self._sums)

    def execute_model(self, scheduler_output: Any) -> Any:
        """Notes which requests are summed up."""
        for request_id in scheduler_output.finished_req_ids:
            self._taps.pop(request_id, None)
        for new in scheduler_output.scheduled_new_reqs:
            order = order_from_sampling_params(new.sampling_params)
            if order is not None and order.tap:
                self._taps[new.req_id] = order.tap
        return super().execute_model(scheduler_output)

    def _begin_rows(self, ids: list[str], tokens: np.ndarray, starts: np.ndarray) -> None:
        super()._begin_rows(ids, tokens, starts)
        ranges = np.zeros(tuple(self._ranges.shape), dtype=np.int32)
        row = 0
        for request_id, count, start in zip(ids, tokens.tolist(), starts.tolist(), strict=True):
            for group, first, end in self._taps.get(request_id, ()):
                ranges[group] = row + max(0, first - start), row + min(end - start, count)
            row += count
        self._ranges.copy_(torch.from_numpy(ranges))

    def sample_tokens(self, grammar_output: Any) -> Any:
        """Samples, and adds the readouts of the pass to the moments."""
        output = self._sample(grammar_output)
        layout = self.batch.layout
        if output is not None and layout is not None and len(layout.positions):
            readouts, _, _ = self.tables.collect()
            before = readouts[..., 0].double()
            self._moments[0] += before.sum(0)
            self._moments[1] += before.square().sum(0)
            self._read += len(before)
        return output

    # Called through collective_rpc.

    def vagus_take_sums(self, groups: list[int]) -> bytes:
        """Float32 [sites, groups, hidden + 1] of these groups, which start anew at 0."""
        data = self._sums[:, groups].cpu().numpy().tobytes()
        self._sums[:, groups] = 0
        return data

    def vagus_take_moments(self) -> tuple[int, bytes]:
        """Readouts since the last call, and float64 [2, sites, concepts]: sum, sum of squares."""
        result = self._read, self._moments.cpu().numpy().tobytes()
        self._read = 0
        self._moments.zero_()
        return result
