"""The shipped pack loads, and a pack that is not exactly right is refused with the reason."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save

from vagus_server.packs.corpus import load_corpus
from vagus_server.packs.pack import MANIFEST, TENSORS, Manifest, Pack, PackError
from vagus_server.packs.write import write_pack

SHIPPED = Path(__file__).parents[2] / "server/vagus_server/data/packs/smollm2-135m-instruct"
Tensors = dict[str, np.ndarray]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(SHIPPED, tmp_path / "pack")


def _manifest() -> Manifest:
    return msgspec.json.decode((SHIPPED / MANIFEST).read_bytes(), type=Manifest)


def test_the_shipped_pack_loads_and_describes_the_corpus() -> None:
    pack, corpus = Pack.load(SHIPPED), load_corpus()
    assert pack.names == sorted(corpus.concepts)
    assert pack.vectors.shape == (171, 30, 576)
    assert [concept.description for concept in pack.manifest.concepts] == [
        corpus.concepts[name].means for name in pack.names
    ]
    assert pack.manifest.license == "Apache-2.0"
    assert 0 < pack.steering_site < pack.sites
    np.testing.assert_allclose(np.linalg.norm(pack.unit_vectors, axis=2), 1, atol=1e-5)


def test_the_shipped_pack_was_made_from_the_shipped_corpus() -> None:
    assert Pack.load(SHIPPED).manifest.provenance["corpus_sha256"] == load_corpus().digest


def test_the_shipped_pack_reads_far_above_its_nulls() -> None:
    provenance = Pack.load(SHIPPED).manifest.provenance
    share = float(provenance["held_out_top1"].split(" ")[0])
    null = float(provenance["null_top1_labels_shuffled"].split("greatest ")[1].split(" ")[0])
    assert share > 50 > 10 > null
    for text in provenance.values():
        assert "/tmp" not in text
        assert "/home" not in text
        assert "/root" not in text


def test_written_packs_are_equal_byte_for_byte(tmp_path: Path) -> None:
    tensors = load_file(SHIPPED / TENSORS)
    packs = [write_pack(tmp_path / name, _manifest(), tensors) for name in ("a", "b")]
    assert packs[0].digest == packs[1].digest == Pack.load(SHIPPED).digest
    assert (tmp_path / "a" / MANIFEST).read_bytes() == (tmp_path / "b" / MANIFEST).read_bytes()


def test_a_truncated_or_altered_tensors_file_is_refused(folder: Path) -> None:
    data = (folder / TENSORS).read_bytes()
    message = "tensors.safetensors does not have the checksum that pack.json states"
    for broken in (data[:-1], b"", data[:-1] + bytes([data[-1] ^ 1])):
        (folder / TENSORS).write_bytes(broken)
        with pytest.raises(PackError, match=message):
            Pack.load(folder)


@pytest.mark.parametrize("name", [MANIFEST, TENSORS])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(PackError, match=f"{name} cannot be read: No such file"):
        Pack.load(folder)


def test_an_oversize_manifest_is_refused_unread(folder: Path) -> None:
    with (folder / MANIFEST).open("r+b") as file:
        file.truncate((4 << 20) + 1)
    with pytest.raises(PackError, match=r"pack\.json is larger than 4194304 bytes"):
        Pack.load(folder)


def test_what_is_not_json_or_not_utf8_is_refused(folder: Path) -> None:
    for broken in (b"{", b"", b"[]", b'{"name": "\xff"}'):
        (folder / MANIFEST).write_bytes(broken)
        with pytest.raises(PackError, match=r"pack\.json does not follow the schema"):
            Pack.load(folder)


def _rename_twice(manifest: Any) -> None:
    manifest["concepts"][1]["name"] = manifest["concepts"][0]["name"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(extra=1), "unknown field `extra`"),
        (lambda m: m["model"].update(extra=1), "unknown field `extra`"),
        (lambda m: m["concepts"][0].update(extra=1), "unknown field `extra`"),
        (lambda m: m.pop("license"), "missing required field `license`"),
        (lambda m: m.update(readout_site="15"), "Expected `int`, got `str`"),
        (lambda m: m.update(schema_version=2), "has schema version 2; this server reads 1"),
        (lambda m: m.update(concepts=[]), "must be present, distinct and not empty"),
        (_rename_twice, "must be present, distinct and not empty"),
        (lambda m: m.update(readout_site=30), "site 30 is not one of the model's 30"),
        (lambda m: m.update(steering_site=-1), "site -1 is not one of the model's 30"),
        (lambda m: m["concepts"].pop(), r"vectors is float16 \(171, 30, 576\), not .*\(170, 30"),
        (lambda m: m["model"].update(hidden_size=577), r"not float16 \(171, 30, 577\)"),
        (lambda m: m["model"].update(sites=31), r"not float16 \(171, 31, 576\)"),
        (lambda m: m.update(tensors_sha256="0" * 64), "does not have the checksum"),
        (lambda m: m["concepts"][0].update(collapse_dose={"30": 0.4}), "site 30 is not one of"),
        (lambda m: m["concepts"][0].update(collapse_dose={"1": 0}), "must be finite and above 0"),
        (lambda m: m["concepts"][0].update(collapse_dose={"x": 1.0}), "Expected `int`, got `str`"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(
    folder: Path, change: Callable[[Any], object], message: str
) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(PackError, match=message):
        Pack.load(folder)


def _set(name: str, value: float, where: Any = 0) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name][where] = value

    return change


def _wide(tensors: Tensors) -> None:
    tensors["vectors"] = tensors["vectors"].astype(np.float32)


def _narrow(tensors: Tensors) -> None:
    tensors["reference_std"] = tensors["reference_std"].astype(np.float16)


def _extra(tensors: Tensors) -> None:
    tensors["bias"] = np.zeros(1, np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("vectors", np.nan, (0, 0, 0)), "vectors has values that are not finite"),
        (_set("vectors", np.inf, (0, 0, 0)), "vectors has values that are not finite"),
        (_set("reference_mean", np.nan), "reference_mean has values that are not finite"),
        (_set("vectors", 0, (3, 7)), "a vector is zero"),
        (_set("residual_norms", 0), "must be above 0"),
        (_set("reference_std", -1), "must be above 0"),
        (_wide, r"tensors\.safetensors is larger than"),
        (_narrow, r"reference_std is float16 \(171, 30\), not float32"),
        (lambda t: t.pop("reference_std"), "tensors.safetensors holds"),
        (_extra, r"holds \['bias', "),
        (lambda t: t.update(residual_norms=t["residual_norms"][:-1]), r"float32 \(29,\), not"),
    ],
)
def test_tensors_that_are_wrong_are_refused(
    folder: Path, change: Callable[[Tensors], object], message: str
) -> None:
    tensors = load_file(folder / TENSORS)
    change(tensors)
    _replace_tensors(folder, save(tensors))
    with pytest.raises(PackError, match=message):
        Pack.load(folder)


def test_a_file_of_another_kind_is_refused_even_with_the_right_checksum(folder: Path) -> None:
    for data in (b"", b"\x00" * 100, b"\xff" * 8 + b"{}"):
        _replace_tensors(folder, data)
        with pytest.raises(PackError, match="is not a safetensors file"):
            Pack.load(folder)


def test_a_vector_that_does_not_fit_float16_is_not_written(tmp_path: Path) -> None:
    tensors = {name: t.astype(np.float64) for name, t in load_file(SHIPPED / TENSORS).items()}
    tensors["vectors"][0, 0, 0] = 1e6
    with pytest.raises(PackError, match="vectors has values that are not finite"):
        write_pack(tmp_path, _manifest(), tensors)


def _replace_tensors(folder: Path, data: bytes) -> None:
    """Puts other tensors in place and restates their checksum, as a forger would."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["tensors_sha256"] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / TENSORS).write_bytes(data)
