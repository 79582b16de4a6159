"""The file of policies: its schema, and what it means for a model and its pack."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vagus.v1 import steering_pb2
from vagus_server.errors import ApiError
from vagus_server.packs.pack import Pack
from vagus_server.policies.policy import Policy, Trigger
from vagus_server.steering.program import Program
from vagus_server.steering.resolve import Resolver
from vagus_server.steering.scope import PromptMap

#: Watches every request, and changes none.
MONITOR = Path(__file__).parents[1] / "data" / "policies" / "monitor.yaml"

_MOST = 32
_LARGEST = 1 << 20

Tokens = Annotated[int, Field(ge=1, le=4096)]
Z = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


class PolicyError(ValueError):
    """The file cannot be used. Says where and why."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class When(_Strict):
    """A condition; see `policy.Trigger`."""

    concept: str
    z_at_least: Z | None = None
    until_below: Z | None = None
    z_at_most: Z | None = None
    until_above: Z | None = None
    smoothing_tokens: Tokens = 16
    after_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @model_validator(mode="after")
    def _bounds(self) -> "When":
        if (self.z_at_least is None) == (self.z_at_most is None):
            raise ValueError("set exactly one of z_at_least and z_at_most")
        if self.z_at_least is not None and self.until_above is not None:
            raise ValueError("until_above goes with z_at_most")
        if self.z_at_most is not None and self.until_below is not None:
            raise ValueError("until_below goes with z_at_least")
        if self.z_at_least is not None and self.cease > self.z_at_least:
            raise ValueError("until_below is above z_at_least")
        if self.z_at_most is not None and self.cease < self.z_at_most:
            raise ValueError("until_above is below z_at_most")
        return self

    @property
    def begin(self) -> float:
        """The bound at which it begins."""
        bound = self.z_at_most if self.z_at_least is None else self.z_at_least
        assert bound is not None
        return bound

    @property
    def cease(self) -> float:
        """The bound past which it ceases."""
        bound = self.until_above if self.z_at_least is None else self.until_below
        return self.begin if bound is None else bound


class Steer(_Strict):
    """An addition while the policy acts."""

    concept: str
    dose: Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]
    sites: tuple[Annotated[int, Field(ge=0)], ...] = ()
    ramp_tokens: Tokens | None = None


class Entry(_Strict):
    """One policy as it is written."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    description: Annotated[str, Field(max_length=500)] = ""
    severity: Literal["info", "warning", "critical"] = "warning"
    every_request: bool = True
    when: When
    steer: tuple[Steer, ...] = ()
    stop: bool = False


class File(_Strict):
    """The whole file."""

    version: Literal[1]
    policies: Annotated[tuple[Entry, ...], Field(max_length=_MOST)]

    @model_validator(mode="after")
    def _names(self) -> "File":
        names = [entry.name for entry in self.policies]
        if len(set(names)) < len(names):
            raise ValueError("two policies have the same name")
        return self


@dataclass(frozen=True)
class PolicySet:
    """The policies in force: as written and as run, in the order of the file.

    `digest` is the file's SHA-256, or empty where there is none.
    """

    entries: tuple[Entry, ...] = ()
    policies: tuple[Policy, ...] = ()
    digest: str = ""


def read_policies(path: Path, pack: Pack, resolver: Resolver, max_dose: float) -> PolicySet:
    """Reads and resolves a file.

    Of MONITOR, which comes with the server, policies on concepts that the pack lacks are left out.

    Args:
        path: the file.
        pack: of the model that is served.
        resolver: resolves what policies add.
        max_dose: bound on what all policies together can add to a request.

    Raises:
        PolicyError: it cannot be read, or something in it cannot be done.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise PolicyError(f"{path}: has {len(data)} bytes; at most {_LARGEST} are read")
    try:
        file = File.model_validate(yaml.safe_load(data))
    except yaml.YAMLError as error:
        raise PolicyError(f"{path}: is not YAML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise PolicyError(f"{path}: {where}: {first['msg']}") from None
    entries = file.policies
    if path == MONITOR:
        entries = tuple(entry for entry in entries if entry.when.concept in pack.index)
    policies = []
    for entry in entries:
        try:
            policies.append(_policy(entry, pack, resolver))
        except ApiError as error:
            raise PolicyError(f"{path}: {entry.name}: {error.message}") from None
        except PolicyError as error:
            raise PolicyError(f"{path}: {entry.name}: {error}") from None
    dose = sum(policy.program.dose for policy in policies)
    if dose > max_dose * (1 + 1e-6):
        raise PolicyError(
            f"{path}: all policies together add a dose of {dose:.3g} mean residual norms; the "
            f"server's limit is {max_dose:g}"
        )
    return PolicySet(entries, tuple(policies), hashlib.sha256(data).hexdigest())


def _policy(entry: Entry, pack: Pack, resolver: Resolver) -> Policy:
    when, site = entry.when, pack.readout_site
    column = pack.index.get(when.concept)
    if column is None:
        raise PolicyError(f"the pack {pack.name} has no concept {when.concept}")
    trigger = Trigger(
        concept=when.concept,
        column=column,
        mean=float(pack.reference_mean[column, site]),
        deviation=float(pack.reference_std[column, site]),
        below=when.z_at_least is None,
        begin=when.begin,
        cease=when.cease,
        smoothing=when.smoothing_tokens,
        after=when.after_tokens,
    )
    return Policy(entry.name, trigger, entry.severity, _program(entry, resolver), entry.stop)


def _program(entry: Entry, resolver: Resolver) -> Program:
    message = steering_pb2.Program()
    for steer in entry.steer:
        operation = message.operations.add(concept=steer.concept, sites=steer.sites)
        operation.add.strength = steer.dose
        operation.add.unit = steering_pb2.STRENGTH_UNIT_RESIDUAL
        if steer.ramp_tokens is not None:
            operation.envelope.ramp_tokens = steer.ramp_tokens
    # Its envelopes count from where the policy begins to act (`plugin.course`).
    return resolver.resolve(message, PromptMap(0), "steer")
