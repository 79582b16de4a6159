"""The vLLM worker that steers and reads: vLLM's own, with tables and one hook more.

A step in the worker, in order:

1. `execute_model` notes new and finished requests (orders, slots).
2. The runner fixes the batch's row order; right after that `_begin_rows` writes the step's
   row maps (V1: around `_prepare_inputs`; V2: around `ModelState.preprocess_state`).
3. The forward pass runs the site operation at every site.
4. `sample_tokens` snapshots readouts and marks and attaches them to the step's output.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from vllm.distributed import get_pp_group
from vllm.platforms import current_platform
from vllm.sequence import IntermediateTensors

from vagus_server.plugin import pin, stages
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.generators import prepare_draws
from vagus_server.plugin.parent import follow_parent
from vagus_server.plugin.sites import Decoder, install
from vagus_server.plugin.stages import Collected, Earlier
from vagus_server.plugin.tables import Tables
from vagus_server.plugin.transport import CHANGES, attach_step
from vagus_server.plugin.wire import order_from_sampling_params

if TYPE_CHECKING or not current_platform.is_cpu():
    from vllm.v1.worker.gpu_worker import Worker
else:
    from vllm.v1.worker.cpu_worker import CPUWorker as Worker


class SteeringWorker(Worker):
    """vLLM's worker for the platform at hand, steering. Named in EngineArgs.worker_cls."""

    def load_model(self, **kwargs: Any) -> None:
        """Loads the model and installs the site operation, before anything is compiled."""
        super().load_model(**kwargs)
        follow_parent()
        pin.check_engine_config(self.vllm_config)
        config = PluginConfig.from_additional_config(self.vllm_config.additional_config)
        runner: Any = self.model_runner
        pin.check_copy_stream(runner)
        decoder = Decoder(runner.get_model(), config.sites)
        self.tables = Tables(config, _max_rows(self.vllm_config), self.device)
        self._before_install(decoder, config)
        tables = [self.tables.of_site(site) for site in range(config.sites)]
        self.sites_here = decoder.here
        self.installed = install(decoder, tables, config.installation)
        self.batch = Batch(config, self.tables.inverse_norms, self.tables.rows)
        if hasattr(runner, "model_state"):
            self._wrap_v2(runner)
        else:
            self._wrap_v1(runner)
        self._earlier: Earlier | None = None
        self._passes = 0
        if self.vllm_config.parallel_config.pipeline_parallel_size > 1:
            self._wrap_stage(runner)
        self.tables.rehearse()

    def _before_install(self, decoder: Decoder, config: PluginConfig) -> None:
        """For workers that put something below the site operation."""

    def _wrap_v1(self, runner: Any) -> None:
        prepare = runner._prepare_inputs
        pin.check_parameters(prepare, ("scheduler_output", "num_scheduled_tokens"))

        def prepare_inputs(scheduler_output: Any, num_scheduled_tokens: np.ndarray) -> Any:
            prepared = prepare(scheduler_output, num_scheduled_tokens)
            ids = runner.input_batch.req_ids
            computed = runner.input_batch.num_computed_tokens_cpu[: len(ids)]
            self._begin_rows(ids, num_scheduled_tokens, computed)
            return prepared

        runner._prepare_inputs = prepare_inputs

    def _wrap_v2(self, runner: Any) -> None:
        preprocess = runner.model_state.preprocess_state
        pin.check_parameters(
            preprocess,
            ("input_batch", "block_tables", "kv_cache_config", "num_computed_tokens"),
        )

        def preprocess_state(input_batch: Any, *args: Any) -> None:
            preprocess(input_batch, *args)
            self._begin_rows(
                input_batch.req_ids,
                input_batch.num_scheduled_tokens,
                input_batch.num_computed_tokens_np,
            )

        runner.model_state.preprocess_state = preprocess_state

    def _wrap_stage(self, runner: Any) -> None:
        execute = runner.execute_model
        here = [site in self.sites_here for site in self.tables.config.readout_sites]
        self._read_here = torch.tensor(here, device=self.device)

        def execute_model(
            scheduler_output: Any, intermediate_tensors: Any = None, **kwargs: Any
        ) -> Any:
            self._earlier = stages.receive(intermediate_tensors)
            output = execute(scheduler_output, intermediate_tensors, **kwargs)
            if isinstance(output, IntermediateTensors) and self.batch.layout is not None:
                gates = self.tables.gates()
                return IntermediateTensors(stages.send(output.tensors, self._collect(), gates))
            return output

        runner.execute_model = execute_model

    def _collect(self) -> Collected:
        """What this stage of the pipeline and those before it have marked and read.

        Must be enqueued on the stream of the forward pass: the next pass overwrites it.
        """
        own, earlier = self.tables.collect(), self._earlier
        return own if earlier is None else stages.merge(own, earlier.collected, self._read_here)

    def _begin_rows(self, ids: list[str], tokens: np.ndarray, starts: np.ndarray) -> None:
        step = self.batch.begin(ids, tokens, starts)
        if step is not None:
            self.tables.begin(step)
        if step is not None and self._earlier is not None:
            self.tables.put_gates(self._earlier.gates)

    def execute_model(self, scheduler_output: Any) -> Any:
        """One forward pass, with the orders of its requests in place."""
        for request_id in scheduler_output.finished_req_ids:
            self.batch.roster.finish(request_id)
        for request_id in scheduler_output.preempted_req_ids or ():
            self.batch.roster.pause(request_id)
        for new in scheduler_output.scheduled_new_reqs:
            order = order_from_sampling_params(new.sampling_params)
            if order is not None:
                self.batch.roster.add(new.req_id, order)
        for request_id, changes in getattr(scheduler_output, CHANGES, {}).items():
            for start, order in changes:
                self.batch.roster.change(request_id, start, order)
        self._passes += scheduler_output.total_num_scheduled_tokens > 0
        self.batch.layout = None  # a pass without real rows sends nothing
        return super().execute_model(scheduler_output)

    def _sample(self, grammar_output: Any) -> Any:
        """Samples as vLLM's worker does, with generators that it can handle."""
        runner: Any = self.model_runner
        if self.device.type == "cpu" and not hasattr(runner, "model_state"):
            prepare_draws(runner)
        return super().sample_tokens(grammar_output)

    def sample_tokens(self, grammar_output: Any) -> Any:
        """Samples, and attaches the step's readouts and marks to the output."""
        output = self._sample(grammar_output)
        layout = self.batch.layout
        # None: the forward pass failed, and has told why.
        if output is None or layout is None or not get_pp_group().is_last_rank:
            return output
        return attach_step(output, self._collect(), layout, self.model_runner)

    # Called by the frontend through collective_rpc; arguments are bytes and integers.

    def vagus_describe(self) -> dict[str, Any]:
        """What is installed here, for the frontend's start-up check."""
        runner: Any = self.model_runner
        mode = self.compilation_config.mode
        return {
            "sites": self.tables.config.sites,
            "runner": 2 if hasattr(runner, "model_state") else 1,
            "fingerprint": self.tables.config.fingerprint(),
            "compilation_mode": getattr(mode, "name", str(mode)),
            "platform": str(self.device.type),
            "installed": self.installed,
            "sites_here": self.sites_here,
        }

    def vagus_put_vectors(self, index: int, data: bytes) -> bool:
        """Writes one concept's vectors, float16 [sites, hidden].

        False, and nothing is written, while a request that is known here refers to them: a
        request can be over for the frontend and still run here for a step.
        """
        if self.batch.roster.refers_to(index):
            return False
        self.tables.put_vectors(index, data)
        return True

    def vagus_put_readout_vectors(self, indices: list[int]) -> bool:
        """Reads these vectors of the bank, in this order."""
        self.tables.put_readout_vectors(indices)
        return True

    def vagus_usage(self) -> dict[str, int]:
        """Requests and slots that this worker holds, both 0 when nothing runs; passes so far."""
        roster = self.batch.roster
        return {"requests": len(roster), "slots": roster.slots.used, "passes": self._passes}


def _max_rows(vllm_config: Any) -> int:
    """Most rows in a forward pass: the token budget, or a larger graph's padding."""
    graphs = vllm_config.compilation_config.max_cudagraph_capture_size or 0
    return int(max(vllm_config.scheduler_config.max_num_batched_tokens, graphs))
