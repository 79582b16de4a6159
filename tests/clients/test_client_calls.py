"""The calls beside generation, and what goes along with every call."""

import subprocess
import sys

import pytest
from client_drivers import Driver, asynchronous
from generation_messages import layout, readout, receipt, response
from grpc_health.v1.health_pb2 import HealthCheckResponse
from opentelemetry import trace
from scripted_server import send, serve

import vagus
from vagus.v1 import concept_service_pb2 as concept_pb
from vagus.v1 import model_service_pb2 as model_pb
from vagus.v1 import policy_service_pb2 as policy_service_pb
from vagus.v1 import readout_pb2
from vagus.v1 import readout_service_pb2 as readout_service_pb


@asynchronous
async def test_concepts_come_from_all_pages(driver: Driver) -> None:
    pages = [
        concept_pb.ListConceptsResponse(concepts=[{"name": "a"}], next_page_token="2"),
        concept_pb.ListConceptsResponse(concepts=[{"name": "b"}]),
    ]
    async with serve(*map(send, pages)) as server:
        found = await driver.call(server.target, "concepts")
    assert [concept.name for concept in found] == ["a", "b"]
    assert [request.page_token for request in server.requests] == ["", "2"]


@asynchronous
async def test_the_small_calls(driver: Driver) -> None:
    async with serve(
        send(concept_pb.GetConceptResponse(concept={"name": "calm"})),
        send(concept_pb.ListPacksResponse(packs=[{"name": "p"}])),
        send(concept_pb.GetPackResponse(pack={"name": "q"})),
        send(model_pb.ListModelsResponse(models=[{"name": "m"}])),
        send(model_pb.GetModelResponse(model={"name": "n"})),
        send(policy_service_pb.ListPoliciesResponse(policies=[{"name": "p"}])),
        send(HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)),
    ) as server:
        concept = await driver.call(server.target, "concept", "calm", vectors=True)
        assert (concept.name, server.requests[-1].include_vectors) == ("calm", True)
        assert [pack.name for pack in await driver.call(server.target, "packs")] == ["p"]
        assert (await driver.call(server.target, "pack", "q")).name == "q"
        assert [model.name for model in await driver.call(server.target, "models")] == ["m"]
        assert (await driver.call(server.target, "model", "n")).name == "n"
        assert server.requests[-1].name == "n"
        assert [policy.name for policy in await driver.call(server.target, "policies")] == ["p"]
        assert await driver.call(server.target, "health") == "NOT_SERVING"


@asynchronous
async def test_readings(driver: Driver) -> None:
    tokens = [readout_service_pb.ReadToken(id=7, text="Hi", readout=readout(1, 2.0, 1.0))]
    mean = readout_pb2.TurnReadout(sites=[{"site": 20, "after_z": [2.0, 1.0]}], tokens=1)
    result = readout_service_pb.TextReadout(
        tokens=tokens, mean=mean, token_count=2, receipt=receipt()
    )
    response = readout_service_pb.ReadTextResponse(layout=layout(), results=[result])
    async with serve(send(response)) as server:
        [reading] = await driver.call(server.target, "read", ["Hi"], ["calm", "desperate"])
    assert reading.mean.z == {"calm": 2.0, "desperate": 1.0}
    assert (reading.tokens[0].text, reading.tokens[0].readout.at(20).after_z) == ("Hi", (2.0, 1.0))
    assert (reading.token_count, reading.pack_digest) == (2, "d1")
    vagus.verify_receipt([vagus.add("calm", 0.3)], reading)


@asynchronous
async def test_tenant_and_key_go_along(driver: Driver) -> None:
    options = {"tenant": "acme", "api_key": "secret"}
    async with serve(send(response()), send(response())) as server:
        await driver.call(server.target, "generate", "Hi", client=options)
        await driver.call(server.target, "generate", "Hi")
    first, second = server.metadata
    assert (first["vagus-tenant"], first["authorization"]) == ("acme", "Bearer secret")
    assert first["user-agent"].startswith(f"vagus-python/{vagus.__version__}")
    assert not {"vagus-tenant", "authorization"} & second.keys()


@asynchronous
async def test_the_callers_trace_goes_along(driver: Driver) -> None:
    here = trace.SpanContext(2**127, 2**63, is_remote=False, trace_flags=trace.TraceFlags(1))
    async with serve(send(response()), send(response())) as server:
        with trace.use_span(trace.NonRecordingSpan(here)):
            await driver.call(server.target, "generate", "Hi", client={"tenant": "acme"})
        await driver.call(server.target, "generate", "Hi")
    first, second = server.metadata
    assert first["traceparent"] == f"00-8{'0' * 31}-8{'0' * 15}-01"
    assert first["vagus-tenant"] == "acme"
    assert "traceparent" not in second


def test_top_k_readouts_name_their_concepts() -> None:
    message = readout_pb2.TokenReadout(sites=[{"site": 3, "concepts": [2, 0], "after": [9, 8]}])
    decoded = vagus._readout.token_readout(message, ["a", "b", "c"])
    assert decoded.raw == {"c": 9.0, "a": 8.0}
    assert decoded.z == {}
    with pytest.raises(KeyError):
        decoded.at(4)


@pytest.mark.parametrize("site", [{"concepts": [3], "after": [1]}, {"after": [1, 2]}])
def test_readouts_that_do_not_fit_the_layout_are_refused(site: dict[str, object]) -> None:
    with pytest.raises(vagus.DataLoss):
        vagus._readout.token_readout(readout_pb2.TokenReadout(sites=[site]), ["a", "b", "c"])


def test_the_library_is_light() -> None:
    heavy = "{'torch', 'vllm', 'typer', 'rich', 'numpy'} & sys.modules.keys()"
    code = f"import sys, vagus; sys.exit(str(found) if (found := {heavy}) else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
