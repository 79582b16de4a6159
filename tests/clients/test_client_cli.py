"""The command line, against a scripted server."""

import json
from pathlib import Path

import pytest
from client_drivers import asynchronous
from command_line import TERMINAL, invoke
from generation_messages import finish, layout, messages, readout, receipt, response
from google.rpc.error_details_pb2 import ErrorInfo
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckResponse
from scripted_server import fail, send, serve

from vagus.cli import chat
from vagus.v1 import concept_service_pb2 as concept_pb
from vagus.v1 import generation_service_pb2 as generation_pb
from vagus.v1 import model_service_pb2 as model_pb
from vagus.v1 import readout_pb2
from vagus.v1 import readout_service_pb2 as readout_service_pb

RECEIPT_LINE = (
    "receipt: calm +0.3 residual @15: 6/6 tokens, dose 0.3 · 6 processed, 0 cached"
    " · program abcdef012345 · verified"
)


@asynchronous
async def test_a_pipe_gets_the_reply_alone() -> None:
    async with serve(send(*messages())) as server:
        done = await invoke(server, "chat", "Hi", "--steer", "calm=0.3@15", "--seed", "0")
    assert (done.exit_code, done.stdout) == (0, "Hi you\n")
    assert RECEIPT_LINE in done.stderr
    assert ["calm", "+1.50"] in [line.split() for line in done.stderr.splitlines()]
    assert "\x1b" not in done.output
    spec = server.requests[0].spec
    assert spec.prompt.chat.messages[0].content == "Hi"
    assert list(spec.program.operations[0].sites) == [15]
    assert list(spec.readouts.names.names) == ["calm"]
    assert spec.sampling.HasField("seed")
    assert not spec.sampling.HasField("max_tokens")


@asynchronous
async def test_a_terminal_gets_colours() -> None:
    async with serve(send(*messages()), send(*messages())) as server:
        done = await invoke(server, "chat", "Hi", "--steer", "calm=0.3@15", env=TERMINAL)
        plain = await invoke(
            server, "chat", "Hi", "--steer", "calm=0.3@15", env={**TERMINAL, "NO_COLOR": "1"}
        )
    # z = 3 is the red end of the scale, z = 0 its grey middle.
    assert "\x1b[38;2;255;70;60mHi\x1b[0m\x1b[38;2;150;150;150m you\x1b[0m" in done.stdout
    assert plain.stdout == "Hi you\n"
    assert "38;2" not in plain.output


@asynchronous
async def test_the_model_cannot_steer_the_terminal() -> None:
    evil = generation_pb.StreamGenerateResponse(text="\x1b]0;owned\x07", layout=layout())
    async with serve(send(evil)) as server:
        done = await invoke(server, "chat", "Hi", env=TERMINAL)
    assert "\x1b]" not in done.output
    assert "owned" in done.stdout


@asynchronous
async def test_a_wrong_receipt_fails() -> None:
    wrong = [
        *messages()[:2],
        generation_pb.StreamGenerateResponse(finish=finish(receipt=receipt(5))),
    ]
    async with serve(send(*wrong)) as server:
        done = await invoke(server, "chat", "Hi", "--steer", "calm=0.3@15")
    assert done.exit_code == 1
    assert "RECEIPT_MISMATCH" in done.stderr


@asynchronous
async def test_chat_options_reach_the_request() -> None:
    arguments = (
        "--raw --steer calm=-2@10-12,15 --steer sad=1 --unit vector --scope prompt"
        " --read calm,desperate,calm --color desperate --max-tokens 9 --temperature 0"
    )
    ended = generation_pb.StreamGenerateResponse(layout=layout(), finish=finish())
    async with serve(send(ended), send(ended)) as server:
        await invoke(server, "chat", "-", *arguments.split(), "--tenant", "acme")
        await invoke(server, "chat", "--read", "all", said="from a pipe")
    first, second = (request.spec for request in server.requests)
    assert first.prompt.text == "-"
    calm, sad = first.program.operations
    assert (calm.add.strength, list(calm.sites)) == (-2, [10, 11, 12, 15])
    assert (sad.add.unit, sad.scope.include[0].phase, list(sad.sites)) == (2, 1, [])
    assert list(first.readouts.names.names) == ["calm", "desperate"]
    assert first.sampling.HasField("temperature")
    assert (first.sampling.temperature, first.sampling.max_tokens) == (0, 9)
    assert server.metadata[0]["vagus-tenant"] == "acme"
    assert second.prompt.chat.messages[0].content == "from a pipe"
    assert second.readouts.WhichOneof("concepts") is None


@asynchronous
async def test_chat_json() -> None:
    async with serve(send(response())) as server:
        done = await invoke(server, "chat", "Hi", "--steer", "calm=0.3@15", "--json")
    reply = json.loads(done.stdout)
    assert (reply["text"], reply["finish_reason"], reply["request_id"]) == ("Hi you", "stop", "r-1")
    assert reply["turn_mean"] == {"calm": 1.5, "desperate": -0.5}
    assert reply["tokens"][0] == {"id": 4, "text": "Hi", "z": {"calm": 3.0, "desperate": -1.0}}
    assert reply["receipt"]["operations"][0]["sites"][0]["tokens"] == 6


@asynchronous
async def test_a_conversation_remembers_and_survives_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = iter(["one", "", "two", "three"])
    monkeypatch.setattr(chat, "_is_conversation", lambda prompt: prompt is None)
    monkeypatch.setattr(chat, "_ask", lambda: next(lines, None))
    failure = fail(StatusCode.INVALID_ARGUMENT)
    whole = generation_pb.StreamGenerateResponse(
        text="Hi you", layout=layout(), finish=finish(receipt=None)
    )
    async with serve(send(whole), failure, send(whole)) as server:
        done = await invoke(server, "chat")
    assert (done.exit_code, done.stdout) == (0, "Hi you\nHi you\n")
    assert "error: it is INVALID_ARGUMENT [INVALID_ARGUMENT, request r-failed]" in done.stderr
    said = [
        [message.content for message in each.spec.prompt.chat.messages] for each in server.requests
    ]
    assert said == [["one"], ["one", "Hi you", "two"], ["one", "Hi you", "three"]]


@asynchronous
async def test_errors_take_one_line() -> None:
    info = ErrorInfo(reason="CONCEPT_NOT_FOUND", metadata={"concept": "clam", "nearest": "calm"})
    async with serve(fail(StatusCode.NOT_FOUND, info=info)) as server:
        done = await invoke(server, "chat", "Hi", "--steer", "clam=0.3")
    line = "error: it is NOT_FOUND [CONCEPT_NOT_FOUND, request r-failed] (did you mean calm?)\n"
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", line)


@pytest.mark.parametrize(
    "arguments",
    [
        ["chat", "Hi", "--steer", "calm"],
        ["chat", "Hi", "--steer", "calm=loud"],
        ["chat", "Hi", "--steer", "calm=1@x"],
        ["chat", "Hi", "--unit", "kg"],
        ["chat", "Hi", "--max-tokens", "0"],
        ["read", "/nowhere.txt"],
        ["read", "x", "--text", "y"],
        ["status", "--server", "gpu.example:1", "--insecure"],
        ["status", "--ca", "/nowhere.pem"],
    ],
)
@asynchronous
async def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    done = await invoke(None, *arguments, env={"VAGUS_API_KEY": "secret"})
    assert (done.exit_code, done.stdout) == (2, "")
    assert "secret" not in done.stderr


def reading() -> readout_service_pb.ReadTextResponse:
    tokens = [
        readout_service_pb.ReadToken(text=text, readout=readout(position, *z))
        for position, (text, *z) in enumerate([("O", 99, 99), ("h", -3, 1), (" no", 0, 2)])
    ]
    mean = readout_pb2.TurnReadout(sites=[{"site": 20, "after_z": [-1.5, 1.5]}], tokens=2)
    result = readout_service_pb.TextReadout(tokens=tokens, mean=mean, token_count=3)
    return readout_service_pb.ReadTextResponse(layout=layout(), results=[result])


@asynchronous
async def test_read_ranks_concepts_and_leaves_out_the_sink(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Oh no")
    async with serve(send(reading()), send(reading())) as server:
        done = await invoke(server, "read", str(tmp_path / "text"), "--tokens")
        top = await invoke(server, "read", "-", "--top", "1", "--read", "calm", said="Oh no")
    assert [request.inputs[0].text for request in server.requests] == ["Oh no", "Oh no"]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[:3] == [["'O'"], ["+1.00", "'h'"], ["+2.00", "'", "no'"]]
    assert rows[-3:-1] == [
        ["desperate", "+1.50", "+2.00", "'", "no'", "(2)"],
        ["calm", "-1.50", "+0.00", "'", "no'", "(2)"],
    ]
    assert "desperate" in top.stdout
    assert "calm" not in top.stdout
    assert list(server.requests[1].readouts.names.names) == ["calm"]


@asynchronous
async def test_read_colours_tokens_on_a_terminal() -> None:
    async with serve(send(reading())) as server:
        done = await invoke(
            server, "read", "--text", "Oh no", "--tokens", "--color", "calm", env=TERMINAL
        )
    assert "O\x1b[38;2;70;130;255mh\x1b[0m\x1b[38;2;150;150;150m no\x1b[0m" in done.stdout


@asynchronous
async def test_read_json() -> None:
    async with serve(send(reading())) as server:
        done = await invoke(server, "read", "--text", "Oh no", "--json")
    scores = json.loads(done.stdout)
    assert scores["mean"] == {"calm": -1.5, "desperate": 1.5}
    assert scores["tokens"][2] == {"id": 0, "text": " no", "z": {"calm": 0.0, "desperate": 2.0}}


@asynchronous
async def test_concepts() -> None:
    calm = concept_pb.Concept(name="calm", description="at [rest]", held_out_top5=0.94)
    calm.sites.extend([concept_pb.ConceptSite(site=10), concept_pb.ConceptSite(site=20)])
    page = concept_pb.ListConceptsResponse(concepts=[calm])
    async with serve(send(page), send(page)) as server:
        done = await invoke(server, "concepts")
        listed = await invoke(server, "concepts", "--json")
    assert done.stdout.splitlines()[-2].split() == ["calm", "at", "[rest]", "10-20", "94%"]
    assert json.loads(listed.stdout)[0]["name"] == "calm"


@pytest.mark.parametrize(("health", "exit_code"), [("SERVING", 0), ("NOT_SERVING", 1)])
@asynchronous
async def test_status(health: str, exit_code: int) -> None:
    model = model_pb.Model(name="smol", sites=30)
    model.capabilities.units.append(1)
    model.runtime.site_installation.extend(["norm", "norm", "hook"])
    packs = concept_pb.ListPacksResponse(packs=[{"name": "emotions", "version": "1"}])
    answers = [HealthCheckResponse(status=health), model_pb.GetModelResponse(model=model), packs]
    async with serve(*map(send, answers * 2)) as server:
        done = await invoke(server, "status")
        machine = await invoke(server, "status", "--json")
    assert done.exit_code == machine.exit_code == exit_code
    for fact in (
        health,
        "smol",
        "30 sites",
        "residual",
        "norm at 2 sites, hook at 1",
        "emotions 1",
    ):
        assert fact in done.stdout
    assert json.loads(machine.stdout)["model"]["name"] == "smol"


@pytest.mark.parametrize(("status", "exit_code"), [("SERVING", 0), ("NOT_SERVING", 1)])
@asynchronous
async def test_health_of_a_service(status: str, exit_code: int) -> None:
    async with serve(send(HealthCheckResponse(status=status))) as server:
        done = await invoke(server, "health", "readiness")
    assert (done.stdout, done.exit_code) == (f"{status}\n", exit_code)
    assert [request.service for request in server.requests] == ["readiness"]


@asynchronous
async def test_nobody_there() -> None:
    async with serve() as server:
        pass
    done = await invoke(server, "status")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "[UNAVAILABLE]" in done.stderr
