"""Extraction on the real engine, against transformers on the same float32 weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from support.reference import Reference
from vagus_server.packs.pack import Pack

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "tests" / "support" / "offline_driver.py"
LENGTHS = (12, 31, 97, 140, 48, 49, 11, 75)
#: Float32 sums in another order; relative to the length of what is compared.
TOLERANCE = 1e-4

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def texts(reference: Reference) -> list[list[int]]:
    """Real prose, cut to lengths around the token budget of a pass."""
    path = ROOT / "server/vagus_server/data/corpus/neutral.jsonl"
    rows = [json.loads(line)["text"] for line in path.read_text().splitlines()]
    ids = [reference.tokenizer(row)["input_ids"] for row in rows]
    return [row[:length] for row, length in zip(ids, LENGTHS, strict=False)]


@pytest.fixture(scope="module")
def measured(
    texts: list[list[int]],
    reference: Reference,
    model_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, np.ndarray]:
    """What the engine measured, in a process of its own."""
    folder = tmp_path_factory.mktemp("offline")
    np.savez(
        folder / "in.npz",
        lengths=[len(text) for text in texts],
        ids=np.concatenate(texts),
        vectors=reference.vectors[:3].astype(np.float16),
    )
    command = [sys.executable, DRIVER, model_folder, folder / "in.npz", folder / "out.npz"]
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT)
    return dict(np.load(folder / "out.npz"))


@pytest.fixture(scope="module")
def streams(texts: list[list[int]], reference: Reference) -> list[np.ndarray]:
    """The residual stream of each text, float64 [sites, tokens, hidden]."""
    return [stream(reference, text)[0] for text in texts]


def stream(reference: Reference, ids: list[int]) -> tuple[np.ndarray, torch.Tensor]:
    """Residual stream and log-probabilities of a text, with plain hooks."""
    seen: list[torch.Tensor] = []

    def hook(_module: object, _arguments: object, output: object) -> None:
        seen.append((output[0] if isinstance(output, tuple) else output)[0])  # type: ignore[index]

    handles = [x.register_forward_hook(hook) for x in reference.model.get_decoder().layers]
    with torch.inference_mode():
        logits = reference.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    for handle in handles:
        handle.remove()
    return torch.stack(seen).double().numpy(), logits.double().log_softmax(-1)


def close(got: np.ndarray, want: np.ndarray) -> bool:
    """Within the tolerance, relative to the length of the last dimension."""
    length = np.linalg.norm(want, axis=-1, keepdims=True)
    return bool((np.abs(got - want) <= TOLERANCE * length).all())


def test_means_and_norms_of_spans(
    measured: dict[str, np.ndarray], streams: list[np.ndarray]
) -> None:
    assert np.array_equal(measured["means"], measured["again"])  # the same batches, the same bits
    for i, x in enumerate(streams):
        for k, rows in enumerate((x[:, 1:], x[:, 7:-2])):
            assert measured["counts"][i, k] == rows.shape[1]
            assert close(measured["means"][i, k], rows.mean(axis=1))
            norms = np.linalg.norm(rows, axis=2).mean(axis=1)
            np.testing.assert_allclose(measured["norms"][i, k], norms, rtol=TOLERANCE)


def test_moments_of_readouts(
    measured: dict[str, np.ndarray], streams: list[np.ndarray], reference: Reference
) -> None:
    x = np.concatenate([one[:, 1:] for one in streams], axis=1)
    vectors = reference.vectors[:3].astype(np.float16).astype(np.float64)
    units = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    projections = np.einsum("sth,csh->stc", x, units)
    assert measured["positions"] == x.shape[1]
    scale = np.linalg.norm(x, axis=2).mean(axis=1)[:, None]
    mean = measured["moments"][0] / x.shape[1]
    assert (np.abs(mean - projections.mean(axis=1)) <= TOLERANCE * scale).all()
    squares = measured["moments"][1] / x.shape[1]
    assert (np.abs(squares - (projections**2).mean(axis=1)) <= TOLERANCE * scale**2).all()


def test_prompt_logprobs(
    measured: dict[str, np.ndarray], texts: list[list[int]], reference: Reference
) -> None:
    want = []
    for ids in texts:
        _, logprobs = stream(reference, ids)
        want += [float(logprobs[i, token]) for i, token in enumerate(ids[1:])]
    np.testing.assert_allclose(measured["logprobs"], want, atol=1e-3)


def test_what_the_model_writes_is_tapped_where_it_was_written(
    measured: dict[str, np.ndarray], texts: list[list[int]], reference: Reference
) -> None:
    plain, steered = measured["written"].tolist()
    assert plain != steered
    # The last token is never processed.
    assert (measured["written_counts"] == len(plain[0]) - 1).all()
    for i, ids in enumerate(texts):
        x, _ = stream(reference, ids + plain[i][:-1])
        norms = np.linalg.norm(x[:, len(ids) :], axis=2).mean(axis=1)
        np.testing.assert_allclose(measured["written_norms"][0, i], norms, rtol=TOLERANCE)


CONCEPTS = ("calm", "angry", "sad")
#: Between them, each concept is told in both persons.
TOPICS = ("snow-morning", "market-stall")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corner of the bundled corpus, as a corpus of its own."""
    source = ROOT / "server/vagus_server/data/corpus"
    folder = tmp_path_factory.mktemp("corpus")
    concepts = json.loads((source / "concepts.json").read_text())
    (folder / "concepts.json").write_text(json.dumps({c: concepts[c] for c in CONCEPTS}))
    prompts = json.loads((source / "prompts.json").read_text())
    few = {"reference": prompts["reference"][:2], "steering": prompts["steering"][:2]}
    (folder / "prompts.json").write_text(json.dumps(prompts | few))
    for name, keep in (("neutral.jsonl", 5), ("scenarios.jsonl", 0)):
        lines = (source / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:keep]))
    (folder / "stories").mkdir()
    for topic in TOPICS:
        lines = (source / "stories" / f"{topic}.jsonl").read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["concept"] in CONCEPTS]
        (folder / "stories" / f"{topic}.jsonl").write_text("".join(kept))
    return folder


def extract(
    corpus: Path, model: Path, out: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command as a user would."""
    command = ["-m", "vagus_server", "extract", "--model", str(model), "--corpus", str(corpus)]
    command += ["--out", str(out), "--eager", "--kv-cache-gib", "0.5", *options]
    environment = {"SOURCE_DATE_EPOCH": "1000000000", "VLLM_LOGGING_LEVEL": "ERROR"}

    return subprocess.run(
        [sys.executable, *command],
        check=False,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_a_pack_is_made_and_made_again_bit_for_bit(
    corpus: Path, model_folder: Path, tmp_path: Path
) -> None:
    sweep = ("--steering-site", "9", "--steering-site", "12")
    first = extract(corpus, model_folder, tmp_path / "pack", "--name", "three", *sweep)
    assert first.returncode == 0, first.stderr
    pack = Pack.load(tmp_path / "pack")
    assert pack.names == sorted(CONCEPTS)
    assert pack.digest in first.stdout
    assert pack.steering_site in (9, 12)
    points = json.loads(pack.manifest.provenance.pop("steering_sweep"))
    assert [point["site"] for point in points] == [9, 12]
    # What the sweep found can be given, which saves most of the time.
    given = ("--steering-site", str(pack.steering_site))
    again = extract(corpus, model_folder, tmp_path / "again", "--name", "three", *given)
    assert again.returncode == 0, again.stderr
    assert "steering sweep" not in again.stderr
    repeated = Pack.load(tmp_path / "again")
    assert repeated.manifest.provenance.pop("steering_site_chosen") == "given, not swept"
    for key in ("steering_sweep_method", "steering_site_chosen"):
        pack.manifest.provenance.pop(key)
    assert repeated.manifest == pack.manifest
    tensors = [(tmp_path / name / "tensors.safetensors").read_bytes() for name in ("pack", "again")]
    assert tensors[0] == tensors[1]
