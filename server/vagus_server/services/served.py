"""What is served: the engine, the pack, and what every service needs of them."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from vagus_server.concepts.registry import Registry
from vagus_server.engine.engine import Engine
from vagus_server.errors import ApiError, short
from vagus_server.metrics.metrics import Metrics
from vagus_server.packs.pack import Pack
from vagus_server.plugin.room import program_room
from vagus_server.policies.file import PolicySet, read_policies
from vagus_server.policies.policies import Policies
from vagus_server.services.admission import Admission
from vagus_server.services.prompt import PromptEncoder
from vagus_server.services.structure import Structures
from vagus_server.steering.resolve import Resolver


@dataclass(frozen=True)
class Limits:
    """Limits that the operator sets.

    Args:
        max_dose: greatest sum of |dose| over a program's operations and sites.
        max_requests: most requests, in the engine and in the queue before it together.
        max_wait_seconds: longest wait in the queue.
        slow_reader_seconds: how long the reader of a stream may take nothing.
    """

    max_dose: float = 1.0
    max_requests: int = 1024
    max_wait_seconds: float = 30.0
    slow_reader_seconds: float = 60.0


class Served:
    """One served model with its pack, the concepts uploaded for it, and its policies.

    Args:
        places: requests that the engine takes at once; None takes all that `limits` allow.
        policies: their file; None is none.

    Raises:
        PolicyError: the file cannot be used.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        metrics: Metrics,
        limits: Limits,
        registry: Registry,
        places: int | None = None,
        policies: Path | None = None,
    ) -> None:
        config = engine.llm.vllm_config.model_config
        self.name = name
        self.engine = engine
        self.metrics = metrics
        self.limits = limits
        self.admission = Admission(places or limits.max_requests, limits.max_wait_seconds)
        self.registry = registry
        self.pack: Pack = engine.pack
        self.max_model_len: int = config.max_model_len
        self.vocabulary_size: int = config.get_vocab_size()
        self.readout_sites = engine.plugin.readout_sites
        self.encoder = PromptEncoder(
            engine.llm.get_tokenizer(), self.vocabulary_size, self.max_model_len
        )
        self.structures = Structures(engine.llm.vllm_config, engine.llm.get_tokenizer())
        operations = engine.plugin.operations
        self.resolver = Resolver(registry, operations, limits.max_dose)
        self.policies = Policies(policies, self._read_policies, operations)
        self._show_policies()

    def _read_policies(self, path: Path) -> PolicySet:
        return read_policies(path, self.pack, self.resolver, self.limits.max_dose)

    def _show_policies(self) -> None:
        names = [policy.name for policy in self.policies.current.policies]
        self.metrics.policies.show(names)

    def refresh_policies(self) -> None:
        """Takes the file of policies anew if it has changed and can be used."""
        taken = self.policies.refresh()
        if taken is not None:
            self.metrics.policies.reloaded(taken)
            self._show_policies()

    @property
    def bank_rows(self) -> int:
        """Rows of the device's vector bank."""
        return self.engine.bank.rows.capacity

    @property
    def row_bytes(self) -> int:
        """Of a token's readouts on their way from the device: all concepts, before and after."""
        return len(self.readout_sites) * len(self.pack.names) * 2 * 4

    @property
    def program_room(self) -> int:
        """Programs that running requests can be changed to, all of them together."""
        running = self.engine.llm.vllm_config.scheduler_config.max_num_seqs
        return program_room(self.engine.plugin.slots, running)

    def check_model(self, name: str) -> str:
        """Returns the adapter's name where name is one's, or "" where it is the model's or empty.

        Raises MODEL_NOT_FOUND for other names.
        """
        if name in self.engine.adapters:
            return name
        if name not in ("", self.name):
            known = ", ".join((self.name, *self.engine.adapters))
            raise ApiError(
                grpc.StatusCode.NOT_FOUND,
                "MODEL_NOT_FOUND",
                f"no model {short(name)} is served here; {known} is",
                model=name,
            )
        return ""

    def check_pack(self, name: str) -> None:
        """Raises PACK_NOT_FOUND unless name is empty or the pack's name or digest."""
        if name not in ("", self.pack.name, self.pack.digest):
            raise ApiError(
                grpc.StatusCode.NOT_FOUND,
                "PACK_NOT_FOUND",
                f"no pack {short(name)} is served here; {self.pack.name} is",
                pack=name,
            )

    def check_fingerprint(self, fingerprint: str) -> None:
        """Raises MODEL_NOT_FOUND unless the fingerprint is the served model's."""
        served = self.pack.manifest.model.fingerprint
        if fingerprint != served:
            raise ApiError(
                grpc.StatusCode.NOT_FOUND,
                "MODEL_NOT_FOUND",
                f"the vectors were made for the model {short(fingerprint)}; {served} is served",
                model=fingerprint,
            )

    def check_unused(self, request_id: str, *engine_ids: str) -> None:
        """Raises REQUEST_ID_IN_USE when a running request has one of the engine's ids."""
        if any(engine_id in self.engine.sinks for engine_id in engine_ids):
            raise ApiError(
                grpc.StatusCode.ALREADY_EXISTS,
                "REQUEST_ID_IN_USE",
                "a running request has this id",
                request_id=request_id,
            )

    def check_room(self, requests: int = 1) -> None:
        """Raises QUEUE_FULL when engine and queue have no room for so many more requests."""
        if len(self.engine.sinks) + requests > self.limits.max_requests:
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "QUEUE_FULL",
                f"{self.limits.max_requests} requests are running or waiting; try again later",
                retry_seconds=self.admission.retry_seconds,
                limit=self.limits.max_requests,
            )
