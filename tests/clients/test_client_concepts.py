"""Vectors of one's own: uploads, deletions, and vectors that a program brings along."""

import array
import asyncio
import json
import struct
from pathlib import Path

import pytest
from client_drivers import asynchronous
from generation_messages import receipt
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from scripted_server import ScriptedServer, fail, send, serve
from typer.testing import CliRunner

import vagus
from vagus import AsyncClient, Client, Vectors, add
from vagus._program import program_message
from vagus.cli import app
from vagus.v1 import concept_service_pb2 as pb

ANSWER = pb.UploadConceptResponse(digest="ab" * 32, sites=[3, 15])
ROWS = {15: [1.0, -2.5], 3: array.array("d", [0.1, 0])}


def sent(server: ScriptedServer, index: int = 0) -> tuple[dict[str, object], bytes]:
    """Metadata and file of an upload."""
    first, *chunks = server.requests[index]
    assert all(chunk.WhichOneof("part") == "chunk" for chunk in chunks)
    metadata = MessageToDict(first.metadata, preserving_proto_field_name=True)
    return metadata, b"".join(chunk.chunk for chunk in chunks)


def rows_of(data: bytes) -> list[list[float]]:
    """A file's only tensor, read by the format's description."""
    (length,) = struct.unpack("<Q", data[:8])
    (tensor,) = json.loads(data[8 : 8 + length]).values()
    assert tensor["dtype"] == "F32"
    rows, width = tensor["shape"]
    start, end = tensor["data_offsets"]
    body = data[8 + length :]
    assert (start, end) == (0, len(body))
    flat = struct.unpack(f"<{rows * width}f", body)
    return [list(flat[i * width : (i + 1) * width]) for i in range(rows)]


@asynchronous
async def test_numbers_are_uploaded_as_a_file() -> None:
    options = {
        "description": "calm again",
        "reference": {15: (0.5, 2.0)},
        "pack": "p",
        "model_fingerprint": "f",
        "replace": True,
    }
    async with serve(send(ANSWER), send(ANSWER)) as server:
        async with AsyncClient(server.target) as client:
            answers = [await client.concepts.upload("still", ROWS, **options)]

        def blocking() -> pb.UploadConceptResponse:
            with Client(server.target) as client:
                return client.concepts.upload("still", ROWS, **options)

        answers.append(await asyncio.to_thread(blocking))
    assert answers == [ANSWER, ANSWER]
    for i in range(2):
        metadata, data = sent(server, i)
        assert metadata == {
            "name": "still",
            "description": "calm again",
            "model_fingerprint": "f",
            "pack": "p",
            "sites": [15, 3],
            "references": [{"site": 15, "mean": 0.5, "deviation": 2.0}],
            "replace": True,
        }
        assert rows_of(data) == [[1.0, -2.5], [pytest.approx(0.1), 0.0]]


@asynchronous
async def test_a_file_is_uploaded_as_it_is_in_pieces_and_again_after_a_failure() -> None:
    data = bytes(range(256)) * 10_000
    async with (
        serve(fail(StatusCode.UNAVAILABLE), send(ANSWER)) as server,
        AsyncClient(server.target) as client,
    ):
        await client.concepts.upload("still", data, sites=[3, 15])
    for i in range(2):
        assert sent(server, i) == ({"name": "still", "sites": [3, 15]}, data)
    assert len(server.requests[0]) == 4


@asynchronous
async def test_deleting() -> None:
    async with serve(send(pb.DeleteConceptResponse()), fail(StatusCode.NOT_FOUND)) as server:
        async with AsyncClient(server.target, tenant="acme") as client:
            await client.concepts.delete("still")

        def blocking() -> None:
            with Client(server.target) as client, pytest.raises(vagus.NotFound):
                client.concepts.delete("still")

        await asyncio.to_thread(blocking)
    assert [request.name for request in server.requests] == ["still", "still"]
    assert server.metadata[0]["vagus-tenant"] == "acme"


def test_what_cannot_be_meant_is_refused_here() -> None:
    with Client("localhost:1") as client:
        with pytest.raises(ValueError, match="sites go with a file"):
            client.concepts.upload("x", ROWS, sites=[3])
        with pytest.raises(ValueError, match="different lengths"):
            client.concepts.upload("x", {3: [1.0], 4: [1.0, 2.0]})
        with pytest.raises(TypeError, match="unknown option site"):
            client.concepts.upload("x", ROWS, site=3)
    with pytest.raises(ValueError, match="sites go with a file"):
        program_message([add(Vectors(ROWS, (3,)), 0.3)])


def test_a_program_can_bring_vectors_along() -> None:
    program = [add(Vectors(ROWS), 0.3, sites=15), add(Vectors(b"file", (3, 4)), 0.3)]
    listed, file = (MessageToDict(o)["inline"] for o in program_message(program).operations)
    assert [(v["site"], len(v["values"])) for v in listed["vectors"]] == [(15, 2), (3, 2)]
    assert file == {"safetensors": "ZmlsZQ==", "sites": [3, 4]}
    assert not any(o.concept for o in program_message(program).operations)


def test_receipts_of_vectors_without_a_name() -> None:
    class Answer:
        receipt = receipt()

    program = [add(Vectors(ROWS), 0.3, sites=15)]
    with pytest.raises(vagus.ReceiptMismatch):
        vagus.verify_receipt(program, Answer)
    Answer.receipt.operations[0].concept = ""
    vagus.verify_receipt(program, Answer)


@asynchronous
async def test_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "still.safetensors"
    file.write_bytes(b"abc")
    listed = pb.ListConceptsResponse(
        concepts=[
            {"name": "calm", "pack": "p", "origin": "CONCEPT_ORIGIN_PACK", "sites": [{"site": 1}]},
            {"name": "still", "origin": "CONCEPT_ORIGIN_UPLOADED", "sites": [{"site": 3}]},
        ]
    )
    script = [ANSWER, ANSWER, listed, pb.DeleteConceptResponse()]
    runner = CliRunner()
    async with serve(*map(send, script)) as server:
        options = ["--server", server.target, "--tenant", "acme"]
        runs = [
            ["upload", str(file), "--name", "still", "--sites", "3,14-15", "--replace"],
            ["upload", str(file), "--name", "still", "--json"],
            [],
            ["delete", "still"],
        ]
        done = [
            await asyncio.to_thread(runner.invoke, app, ["concepts", *run, *options])
            for run in runs
        ]
    assert [run.exit_code for run in done] == [0, 0, 0, 0], done[0].output
    assert done[0].stdout == f"still: usable at 2 sites · digest {'ab' * 6}\n"
    assert json.loads(done[1].stdout)["sites"] == [3, 15]
    origins = [line.split()[-1] for line in done[2].stdout.splitlines() if line.strip()]
    assert origins[-2:] == ["p", "uploaded"]
    assert sent(server) == ({"name": "still", "sites": [3, 14, 15], "replace": True}, b"abc")
    assert server.requests[3].name == "still"
    assert {m["vagus-tenant"] for m in server.metadata} == {"acme"}


def test_bad_arguments_of_the_command_line(tmp_path: Path) -> None:
    runner, missing = CliRunner(), str(tmp_path / "missing")
    for arguments in (["upload", missing, "--name", "x"], ["upload", __file__], ["delete"]):
        assert runner.invoke(app, ["concepts", *arguments]).exit_code == 2
    bad_sites = ["concepts", "upload", __file__, "--name", "x", "--sites", "a"]
    assert runner.invoke(app, bad_sites).exit_code == 2
