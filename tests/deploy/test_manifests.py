"""Image, compose and Kubernetes: valid by their own linters, and true to the server."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from support.promql import DEPLOY
from vagus_server.cli import app

ROOT = DEPLOY.parent
DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = [DEPLOY / "compose.yaml", DEPLOY / "compose.cuda.yaml"]
KUBERNETES = DEPLOY / "kubernetes"
TOOLS = Path(sys.executable).parent

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed; it builds the overlays"
)


def check(*command: str | Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_dockerfile_is_clean() -> None:
    check(TOOLS / "hadolint", DOCKERFILE)


def test_yaml_is_clean() -> None:
    check(TOOLS / "yamllint", "--strict", DEPLOY)


def test_compose_files_keep_to_their_schema() -> None:
    check(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE)


def overlay(name: str) -> list[dict[str, Any]]:
    command = ["kubectl", "kustomize", str(KUBERNETES / name)]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(yaml.safe_load_all(built))


@needs_kubectl
@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_overlays_keep_to_the_schemas_of_kubernetes(name: str, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all(overlay(name)))
    check(TOOLS / "kubernetes-validate", "--strict", file)


@needs_kubectl
@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_everything_selects_the_pods(name: str) -> None:
    objects = {o["kind"]: o for o in overlay(name)}
    labels = objects["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        objects["StatefulSet"]["spec"]["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert all(selectors)
    # Clients are other pods.
    clients = objects["NetworkPolicy"]["spec"]["ingress"][0]["from"]
    assert clients == [{"podSelector": {"matchLabels": {"vagus-client": "true"}}}]


def dockerfile(word: str) -> list[str]:
    """An instruction's list of words."""
    line = re.findall(rf"^{word} (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    return yaml.safe_load(line[0])


def pod() -> dict[str, Any]:
    return yaml.safe_load((KUBERNETES / "base/statefulset.yaml").read_text())["spec"]["template"][
        "spec"
    ]


def commands() -> dict[str, list[str]]:
    """Arguments of `vagus-server serve` wherever it is started."""
    fixed = dockerfile("ENTRYPOINT")[2:]
    cuda = yaml.safe_load(COMPOSE[1].read_text())["services"]["vagus"]["command"]
    overlaid = re.findall(r"value: (--\S+)", (KUBERNETES / "cuda/kustomization.yaml").read_text())
    base = pod()["containers"][0]["args"]
    return {
        "image": fixed + dockerfile("CMD"),
        "compose.cuda": fixed + cuda,
        "kubernetes": fixed + base,
        "kubernetes/cuda": fixed + base + overlaid,
    }


@pytest.mark.parametrize("where", commands())
def test_the_server_knows_its_options(where: str) -> None:
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    arguments = commands()[where]
    parsed = serve.make_context("serve", list(arguments)).params
    assert parsed["host"] == "0.0.0.0"
    assert parsed["log_format"] == "json"
    assert parsed["metrics_host"] == "0.0.0.0"


def test_what_is_written_is_on_volumes() -> None:
    """The rest is read-only, in compose and in Kubernetes."""
    volumes = dockerfile("VOLUME")
    mounts = [mount["mountPath"] for mount in pod()["containers"][0]["volumeMounts"]]
    composed = yaml.safe_load(COMPOSE[0].read_text())["services"]["vagus"]["volumes"]
    assert {volume.split(":")[1] for volume in composed} == set(volumes)
    assert set(mounts) == {*volumes, "/tmp", "/dev/shm"}
    for name in (
        "XDG_CACHE_HOME",
        "VLLM_CACHE_ROOT",
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
    ):
        (folder,) = re.findall(rf"{name}=(\S+)", DOCKERFILE.read_text())
        assert any(Path(folder).is_relative_to(volume) for volume in volumes)
    assert all("--state" in arguments for arguments in commands().values())


def test_ports_and_probes_are_the_servers() -> None:
    container = pod()["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 50051, "metrics": 9464}
    assert container["startupProbe"]["grpc"]["port"] == ports["grpc"]
    assert container["readinessProbe"]["grpc"]["port"] == ports["grpc"]
    assert container["livenessProbe"]["tcpSocket"]["port"] == "metrics"
    scrape = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["static_configs"][0]["targets"] == [f"vagus:{ports['metrics']}"]


def test_the_image_has_what_its_build_needs() -> None:
    """The context is closed but for what is named; the wheels are built of these."""
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert all((ROOT / path).exists() for path in kept)
    project = (ROOT / "pyproject.toml").read_text()
    packages = re.findall(r'^packages = \["([^/]+)/\w+", "([^/]+)/', project, re.MULTILINE)
    assert {"pyproject.toml", "clients/python", "requirements", *packages[0]} <= set(kept)


def test_mounted_files_exist() -> None:
    services = yaml.safe_load(COMPOSE[0].read_text())["services"]
    sources = [v.split(":")[0] for s in services.values() for v in s["volumes"] if v[0] == "."]
    assert len(sources) == 3
    assert all((DEPLOY / source).is_dir() for source in sources)
