"""The command `evaluate` on the real engine, with a corner of the corpus and its own pack."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vagus.v1 import prompt_pb2 as pb
from vagus_server.evaluate.measure import chat_tokens

ROOT = Path(__file__).resolve().parents[2]
CONCEPTS = ("afraid", "angry", "calm", "happy", "sad")
TOPICS = ("snow-morning", "power-cut", "market-stall", "harvest-day")
CORPUS = ROOT / "server/vagus_server/data/corpus"

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five concepts, four topics, one topic of the other writer."""
    folder = tmp_path_factory.mktemp("corpus")
    concepts = json.loads((CORPUS / "concepts.json").read_text())
    (folder / "concepts.json").write_text(json.dumps({c: concepts[c] for c in CONCEPTS}))
    prompts = json.loads((CORPUS / "prompts.json").read_text())
    few = {"reference": prompts["reference"][:3], "steering": prompts["steering"][:2]}
    (folder / "prompts.json").write_text(json.dumps(prompts | few))
    neutral = (CORPUS / "neutral.jsonl").read_text().splitlines(keepends=True)
    (folder / "neutral.jsonl").write_text("".join(neutral[:9]))
    other = sorted((CORPUS / "other").glob("*.jsonl"))[:1]
    for source in (*(CORPUS / "stories" / f"{t}.jsonl" for t in TOPICS), *other):
        _keep(source, folder / source.relative_to(CORPUS))
    _keep(CORPUS / "scenarios.jsonl", folder / "scenarios.jsonl")
    return folder


def _keep(source: Path, target: Path) -> None:
    lines = source.read_text().splitlines(keepends=True)
    target.parent.mkdir(exist_ok=True)
    target.write_text("".join(line for line in lines if json.loads(line)["concept"] in CONCEPTS))


def command(name: str, model: Path, corpus: Path, *options: str) -> str:
    """Runs a command as a user would; its output."""
    parts = ["-m", "vagus_server", name, "--model", str(model), "--corpus", str(corpus)]
    done = subprocess.run(
        [sys.executable, *parts, "--eager", "--kv-cache-gib", "0.5", *options],
        check=False,
        cwd=ROOT,
        env=os.environ | {"VLLM_LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pack_is_evaluated_with_the_means_of_its_extraction(
    corpus: Path, model_folder: Path, tmp_path: Path
) -> None:
    pack, out, work = tmp_path / "pack", tmp_path / "report", tmp_path / "pack.work"
    command("extract", model_folder, corpus, "--out", str(pack), "--steering-site", "12")
    before = {name: (work / f"{name}.f32").stat() for name in ("stories", "neutral")}
    options = ("--pack", str(pack), "--out", str(out), "--work", str(work))
    said = command("evaluate", model_folder, corpus, *options)
    for name, then in before.items():
        now = (work / f"{name}.f32").stat()
        assert (now.st_mtime_ns, now.st_ino) == (then.st_mtime_ns, then.st_ino)
    assert str(out / "report.html") in said
    content = json.loads((out / "report.json").read_text())
    keys = "held_out other_writer scenarios doses logit_lens geometry affect speakers reliability"
    assert list(content["sections"]) == [*keys.split(), "norms"]
    # Five unlike concepts are easy for this model, and chance is a fifth.
    top1 = content["sections"]["held_out"]["figures"][0]
    assert top1["value"] > 0.6
    assert top1["null_shuffled"]["mean"] < 0.4
    assert content["sections"]["logit_lens"]["figures"]
    for picture in (out / "pictures").iterdir():
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_words_of_a_chat_are_found(model_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    messages = [(pb.ROLE_USER, "Where is  the café?"), (pb.ROLE_ASSISTANT, "Left of here.")]
    ids, ranges = chat_tokens(tokenizer, messages, reply=False)
    words = [tokenizer.decode(ids[a:b]) for a, b in ranges]
    assert words == [content for _, content in messages]
    alone, _ = chat_tokens(tokenizer, messages[:1], reply=True)
    assert tokenizer.decode(alone[-3:]).strip().endswith("assistant")
    assert np.array_equal(ids[: len(alone)], alone)  # the reply begins where the chat ended
