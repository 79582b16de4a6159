"""The worker that concepts are extracted with: sums of the stream, and of readouts.

Nothing but sums leaves it: no residual stream of any token is kept or sent.
"""

from typing import Any

import numpy as np
import torch

from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.sites import Decoder, install_tap
from vagus_server.plugin.taps import Taps
from vagus_server.plugin.wire import order_from_sampling_params
from vagus_server.plugin.worker import SteeringWorker


class ExtractWorker(SteeringWorker):
    """A steering worker that also adds up. Named in EngineArgs.worker_cls."""

    def load_model(self, **kwargs: Any) -> None:
        """Installs the tap below the site operation."""
        super().load_model(**kwargs)
        # Sums of all readouts since they were last taken: number, sum and sum of squares.
        c = self.tables.config
        self._moments = torch.zeros(2, len(c.readout_sites), c.concepts, dtype=torch.float64)
        self._moments = self._moments.to(self.device)
        self._read = 0

    def _before_install(self, decoder: Decoder, config: PluginConfig) -> None:
        groups, hidden = config.tap_groups, config.hidden_size
        self._taps = Taps(groups)
        self._ranges = torch.zeros(groups, 2, dtype=torch.int32, device=self.device)
        self._sums = torch.zeros(config.sites, groups, hidden + 1, device=self.device)
        install_tap(decoder, self._ranges, self._sums)

    def execute_model(self, scheduler_output: Any) -> Any:
        """Notes which requests are summed up."""
        for request_id in scheduler_output.finished_req_ids:
            self._taps.finish(request_id)
        for new in scheduler_output.scheduled_new_reqs:
            order = order_from_sampling_params(new.sampling_params)
            if order is not None:
                self._taps.add(new.req_id, order)
        return super().execute_model(scheduler_output)

    def _begin_rows(self, ids: list[str], tokens: np.ndarray, starts: np.ndarray) -> None:
        super()._begin_rows(ids, tokens, starts)
        ranges, anew = self._taps.begin(ids, tokens, starts)
        if anew:
            self._sums[:, anew] = 0
        self._ranges.copy_(torch.from_numpy(ranges))

    def sample_tokens(self, grammar_output: Any) -> Any:
        """Samples, and adds the readouts of the pass to the moments."""
        output = self._sample(grammar_output)
        layout = self.batch.layout
        if output is not None and layout is not None and len(layout.positions):
            readouts, _, _ = self.tables.collect()
            before = readouts[..., 0].double()
            fresh = self._taps.unread(layout)
            if not fresh.all():
                before = before[torch.from_numpy(fresh).to(before.device)]
            self._moments[0] += before.sum(0)
            self._moments[1] += before.square().sum(0)
            self._read += len(before)
        return output

    # Called through collective_rpc.

    def vagus_take_sums(self, groups: list[int]) -> tuple[list[int], bytes]:
        """Rows summed in each of these groups, which start anew at 0, and their sums.

        The sums are float32 [sites, groups, hidden + 1].
        """
        data = self._sums[:, groups].cpu().numpy().tobytes()
        self._sums[:, groups] = 0
        return self._taps.take(groups), data

    def vagus_take_moments(self) -> tuple[int, bytes]:
        """Readouts since the last call, and float64 [2, sites, concepts]: sum, sum of squares."""
        result = self._read, self._moments.cpu().numpy().tobytes()
        self._read = 0
        self._moments.zero_()
        return result
