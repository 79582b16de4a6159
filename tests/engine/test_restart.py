"""Uploaded concepts outlive their server, however it ends; an upload that it cut short does not."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from safetensors.numpy import save

from support.calls import add, generate, ids, spec, stream
from support.refusals import refused
from support.server_process import ServerProcess
from support.small_server import pack_rows
from support.uploads import concepts, delete, parts, upload
from vagus.v1 import concept_service_pb2 as pb
from vagus.v1 import concept_service_pb2_grpc as pb_grpc

pytestmark = pytest.mark.engine

PROMPT = "The evening began quietly, and"


def half_an_upload(server: ServerProcess) -> Any:
    """An upload that has begun and does not end."""
    begun = threading.Event()

    def messages() -> Iterator[pb.UploadConceptRequest]:
        yield from list(parts(save({"v": pack_rows("sad")}), size=1000, name="cut"))[:5]
        begun.set()
        threading.Event().wait(60)

    call = pb_grpc.ConceptServiceStub(server.channel).UploadConcept.future(messages())
    assert begun.wait(30)
    return call


def test_what_was_uploaded_outlives_a_killed_server(model_folder: Path, tmp_path: Path) -> None:
    options = ("--eager", "--max-model-len", "256", "--max-running", "8")
    options += ("--vectors", "180", "--state", str(tmp_path / "state"))
    request = spec(PROMPT, add("still", 0.3, (10, 15)))
    half = pack_rows("calm") * np.float16(0.5)
    with ServerProcess(*options) as server:
        digest = upload(server.channel, half, name="still", description="kept").digest
        upload(server.channel, pack_rows("sad"), "acme", name="blue", sites=range(30))
        upload(server.channel, pack_rows("angry"), name="gone")
        delete(server.channel, "gone")
        before = generate(server.channel, request)
        listed = concepts(server.channel)
        call = half_an_upload(server)
        running = stream(server.channel, spec(PROMPT, max_tokens=200))
        next(running)
        server.kill()
        for broken in (lambda: call.result(60), lambda: list(running)):
            with pytest.raises(grpc.RpcError) as caught:
                broken()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    with ServerProcess(*options) as server:
        assert concepts(server.channel) == listed
        assert listed["still"].digest == digest
        assert "cut" not in listed
        assert concepts(server.channel, "acme").keys() - listed.keys() == {"blue"}
        after = generate(server.channel, request)
        assert ids(after) == ids(before)
        assert ids(after) == ids(generate(server.channel, spec(PROMPT, add("calm", 0.3, (10, 15)))))
        assert after.finish.receipt == before.finish.receipt
        metrics = server.metrics()
        assert metrics["vagus_concepts_registered"] == 2
        assert metrics["vagus_vector_rows_capacity"] == 180
        # "blue" has the contents of a concept of the pack, and its row.
        packs = [c for c in listed.values() if c.origin == pb.CONCEPT_ORIGIN_PACK]
        assert metrics["vagus_vector_rows_used"] == len(packs) + 1
        other = ServerProcess(*options)
        with pytest.raises(RuntimeError, match="in use by another server"):
            other.__enter__()
        assert refused(lambda: delete(server.channel, "cut")).info.reason == "CONCEPT_NOT_FOUND"
    assert server.process.returncode == 0
