"""vLLM's schedulers, which also carry readouts and marks, and change running requests."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs
from vllm.v1.request import RequestStatus

from vagus_server.plugin import blocks
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.course import Course, frontier
from vagus_server.plugin.parent import follow_parent
from vagus_server.plugin.room import Room, program_room
from vagus_server.plugin.transport import CHANGES, STEP
from vagus_server.plugin.watch import Crossing, Rows, Watches
from vagus_server.plugin.wire import (
    FULL,
    OVER,
    News,
    Order,
    Sighting,
    Step,
    Switch,
    decode_order,
    news_to_array,
)

if TYPE_CHECKING:
    _Base: TypeAlias = Scheduler
else:
    _Base = object


class _Carrying(_Base):
    """Sends each step with the next outputs: prefill chunks alone bring none.

    All news go with the first output of a batch, whichever request that is of: one array for
    all of them costs this process a copy, where an array for each would cost it more than
    scheduling does. The frontend knows whose rows are whose.

    A change of a running request reaches the workers with the first step that it concerns.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        blocks.install()
        follow_parent()
        super().__init__(*args, **kwargs)
        config = PluginConfig.from_additional_config(self.vllm_config.additional_config)
        shape = (len(config.readout_sites), config.concepts, 2)
        self._vagus_news = News([], [], [])
        self._vagus_watches = Watches(shape)
        #: What the workers must be told, by request.
        self._vagus_changes: dict[str, list[tuple[int, Order]]] = {}
        self._vagus_ended: list[str] = []
        self._vagus_room = Room(program_room(config.slots, self.max_num_running_reqs))
        self._vagus_in_flight = 2 * self.parallel_config.pipeline_parallel_size

    def add_request(self, request: Any) -> None:
        """As vLLM's; watches the request's policies."""
        super().add_request(request)
        course = blocks.course_of(request)
        if course is not None and course.base.policies:
            self._vagus_watches.add(
                request.request_id, course.base.policies, request.num_prompt_tokens - 1
            )

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """As vLLM's, with the changes of the requests that are scheduled."""
        self._forget_ended()
        output = super().schedule(*args, **kwargs)
        if self._vagus_changes:
            due = [id for id in self._vagus_changes if id in output.num_scheduled_tokens]
            setattr(output, CHANGES, {id: self._vagus_changes.pop(id) for id in due})
            for id in due:
                self._vagus_room.tell(id, getattr(self.requests[id], blocks.COURSE).added)
        return output

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
        """As vLLM's, with the news since the last outputs attached."""
        step: Step | None = getattr(model_runner_output, STEP, None)
        watches, several = self._vagus_watches, list[Any]()
        rows: Rows | None = None
        if step is not None:
            self._vagus_news.steps.append(step)
            if len(watches):
                rows = watches.rows(step)
                # Fetched now: those that end with this step are not known any more after it.
                found = map(self.requests.get, watches.several(rows))
                several = [request for request in found if request is not None]
        results = super().update_from_output(scheduler_output, model_runner_output)
        if rows is not None:
            ends = {request.request_id: request.num_tokens - 1 for request in several}
            for crossing in watches.see(rows, ends):
                self._act(crossing, results)
        if self._vagus_news:
            self._attach(results)
        return results

    def _attach(self, results: Any) -> None:
        # One frontend: engine settings with several are refused (see `pin`).
        for outputs in results.values():
            if outputs.outputs:
                outputs.outputs[0].routed_experts = news_to_array(self._vagus_news)
                self._vagus_news = News([], [], [])
        if not self.requests:
            self._vagus_news = News([], [], [])

    def _preempt_request(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super()._preempt_request(request, *args, **kwargs)
        # The cache may take it further than it had come, or hold what a program did that it was
        # changed to since. Its readouts and marks so far would then not be those of what it is
        # made of, so it computes its prompt itself. Later on it cannot be taken further, nor
        # changed where it has been.
        if not request.num_output_tokens and blocks.course_of(request) is not None:
            request.skip_reading_prefix_cache = True

    def _free_request(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        # Its policies have its last token still to see.
        self._vagus_ended.append(request.request_id)
        # The workers hear of its end before they hear of what takes its room.
        self._vagus_room.leave(request.request_id)
        return super()._free_request(request, *args, **kwargs)

    def _forget_ended(self) -> None:
        for request_id in self._vagus_ended:
            self._vagus_watches.remove(request_id)
            self._vagus_changes.pop(request_id, None)
        self._vagus_ended.clear()

    def vagus_change(self, request_id: str, number: int, data: bytes) -> int:
        """Changes a running request's own program.

        Args:
            request_id: vLLM's internal one.
            number: of the program among the request's, see `Switch.base`.
            data: its order.

        Returns:
            The first position that it holds for; OVER when the request has ended, FULL when
            there is no room for one more program.
        """
        request = self.requests.get(request_id)
        course = None if request is None else blocks.course_of(request)
        if request is None or course is None or request.is_finished():
            return OVER
        order = decode_order(data)
        return self._turn(
            request, course, lambda turned, at: turned.rebase(number, order, at), asked=True
        )

    def _act(self, crossing: Crossing, results: Any) -> None:
        """What a policy's crossing leads to, if the request goes on."""
        failed = stops = False
        request = self.requests.get(crossing.id)
        if request is not None and not request.is_finished():
            course = blocks.course_of(request)
            assert course is not None
            begins, policy = crossing.begins, crossing.policy
            asked = course.base.policies[policy]
            stops = begins and asked.stops
            if stops:
                self._stop(request, results)
            elif asked.operations and (begins or policy in course.acting):
                # Ceasing leads to a program as well, which may be a new one.
                turn = Course.begin if begins else Course.cease
                start = self._turn(request, course, lambda turned, at: turn(turned, policy, at))
                failed = start == FULL
        self._vagus_news.sightings.append(Sighting(*crossing, stops, failed))

    def _stop(self, request: Any, results: Any) -> None:
        """Ends a request with what this step has brought it, be that a token or nothing.

        Its own output says that it is the last. The frontend takes a step's outputs in slices,
        so an end that came with another one's could overtake the token.
        """
        self.finish_requests(request.request_id, RequestStatus.FINISHED_ABORTED)
        outputs = results.setdefault(request.client_index, EngineCoreOutputs()).outputs
        own = next((o for o in outputs if o.request_id == request.request_id), None)
        if own is None:
            own = EngineCoreOutput(request.request_id, [])
            outputs.append(own)
        own.finish_reason = request.get_finished_reason()

    def _turn(
        self,
        request: Any,
        course: Course,
        turn: Callable[[Course, int], Order],
        *,
        asked: bool = False,
    ) -> int:
        """Changes a request from the first position on that it can, and tells of it.

        Args:
            request: vLLM's.
            course: what it is steered by.
            turn: changes a course from a position on, and returns what holds then.
            asked: whether its caller wants it, and no policy.

        Returns:
            The position; FULL, and nothing has changed, where there is no room.
        """
        request_id = request.request_id
        start = frontier(request, self._vagus_in_flight)
        turned = course.copy()
        order = turn(turned, start)
        if not self._vagus_room.turn(request_id, turned.added, asked=asked):
            return FULL
        setattr(request, blocks.COURSE, turned)
        # vLLM has hashed blocks as soon as their tokens were known; they are processed later.
        # Those that are not full yet are keyed by the change.
        del request.block_hashes[start // self.hash_block_size :]
        request.update_block_hashes()
        self._vagus_changes.setdefault(request_id, []).append((start, order))
        self._vagus_news.switches.append(
            Switch(request_id, start, turned.number, tuple(turned.acting))
        )
        return start


class SteeringScheduler(_Carrying, Scheduler):
    """For engines that schedule one step at a time."""


class SteeringAsyncScheduler(_Carrying, AsyncScheduler):
    """For engines that schedule ahead of the running step.

    A plain Scheduler subclass would silently switch asynchronous scheduling off.
    """


def install() -> None:
    """Lets the frontend reach `vagus_change` of the scheduler in the engine's process."""
    from vllm.v1.engine.core import EngineCore

    def vagus_change(core: Any, request_id: str, number: int, data: bytes) -> int:
        return int(core.scheduler.vagus_change(request_id, number, data))

    EngineCore.vagus_change = vagus_change


install()
