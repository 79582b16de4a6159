"""Which metrics there are, and which an expression of PromQL asks for."""

import importlib.util
import re
from pathlib import Path

import promql_parser
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

from support.small_pack import small_pack
from vagus_server.metrics.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus"


def asked(expr: str) -> set[str]:
    """Names of the metrics in an expression; raises ValueError where it is none."""
    names = set()

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            names.add(node.name)

    promql_parser.walk(promql_parser.parse(expr), visit)
    return names


def exported() -> set[str]:
    """Names of the samples on a server's page: ours, vLLM's and the process's own."""
    registry = CollectorRegistry()
    metrics = Metrics(small_pack(), small_pack().names, "tiny", slots=1, registry=registry)
    metrics.policies.show(["a policy"])
    ours = {s.name for metric in registry.collect() for s in metric.samples}
    process = {s.name for metric in REGISTRY.collect() for s in metric.samples}
    return ours | process | _vllm() | {"up"}


def _vllm() -> set[str]:
    """Out of the source of the installed version: its metrics exist once an engine runs."""
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    loggers = Path(spec.origin).parent / "v1" / "metrics" / "loggers.py"
    names = set(re.findall(r'"(vllm:\w+)"', loggers.read_text()))
    return names | {f"{name}_total" for name in names}


def rules(file: str) -> list[dict[str, str]]:
    """The rules of a file, of all groups."""
    groups = yaml.safe_load((RULES / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def recorded() -> set[str]:
    """Names of the recording rules."""
    return {rule["record"] for rule in rules("recording.yml")}
