"""LoRA adapters are checked before the engine starts."""

import json
from pathlib import Path

import pytest

from vagus_server.engine.adapters import adapter_options, adapter_request
from vagus_server.plugin.pin import Unsupported


def adapter(folder: Path, rank: object, weights: bool = True) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    if weights:
        (folder / "adapter_model.safetensors").touch()
    return folder


def test_all_adapters_fit_in_a_batch(tmp_path: Path) -> None:
    adapters = {"a": adapter(tmp_path / "a", 4), "b": adapter(tmp_path / "b", 9)}
    options = adapter_options(adapters)
    assert options == {"enable_lora": True, "max_loras": 2, "max_lora_rank": 16}
    assert adapter_options({}) == {}


def test_requests_name_an_adapter(tmp_path: Path) -> None:
    adapters = {"a": tmp_path / "a", "b": tmp_path / "b"}
    request = adapter_request(adapters, "b")
    assert (request.lora_name, request.lora_path) == ("b", str(tmp_path / "b"))
    assert request.lora_int_id != adapter_request(adapters, "a").lora_int_id
    assert adapter_request(adapters, "") is None


@pytest.mark.parametrize(
    ("rank", "weights", "sentence"),
    [
        (0, True, "rank 0; 1 to 512"),
        (513, True, "rank 513"),
        ("four", True, "holds no LoRA adapter for a"),
        (None, True, "holds no LoRA adapter for a"),
        (8, False, r"no adapter_model\.safetensors"),
    ],
)
def test_folders_that_hold_none(rank: object, weights: bool, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=sentence):
        adapter_options({"a": adapter(tmp_path / "a", rank, weights)})


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="FileNotFoundError"):
        adapter_options({"a": tmp_path / "nowhere"})
