"""Packs from a user's own texts, and texts from the model itself, through the real commands."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vagus_server.extract.vectors import neutral_components, remove_components
from vagus_server.packs.corpus import CORPUS, load_concepts
from vagus_server.packs.pack import Pack
from vagus_server.packs.user_rows import Row, read_rows
from vagus_server.packs.wording import Banned

ROOT = Path(__file__).resolve().parents[2]
POLITE = ("Would you kindly", "I should be grateful if you could", "May I ask you to")
RUDE = ("Hey, just", "Oi, go", "Come on and")
DEMANDS = ("pass the salt", "close the door")

pytestmark = pytest.mark.engine


def run(name: str, model: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user would."""
    command = [sys.executable, "-m", "vagus_server", name, "--model", model, "--eager"]
    return subprocess.run(
        [str(part) for part in (*command, "--kv-cache-gib", "0.5", *options)],
        check=False,
        cwd=ROOT,
        env=os.environ | {"VLLM_LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
    )


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def short_stories() -> list[dict[str, str]]:
    """Two concepts, six topics: the beginnings of bundled stories."""
    files = sorted((CORPUS / "stories").glob("*.jsonl"))[:6]
    rows = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    return [
        {key: row[key] for key in ("concept", "topic")}
        | {"text": " ".join(row["text"].split()[:30])}
        for row in rows
        if row["concept"] in ("calm", "angry")
    ]


def sides() -> list[dict[str, str]]:
    """One contrast, six texts a side."""
    return [
        {"concept": "polite", "side": side, "text": f"{opening} {demand}."}
        for side, openings in (("positive", POLITE), ("negative", RUDE))
        for opening in openings
        for demand in DEMANDS
    ]


@pytest.fixture
def texts(tmp_path: Path) -> list[object]:
    """Options that name a small corpus with two bad rows, neutral texts and prompts."""
    good = short_stories() + sides()
    bad = [{"concept": "calm", "text": " "}, good[0]]
    neutral = [{"text": f"The shop on Mill Lane opens at {hour}."} for hour in range(6, 16)]
    prompts = {"reference": ["Name a fruit."], "steering": ["Tell me about your day."]}
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    options = {
        "--corpus": write(tmp_path / "mine.jsonl", good + bad),
        "--neutral": write(tmp_path / "neutral.jsonl", neutral),
        "--prompts": tmp_path / "prompts.json",
    }
    return [part for option in options.items() for part in option]


def test_a_bad_row_is_refused_by_its_number(
    texts: list[object], model_folder: Path, tmp_path: Path
) -> None:
    done = run("extract", model_folder, "--out", tmp_path / "pack", *texts)
    assert done.returncode == 1
    assert f"mine.jsonl:{len(short_stories() + sides()) + 1}: empty text: " in done.stderr
    assert not (tmp_path / "pack").exists()


def test_a_text_that_is_too_long_is_refused_by_its_number(
    texts: list[object], model_folder: Path, tmp_path: Path
) -> None:
    options = ["--max-model-len", 32, "--out", tmp_path / "pack"]
    done = run("extract", model_folder, *options, *texts)
    assert done.returncode == 1
    said = r"mine\.jsonl:1: too many tokens: \d+, of which the model takes 31"
    assert re.search(said, done.stderr)
    assert "Traceback" not in done.stderr


def test_stories_and_contrasts_of_a_user_make_a_pack(
    texts: list[object], model_folder: Path, tmp_path: Path
) -> None:
    options = ["--skip-bad-rows", "--steering-site", 12, "--out", tmp_path / "pack"]
    done = run("extract", model_folder, *options, *texts)
    assert done.returncode == 0, done.stderr
    assert "left out 2 rows: 1 for empty text, 1 for duplicate text" in done.stderr
    pack = Pack.load(tmp_path / "pack")
    assert pack.names == ["angry", "calm", "polite"]
    assert pack.steering_site == 12
    facts = pack.manifest.provenance
    assert facts["corpus_rows_left_out"] == "1 for duplicate text, 1 for empty text"
    # Politeness is in every token of these texts, and nothing of the other side is.
    assert json.loads(facts["contrasts_side"])[0] > 0.8
    work = tmp_path / "pack.work"
    shape = (pack.sites, pack.manifest.model.hidden_size + 1)
    contrasts, neutral = (
        np.fromfile(work / f"{name}.f32", dtype=np.float32).reshape(-1, *shape)[:, :, :-1]
        for name in ("contrasts", "neutral")
    )
    side = np.array([row["side"] for row in sides()])
    assert len(contrasts) == len(side) == 2 * len(POLITE) * len(DEMANDS)
    positive, negative = contrasts[side == "positive"], contrasts[side == "negative"]
    difference = positive.mean(axis=0, dtype=float) - negative.mean(axis=0, dtype=float)
    wanted = remove_components(difference[None], neutral_components(neutral, 0.5))[0]
    got = pack.vectors[pack.index["polite"]].astype(float)
    length = np.linalg.norm(wanted, axis=-1, keepdims=True)
    assert (np.abs(got - wanted) <= 1e-3 * length).all()


def test_the_model_writes_stories_that_extract_can_read(model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.jsonl"
    options = ("--concepts", "calm,angry", "--topics", "2")
    done = run("write-stories", model_folder, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    rows = [row for _, row in read_rows(out)]
    told = {what: int(count) for count, what in re.findall(r"(\d+) ([a-z ]+)", done.stdout)}
    assert sum(told.values()) == 4
    assert told.get("kept", 0) == len(rows) > 0
    known = load_concepts(CORPUS / "concepts.json")
    for row in rows:
        assert isinstance(row, Row)
        assert row.concept in ("calm", "angry")
        assert row.topic
        assert Banned(known[row.concept].banned).found_in(row.text) is None


def test_a_concept_without_a_meaning_is_refused(model_folder: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "own.jsonl", "--concepts", "calm,hangry")
    done = run("write-stories", model_folder, *options)
    assert done.returncode == 1
    assert "no meaning is known of 'hangry'" in done.stderr
