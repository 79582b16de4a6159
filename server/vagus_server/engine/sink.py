"""Collects what the plugin sends back for each running request."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vagus_server.plugin import pin
from vagus_server.plugin.wire import Range, Sighting, Step, Switch, news_from_array

_PARAMETERS = (
    "engine_core_outputs",
    "engine_core_timestamp",
    "iteration_stats",
    "weight_version",
)


def _nothing() -> None:
    pass


class Span(NamedTuple):
    """What one forward pass did for one request: the evidence for its receipt."""

    start: int
    tokens: int
    #: int32 [tokens, sites], or [0, sites] for a request without a program.
    marks: np.ndarray
    #: float32, flat: see `wire.Step.steps`.
    steps: np.ndarray


class Sink:
    """What has come back for one request.

    Args:
        wanted: positions whose rows are kept until they are taken.
        turn_start: position from which on rows count for the turn; None counts none.
    """

    def __init__(self, wanted: tuple[Range, ...], turn_start: int | None) -> None:
        self._wanted = wanted
        self._turn_start = turn_start
        self.spans: list[Span] = []
        #: Changes of the program, and what policies found, until they are taken.
        self.switches: list[Switch] = []
        self.sightings: list[Sighting] = []
        #: Float32 rows [readout sites, concepts, 2] by position, until they are taken.
        self.rows: dict[int, np.ndarray] = {}
        self.turn_sum: np.ndarray | None = None
        self.turn_tokens = 0
        #: Rows of the turn that do not count yet.
        self._ahead: dict[int, np.ndarray] = {}
        self.last_prompt_token: np.ndarray | None = None
        #: Whether the engine is done with the request; outputs may still wait to be taken.
        self.ended = False
        #: Called when it is.
        self.on_end: Callable[[], None] = _nothing

    def feed(self, span: Span, positions: list[int], rows: np.ndarray) -> None:
        """Takes a pass. Rows of a position computed anew replace the earlier ones."""
        self.spans.append(span)
        for position, row in zip(positions, rows, strict=True):
            if any(start <= position < end for start, end in self._wanted):
                self.rows[position] = row
            if self._turn_start is not None and position >= self._turn_start + self.turn_tokens:
                self._ahead[position] = row

    def end(self) -> None:
        """The engine is done with the request."""
        self.ended = True
        self.on_end()

    def settle(self, end: int) -> None:
        """Counts the turn's rows before end, one past the last position that stands.

        A pass may process tokens that are then rejected (speculative decoding) or cut away
        (behind a stop string); what it read there must not count.
        """
        while self._turn_start is not None:
            position = self._turn_start + self.turn_tokens
            row = self._ahead.pop(position, None) if position < end else None
            if row is None:
                return
            if self.turn_sum is None:
                self.last_prompt_token = row.copy()
                self.turn_sum = row.astype(np.float64)
            else:
                self.turn_sum += row
            self.turn_tokens += 1


class Sinks:
    """Routes steps to the sinks of running requests.

    Args:
        row_shape: readout sites, concepts, 2.
        sites: of the model.
    """

    def __init__(self, row_shape: tuple[int, ...], sites: int) -> None:
        self._row_shape = row_shape
        self._sites = sites
        self._sinks: dict[str, Sink] = {}
        self.readout_bytes = 0

    def open(self, request_id: str, sink: Sink) -> None:
        """Starts collecting for a request, whose id must be free."""
        if request_id in self._sinks:
            # Both would feed one sink, and nothing would tell whose rows are whose.
            raise RuntimeError(f"the request id {request_id!r} is in use")
        self._sinks[request_id] = sink

    def close(self, request_id: str) -> None:
        """Stops collecting; what still arrives is dropped."""
        self._sinks.pop(request_id, None)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._sinks

    def __len__(self) -> int:
        return len(self._sinks)

    def attach(self, output_processor: Any) -> None:
        """Takes our news off the outputs before vLLM processes them, and sees what they end.

        vLLM would otherwise keep them as routed experts. The instance's method is replaced
        before the first request, and looked up at each call.
        """
        process = output_processor.process_outputs
        pin.check_parameters(process, _PARAMETERS)

        def process_outputs(outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            states = output_processor.request_states
            for output in outputs:
                if output.routed_experts is not None:
                    data, output.routed_experts = output.routed_experts, None
                    self._take(data, states)
            before = [states.get(output.request_id) for output in outputs]
            processed = process(outputs, *args, **kwargs)
            # Only vLLM's own processing finds stop strings: it forgets what they end.
            for output, state in zip(outputs, before, strict=True):
                if state is not None and output.request_id not in states:
                    self._end(state.external_req_id)
            return processed

        output_processor.process_outputs = process_outputs

    def _take(self, data: np.ndarray, request_states: Any) -> None:
        """Gives each request its news."""
        self.readout_bytes += data.nbytes
        news = news_from_array(data)
        for step in news.steps:
            self.route(step, request_states)
        for switch in news.switches:
            if (sink := self._of(switch.id, request_states)) is not None:
                sink.switches.append(switch)
        for sighting in news.sightings:
            if (sink := self._of(sighting.id, request_states)) is not None:
                sink.sightings.append(sighting)

    def _end(self, request_id: str) -> None:
        if (sink := self._sinks.get(request_id)) is not None:
            sink.end()

    def _of(self, internal_id: str, request_states: Any) -> Sink | None:
        state = request_states.get(internal_id)
        return None if state is None else self._sinks.get(state.external_req_id)

    def route(self, step: Step, request_states: Any) -> None:
        """Gives each request its part of a step.

        Args:
            step: what came.
            request_states: vLLM's, by its internal request id.
        """
        positions = step.array("positions", -1).tolist()
        readouts = step.array("readouts", len(positions), *self._row_shape)
        marks, steps = step.array("marks", -1, self._sites), step.array("steps", -1)
        read = marked = measured = 0
        for internal_id, span in zip(step.ids, step.array("spans", -1, 5).tolist(), strict=True):
            start, tokens, rows_read, rows_marked, steps_measured = span
            there = slice(read, read := read + rows_read)
            acted = slice(marked, marked := marked + rows_marked)
            moved = slice(measured, measured := measured + steps_measured)
            sink = self._of(internal_id, request_states)
            if sink is not None:
                # Copies: a view would hold the step of the whole batch for as long as one
                # request keeps a row of it.
                evidence = Span(start, tokens, marks[acted].copy(), steps[moved].copy())
                sink.feed(evidence, positions[there], readouts[there].copy())
