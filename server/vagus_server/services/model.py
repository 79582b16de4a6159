"""ModelService."""

import math

import vagus_server
from vagus.v1 import model_service_pb2 as pb
from vagus.v1 import model_service_pb2_grpc as pb_grpc
from vagus.v1 import steering_pb2
from vagus_server.plugin.pin import VLLM_VERSION
from vagus_server.services.context import ServicerContext, current_call
from vagus_server.services.served import Served
from vagus_server.steering.program import ACTIONS


class ModelService(pb_grpc.ModelServiceServicer):
    """Tells what is served and what it can do."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def ListModels(  # noqa: N802
        self, request: pb.ListModelsRequest, context: ServicerContext
    ) -> pb.ListModelsResponse:
        """The served model, and the same with each adapter."""
        names = (self._served.name, *self._served.engine.adapters)
        return pb.ListModelsResponse(models=[self._model(name) for name in names])

    async def GetModel(  # noqa: N802
        self, request: pb.GetModelRequest, context: ServicerContext
    ) -> pb.GetModelResponse:
        """The served model, by name."""
        adapter = self._served.check_model(request.name)
        return pb.GetModelResponse(model=self._model(adapter or self._served.name))

    def _model(self, name: str) -> pb.Model:
        served = self._served
        plugin = served.engine.plugin
        config = served.engine.llm.vllm_config.model_config
        return pb.Model(
            name=name,
            architecture=config.architectures[0],
            sites=plugin.sites,
            hidden_size=plugin.hidden_size,
            max_model_len=served.max_model_len,
            dtype=str(config.dtype).removeprefix("torch."),
            vocabulary_size=served.vocabulary_size,
            chat_template=served.encoder.has_chat_template,
            readout_sites=served.readout_sites,
            capabilities=self._capabilities(),
            packs=[served.pack.name],
            runtime=self._runtime(),
            fingerprint=served.pack.manifest.model.fingerprint,
        )

    def _capabilities(self) -> pb.Capabilities:
        served = self._served
        plugin = served.engine.plugin
        scheduler = served.engine.llm.vllm_config.scheduler_config
        call = current_call.get()
        return pb.Capabilities(
            actions=list(ACTIONS),
            scope_rules=[f.name for f in steering_pb2.ScopeRule.DESCRIPTOR.fields],
            units=[
                steering_pb2.STRENGTH_UNIT_RESIDUAL,
                steering_pb2.STRENGTH_UNIT_VECTOR,
                steering_pb2.STRENGTH_UNIT_ABSOLUTE,
            ],
            max_operations=plugin.operations,
            max_programs=plugin.slots - 1,
            max_vectors=plugin.vectors - 1,
            max_dose=min(served.limits.max_dose, call.limits.max_dose or math.inf),
            max_running_requests=scheduler.max_num_seqs,
        )

    def _runtime(self) -> pb.Runtime:
        plugin = self._served.engine.plugin
        described = self._served.engine.description
        return pb.Runtime(
            version=vagus_server.__version__,
            vllm_version=VLLM_VERSION,
            model_runner=described["runner"],
            platform=described["platform"],
            compilation_mode=described["compilation_mode"],
            site_installation=described["installed"],
            fingerprint=plugin.fingerprint(),
        )
