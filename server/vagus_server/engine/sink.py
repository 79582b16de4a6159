"""Collects what the plugin sends back for each running request."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vagus_server.plugin import pin
from vagus_server.plugin.wire import Frame, frame_from_array

_PARAMETERS = (
    "engine_core_outputs",
    "engine_core_timestamp",
    "iteration_stats",
    "weight_version",
)


class Sink:
    """What has come back for one request."""

    def __init__(self, row_shape: tuple[int, ...]) -> None:
        self._row_shape = row_shape
        self._frames: list[Frame] = []
        #: Float32 rows [readout sites, concepts, 2] by position, until they are taken.
        self.rows: dict[int, np.ndarray] = {}
        self.turn_sum: np.ndarray | None = None
        self.turn_tokens = 0
        self.last_prompt_token: np.ndarray | None = None

    def feed(self, frame: Frame) -> None:
        """Takes a frame. Rows of a position computed anew replace the earlier ones."""
        self._frames.append(frame)
        if frame.positions:
            rows = np.frombuffer(frame.readouts, dtype="<f4")
            rows = rows.reshape(len(frame.positions), *self._row_shape)
            self.rows.update(zip(frame.positions, rows, strict=True))
        if frame.turn_sum:
            self.turn_sum = self._row(frame.turn_sum)
            self.turn_tokens = frame.turn_tokens
        if frame.last_prompt_token:
            self.last_prompt_token = self._row(frame.last_prompt_token)

    def take_frames(self) -> list[Frame]:
        """The frames since the last call, for the ledger."""
        frames, self._frames = self._frames, []
        return frames

    def _row(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, dtype="<f4").reshape(self._row_shape)


class Sinks:
    """Routes frames to the sinks of running requests."""

    def __init__(self, row_shape: tuple[int, ...]) -> None:
        self._row_shape = row_shape
        self._sinks: dict[str, Sink] = {}
        self.readout_bytes = 0

    def open(self, request_id: str) -> Sink:
        """Starts collecting for a request."""
        sink = self._sinks[request_id] = Sink(self._row_shape)
        return sink

    def close(self, request_id: str) -> None:
        """Stops collecting; frames that still arrive are dropped."""
        self._sinks.pop(request_id, None)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._sinks

    def __len__(self) -> int:
        return len(self._sinks)

    def attach(self, output_processor: Any) -> None:
        """Takes our frames off every output before vLLM processes it.

        vLLM would otherwise keep them as routed experts. The instance's method is replaced
        before the first request, and looked up at each call.
        """
        process = output_processor.process_outputs
        pin.check_parameters(process, _PARAMETERS)

        def process_outputs(outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            for output in outputs:
                if output.routed_experts is not None:
                    data, output.routed_experts = output.routed_experts, None
                    self._route(output_processor, output.request_id, data)
            return process(outputs, *args, **kwargs)

        output_processor.process_outputs = process_outputs

    def _route(self, output_processor: Any, internal_id: str, data: np.ndarray) -> None:
        state = output_processor.request_states.get(internal_id)
        sink = self._sinks.get(state.external_req_id) if state is not None else None
        if sink is not None:
            self.readout_bytes += data.nbytes
            sink.feed(frame_from_array(data))
