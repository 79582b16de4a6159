"""Two tenants of one server with keys, mutual TLS and an audit log: the real command and engine."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from support.authority import Authority
from support.calls import GENERATION, add, generate, ids, rows, spec, stream
from support.keyring import KeyFile, adding
from support.refusals import DOSE, IN_USE, NO_CONCEPT, check, check_form, refused
from support.server_process import ServerProcess
from support.small_server import BLOCK, pack_rows
from support.uploads import concepts, delete, upload
from support.waiting import wait_for
from vagus import Client
from vagus import add as adds
from vagus.v1 import model_service_pb2 as model_pb
from vagus.v1 import model_service_pb2_grpc as model_grpc
from vagus.v1 import readout_service_pb2 as readout_pb
from vagus.v1 import readout_service_pb2_grpc as readout_grpc
from vagus.v1.prompt_pb2 import Prompt, TokenIds
from vagus.v1.steering_pb2 import Gate, Operation

pytestmark = pytest.mark.engine

#: More than two blocks of the cache.
PROMPT = "The evening began quietly, and nobody in the house expected what was to come. " * 5
SECRET = "acmes secret"
#: Batches of other sizes take other matrix kernels: float32 sums in another order.
TOLERANCE = 1e-3


class Shared:
    """The server, and a channel for each kind of key."""

    def __init__(self, folder: Path) -> None:
        self.keyring = KeyFile(folder / "keys.toml")
        self.authority = authority = Authority(folder)
        self.audit = folder / "audit.jsonl"
        self.process = ServerProcess(
            *("--eager", "--max-model-len", "512", "--max-dose", "2"),
            *("--engine-options", json.dumps({"block_size": BLOCK})),
            *("--tls-cert", str(authority.certificate), "--tls-key", str(authority.key)),
            *("--client-ca", str(authority.ca), "--keys", str(self.keyring.path)),
            *("--audit-log", str(self.audit)),
        )

    def open(self) -> None:
        self.target = self.process.target
        self._channel = grpc.secure_channel(self.target, self.authority.trusted(client=True))

    def channel(self, tenant: str, scope: str = "admin") -> grpc.Channel:
        return adding(self._channel, self.keyring.metadata(tenant, scope))

    def limit(self, **limits: Mapping[str, float]) -> None:
        """Sets the tenants' limits, while the server runs."""
        self.keyring.write(limits)

    def audited(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    shared = Shared(tmp_path_factory.mktemp("access"))
    with shared.process:
        shared.open()
        yield shared
        key = shared.keyring.key("acme")
        for gauge in ("vagus_worker_requests 0.0", "vagus_worker_program_slots_used 0.0"):
            wait_for(lambda: gauge in page(shared, key), gauge)  # noqa: B023


@pytest.fixture
def secured(started: Shared) -> Iterator[Shared]:
    yield started
    started.limit()


def cached(response: Any) -> int:
    return int(response.finish.usage.cached_prompt_tokens)


@pytest.mark.parametrize("operations", [(), (add("calm", 0.3),)], ids=["plain", "steered"])
def test_tenants_share_no_keys_and_values(secured: Shared, operations: tuple[Operation]) -> None:
    acme, globex = secured.channel("acme"), secured.channel("globex")
    request = spec(PROMPT, *operations, max_tokens=4)
    first = generate(acme, request)
    again = generate(acme, request)
    assert cached(again) >= 2 * BLOCK, "a tenant's own are shared"
    theirs = generate(globex, request)
    assert (cached(first), cached(theirs)) == (0, 0)
    assert ids(first) == ids(again) == ids(theirs)
    assert cached(generate(globex, request)) == cached(again)


def test_readouts_are_of_ones_own_stream(secured: Shared) -> None:
    request = spec(PROMPT, readouts=GENERATION, max_tokens=8)
    disturbing = spec(PROMPT, add("desperate", 1.0), readouts=GENERATION, max_tokens=8)
    alone = rows(generate(secured.channel("globex"), request))
    with ThreadPoolExecutor(4) as pool:
        acmes = [pool.submit(generate, secured.channel("acme"), disturbing) for _ in range(3)]
        beside = rows(generate(secured.channel("globex"), request))
        disturbed = rows(acmes[0].result())
    assert set(alone) == set(beside)
    scale = max(np.abs(row).max() for row in alone.values())
    for position, row in alone.items():
        assert np.abs(row - beside[position]).max() < TOLERANCE * scale
    assert any(np.abs(row - disturbed[p]).max() > 0.1 * scale for p, row in alone.items())


def test_readouts_take_the_scope_read(secured: Shared) -> None:
    writer, reader = secured.channel("acme", "generate"), secured.channel("acme", "read")
    assert len(ids(generate(writer, spec("Hi", add("calm", 0.1), max_tokens=2)))) == 2
    refusal = refused(lambda: generate(writer, spec("Hi", readouts=GENERATION, max_tokens=2)))
    check_form(refusal)
    assert refusal.info.reason == "SCOPE_MISSING"
    assert refusal.info.metadata == {"scope": "read", "field": "spec.readouts"}
    assert read(reader, [5, 6, 7]).results[0].token_count == 3


def read(channel: grpc.Channel, *texts: list[int], **fields: Any) -> readout_pb.ReadTextResponse:
    inputs = [Prompt(token_ids=TokenIds(ids=ids)) for ids in texts]
    request = readout_pb.ReadTextRequest(inputs=inputs, **fields)
    return readout_grpc.ReadoutServiceStub(channel).ReadText(request, timeout=300)


def test_another_tenants_concept_steers_and_gates_nobody_else(secured: Shared) -> None:
    acme, globex = secured.channel("acme"), secured.channel("globex")
    upload(acme, pack_rows("calm"), name=SECRET)
    try:
        gated = add("sad", 0.1)
        gated.gate.CopyFrom(Gate(concept=SECRET, at_least=0))
        for operation in (add(SECRET, 0.1), gated):
            assert ids(generate(acme, spec("Hi", operation, max_tokens=2)))
            refusal = refused(lambda: generate(globex, spec("Hi", operation, max_tokens=2)))  # noqa: B023
            check(refusal, NO_CONCEPT, {"concept": SECRET})
        near = refused(lambda: generate(globex, spec("Hi", add(SECRET[:-1], 0.1))))
        assert SECRET not in str(near.status)
        assert SECRET not in concepts(globex)
        assert SECRET not in page(secured, secured.keyring.key("acme"))
    finally:
        delete(acme, SECRET)


def test_request_ids_are_each_tenants_own(secured: Shared) -> None:
    acme, globex = secured.channel("acme"), secured.channel("globex")
    running = stream(acme, spec("Hi", max_tokens=400, request_id="same"))
    next(running)
    request = spec("Hi", max_tokens=2, request_id="same")
    assert len(ids(generate(globex, request))) == 2
    check(refused(lambda: generate(acme, request)), IN_USE, {"request_id": "same"})
    running.cancel()


def test_doses_are_limited_per_tenant(secured: Shared) -> None:
    secured.limit(acme={"max_dose": 0.2})
    request = spec("Hi", add("calm", 0.3, (15,)), max_tokens=2)
    check(refused(lambda: generate(secured.channel("acme"), request)), DOSE, {"limit": "0.2"})
    assert ids(generate(secured.channel("globex"), request))
    told = [
        model_grpc.ModelServiceStub(secured.channel(tenant)).GetModel(model_pb.GetModelRequest())
        for tenant in ("acme", "globex")
    ]
    assert [one.model.capabilities.max_dose for one in told] == pytest.approx([0.2, 2])


def test_tokens_are_limited_per_tenant(secured: Shared) -> None:
    secured.limit(acme={"tokens_per_minute": 60})
    acme, text = secured.channel("acme"), list(range(5, 50))
    # More may be asked for than is used: what is not used goes back.
    for _ in range(2):
        assert len(ids(generate(acme, spec([5, 6], max_tokens=4, ignore_eos=True)))) == 4
    never = refused(lambda: generate(acme, spec([5, 6], max_tokens=59)))
    assert never.info.metadata == {"quota": "tokens_per_minute", "limit": "60"}
    assert len(never.status.details) == 1, "no RetryInfo"
    read(acme, text)
    later = refused(lambda: read(acme, text))
    check_form(later)
    assert later.info.reason == "RATE_LIMITED"
    assert len(later.status.details) == 2, "with RetryInfo"
    read(secured.channel("globex"), text)


def test_texts_to_read_take_places(secured: Shared) -> None:
    secured.limit(acme={"concurrency": 2})
    refusal = refused(lambda: read(secured.channel("acme"), [5], [6], [7]))
    assert refusal.info.metadata == {"quota": "concurrency", "limit": "2"}
    for _ in range(3):
        assert len(read(secured.channel("acme"), [5], [6]).results) == 2


def test_what_steered_is_in_the_audit_log_under_the_receipts_digest(secured: Shared) -> None:
    certificate, key = secured.authority.client_files()
    with Client(
        secured.target,
        ca=secured.authority.ca,
        certificate=certificate,
        private_key=key,
        api_key=secured.keyring.key("acme"),
    ) as client:
        result = client.generate(
            "My secret diary.", program=[adds("calm", 0.25)], request_id="audited", max_tokens=4
        )
        client.generate("My secret diary.", request_id="unsteered", max_tokens=4)
    assert result.receipt is not None
    begin, end = (one for one in secured.audited() if one["request_id"] == "audited")
    assert begin["program_digest"] == result.receipt.program_digest
    assert (begin["event"], begin["tenant"], end["code"]) == ("steer", "acme", "OK")
    (told,) = end["requests"]
    assert told["receipt"] == "verified"
    assert told["generated_tokens"] == 4
    assert told["steered_tokens"] == result.receipt.operations[0].sites[0].tokens > 0
    assert not [one for one in secured.audited() if one["request_id"] == "unsteered"]
    assert "diary" not in secured.audit.read_text()


def page(secured: Shared, key: str) -> str:
    """The metrics page, as the operator of a key sees it."""
    address = next(line for line in secured.process.output if line.startswith("metrics on"))
    context = ssl.create_default_context(cafile=secured.authority.ca)
    context.load_cert_chain(*secured.authority.client_files())
    url = address.split()[-1]
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return str(answer.read().decode())


def test_the_metrics_page_takes_an_admins_key(secured: Shared) -> None:
    assert "vagus_requests_total" in page(secured, secured.keyring.key("acme"))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        page(secured, secured.keyring.key("acme", "read"))


def test_nobody_connects_without_a_certificate(secured: Shared) -> None:
    for channel in (
        grpc.insecure_channel(secured.target),
        grpc.secure_channel(secured.target, secured.authority.trusted()),
    ):
        with channel:
            stub = model_grpc.ModelServiceStub(adding(channel, secured.keyring.metadata("acme")))
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetModel(model_pb.GetModelRequest(), timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
