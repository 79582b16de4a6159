"""The file of policies: what is refused, what it means, and how it is taken anew."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.small_pack import small_pack, small_registry
from vagus_server.errors import ApiError
from vagus_server.packs.pack import Pack
from vagus_server.policies.file import MONITOR, PolicyError, PolicySet, read_policies
from vagus_server.policies.policies import Policies
from vagus_server.steering.program import Program
from vagus_server.steering.resolve import Resolver

PACK = small_pack()
RESOLVER = Resolver(small_registry(PACK), 8, 1.0)

GOOD = """
version: 1
policies:
  - name: desperate-rises
    description: tells
    severity: critical
    when: {concept: desperate, z_at_least: 3, until_below: 2, smoothing_tokens: 7, after_tokens: 5}
  - name: keep-calm
    every_request: false
    when: {concept: calm, z_at_most: -1}
    steer:
      - {concept: calm, dose: 0.25, ramp_tokens: 4}
      - {concept: sad, dose: -0.1, sites: [0, 2]}
  - name: enough
    when: {concept: sad, z_at_least: 5}
    stop: true
"""


def read(path: Path, text: str, pack: Pack = PACK, max_dose: float = 1.0) -> PolicySet:
    path.write_text(text)
    return read_policies(path, pack, RESOLVER, max_dose)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policies.yaml"


def test_what_a_file_means(path: Path) -> None:
    tells, steers, stops = read(path, GOOD).policies
    site = PACK.readout_site
    order = tells.order({})
    assert (order.concept, order.site, order.sign) == (PACK.index["desperate"], 0, 1)
    assert (order.begin, order.cease, order.share, order.after) == (3, 2, 0.25, 5)
    assert order.mean == pytest.approx(PACK.reference_mean[order.concept, site])
    assert order.deviation == pytest.approx(PACK.reference_std[order.concept, site])
    assert (order.operations, order.digest, order.stops) == ((), b"", False)
    calm, sad = steers.program.operations
    assert (calm.sites, calm.doses) == ((PACK.steering_site,), (pytest.approx(0.25),))
    assert (sad.sites, sad.doses) == ((0, 2), (pytest.approx(-0.1), pytest.approx(-0.1)))
    below = steers.order(dict.fromkeys(steers.program.contents, 1))
    assert (below.sign, below.begin, below.cease) == (-1, 1, 1)
    assert steers.smoothed(1.5) == -1.5
    assert below.digest == steers.program.tables_digest
    assert stops.order({}).stops


WHEN = "when: {concept: calm, z_at_least: 3}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("policies: [", "is not YAML"),
        ("", "the file"),
        ("[]", "the file"),
        ("version: 2\npolicies: []", "version"),
        ("version: 1\npolicies: []\nextra: 1", "extra"),
        (f"version: 1\npolicies: [{{name: A b, {WHEN}}}]", "policies.0.name"),
        (f"version: 1\npolicies: [{{name: a, {WHEN}}}, {{name: a, {WHEN}}}]", "same name"),
        (f"version: 1\npolicies: [{{name: a, {WHEN}, do: it}}]", "policies.0.do"),
        (f"version: 1\npolicies: [{{name: a, severity: loud, {WHEN}}}]", "severity"),
        ("version: 1\npolicies: [{name: a}]", "policies.0.when"),
        ("version: 1\npolicies: [{name: a, when: {concept: calm}}]", "exactly one"),
        ("version: 1\npolicies: [{name: a, when: {concept: calm, z_at_least: .nan}}]", "z_at_le"),
        ("version: 1\npolicies: [{name: a, when: {concept: glum, z_at_least: 1}}]", "glum"),
        (
            "version: 1\npolicies: [{name: a, when: {concept: calm, z_at_least: 1,"
            " until_below: 2}}]",
            "until_below is above",
        ),
        (
            "version: 1\npolicies: [{name: a, when: {concept: calm, z_at_least: 1, z_at_most: 2}}]",
            "exactly one",
        ),
        (
            "version: 1\npolicies: [{name: a, when: {concept: calm, z_at_most: 1,"
            " until_below: 0}}]",
            "until_below goes with",
        ),
        (
            f"version: 1\npolicies: [{{name: a, {WHEN}, steer: [{{concept: glum, dose: 1}}]}}]",
            "has such a concept",
        ),
        (
            f"version: 1\npolicies: [{{name: a, {WHEN}, steer: [{{concept: calm, dose: 2}}]}}]",
            "limit",
        ),
        (
            f"version: 1\npolicies: [{{name: a, {WHEN}, steer: [{{concept: calm, dose: 0.1,"
            " sites: [9]}]}]",
            "sites",
        ),
        (
            f"version: 1\npolicies: [{{name: a, {WHEN}, steer: [{{concept: calm, dose: 0.6}}]}},"
            f" {{name: b, {WHEN}, steer: [{{concept: sad, dose: 0.6}}]}}]",
            "all policies together",
        ),
        (
            "version: 1\npolicies: ["
            + ", ".join(f"{{name: p{n}, {WHEN}}}" for n in range(33))
            + "]",
            "at most 32",
        ),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
        ("version: 1\npolicies: []\n#" + "x" * (1 << 20), "bytes"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(path: Path, text: str, complaint: str) -> None:
    with pytest.raises(PolicyError, match=r"policies\.yaml") as caught:
        read(path, text)
    assert complaint in str(caught.value)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        read_policies(path, PACK, RESOLVER, 1.0)


def test_what_comes_with_the_server_tells_alone_and_fits_any_pack() -> None:
    found = read_policies(MONITOR, PACK, RESOLVER, 1.0)
    assert [policy.trigger.concept for policy in found.policies] == ["desperate"]
    assert not any(policy.program or policy.stops for policy in found.policies)


def test_a_request_has_those_for_all_and_those_it_names(path: Path) -> None:
    path.write_text(GOOD)
    policies = Policies(path, lambda p: read_policies(p, PACK, RESOLVER, 1.0), 8)

    def names(*named: str, operations: int = 0) -> list[str]:
        program: Any = SimpleNamespace(operations=(None,) * operations)
        found = policies.of_request(named, program, "spec")
        return [policy.name for policy in found]

    assert names() == ["desperate-rises", "enough"]
    assert names("keep-calm", "enough") == ["desperate-rises", "keep-calm", "enough"]
    assert names(operations=8) == ["desperate-rises", "enough"], "they add nothing"
    assert len(names("keep-calm", operations=6)) == 3
    with pytest.raises(ApiError) as caught:
        names("keep-calm", operations=7)
    assert caught.value.reason == "TOO_MANY_OPERATIONS"
    assert caught.value.metadata == {"field": "spec.program.operations", "value": "7", "limit": "6"}
    with pytest.raises(ApiError) as caught:
        names("enough", "keep-clam")
    assert caught.value.reason == "POLICY_NOT_FOUND"
    assert caught.value.metadata == {"field": "spec.policies[1]", "policy": "keep-clam"}
    assert "keep-calm" in caught.value.message


def test_a_changed_file_is_taken_and_a_bad_one_is_not(path: Path) -> None:
    path.write_text(GOOD)
    policies = Policies(path, lambda p: read_policies(p, PACK, RESOLVER, 1.0), 8)
    before = policies.current
    assert policies.refresh() is None
    path.write_text("version: 3")
    assert policies.refresh() is False
    assert policies.current is before
    assert policies.refresh() is None, "told once"
    path.unlink()
    assert policies.refresh() is False
    assert policies.current is before
    new = path.with_suffix(".new")
    new.write_text("version: 1\npolicies: []")
    os.replace(new, path)
    assert policies.refresh() is True
    assert policies.current.policies == ()
    assert policies.current.digest != before.digest


def test_without_a_file_there_are_none() -> None:
    policies = Policies(None, lambda p: pytest.fail("read"), 8)
    assert policies.refresh() is None
    assert policies.of_request([], Program(), "spec") == ()
