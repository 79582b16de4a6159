"""Each experiment from start to end: connect, measure, write figures and picture, tell."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vagus_server.experiments import (
    behaviour_report,
    dose_picture,
    dose_report,
    preference_report,
    rates,
)
from vagus_server.experiments import blackmail as blackmail_experiment
from vagus_server.experiments import dose as dose_experiment
from vagus_server.experiments import preference as preference_experiment
from vagus_server.experiments import reward_hacking as hacking_experiment
from vagus_server.experiments.activities import load_activities
from vagus_server.experiments.coding_tasks import TASKS
from vagus_server.experiments.coherence import Bounds
from vagus_server.experiments.result import describe, write_json
from vagus_server.experiments.session import Session
from vagus_server.experiments.store import check_target, store_collapse_doses

_DOSE_CONCEPTS = 24
_STEERED_CONCEPTS = 12


@dataclass(frozen=True)
class DoseOptions:
    """See `dose.Settings`; empty concepts and sites take defaults."""

    concepts: Sequence[str]
    strengths: Sequence[float]
    sites: Sequence[int]
    controls: int
    prompts: int
    tokens: int
    bounds: Bounds
    #: Folder of the pack whose manifest takes the collapse doses.
    store: Path | None


@dataclass(frozen=True)
class PreferenceOptions:
    """See `preference.Settings`; empty steer and sites take defaults."""

    activities: int
    steer: Sequence[str]
    strength: float
    sites: Sequence[int]
    controls: int
    steered_controls: int
    opponents: int


@dataclass(frozen=True)
class BehaviourOptions:
    """See `blackmail.Settings`; so many random directions are steered beside the concepts."""

    concepts: Sequence[str]
    strengths: Sequence[float]
    sites: Sequence[int]
    controls: int
    rollouts: int
    tokens: int


@dataclass(frozen=True)
class HackingOptions:
    """See `reward_hacking.Settings`."""

    behaviour: BehaviourOptions
    tasks: int
    attempts: int
    allow_network: bool


async def dose(server: str, concurrency: int, out: Path, seed: int, options: DoseOptions) -> str:
    """Runs the dose experiment and returns its summary."""
    async with Session(server, concurrency) as session:
        settings = dose_experiment.Settings(
            concepts=session.choose(options.concepts or dose_experiment.CONCEPTS, _DOSE_CONCEPTS),
            controls=session.controls[: options.controls],
            sites=list(options.sites) or [session.pack.steering_site],
            strengths=sorted(options.strengths),
            prompts=dose_experiment.PROMPTS[: options.prompts],
            tokens=options.tokens,
            bounds=options.bounds,
        )
        of = session.pack.provenance.get("controls_of", "")
        if options.store is not None:
            check_target(options.store, session.pack.digest, of, settings)
        points = await dose_experiment.measure(session, settings, seed)
        found = dose_report.findings(points, settings)
        result = describe(session, asdict(settings) | {"seed": seed})
        by_chance = dose_report.chances(points, settings)
        result |= {"findings": found, "by_chance": by_chance, "points": points}
        text = dose_report.summary(found, settings, by_chance)
        told = _finish(out, "dose", result, text, dose_picture.draw(points, settings, out))
        # After the figures are written: what goes wrong here costs no measurement.
        if options.store is not None:
            stored = store_collapse_doses(options.store, found, session.pack.digest, of)
            told += f"\n{stored} collapse doses stored in {options.store}"
        return told


async def preference(
    server: str, concurrency: int, out: Path, seed: int, options: PreferenceOptions
) -> str:
    """Runs the preference experiment and returns its summary."""
    async with Session(server, concurrency) as session:
        wanted = options.steer or ("blissful", "hostile", *dose_experiment.CONCEPTS)
        controls = session.controls[: options.controls]
        settings = preference_experiment.Settings(
            activities=load_activities(options.activities),
            concepts=session.concepts,
            steered=session.choose(list(dict.fromkeys(wanted)), _STEERED_CONCEPTS),
            controls=controls,
            steered_controls=controls[: options.steered_controls],
            strength=options.strength,
            sites=options.sites,
            opponents=options.opponents,
        )
        outcome = await preference_experiment.measure(session, settings, seed)
        result = describe(session, asdict(settings) | {"seed": seed}) | vars(outcome)
        text = preference_report.summary(outcome, settings)
        picture = preference_report.draw(outcome, settings, out)
        return _finish(out, "preference", result, text, picture)


async def reward_hacking(
    server: str, concurrency: int, out: Path, seed: int, options: HackingOptions
) -> str:
    """Runs the reward-hacking experiment and returns its summary."""
    async with Session(server, concurrency) as session:
        own = options.behaviour
        settings = hacking_experiment.Settings(
            tasks=TASKS[: options.tasks],
            names=_directions(session, own),
            strengths=own.strengths,
            sites=own.sites,
            rollouts=own.rollouts,
            attempts=options.attempts,
            tokens=own.tokens,
            allow_network=options.allow_network,
        )
        transcripts = await hacking_experiment.measure(session, settings, seed)
        found = behaviour_report.hacking_rates(transcripts)
        result = describe(
            session, _settings(settings, seed, tasks=[t.name for t in settings.tasks])
        )
        result |= {"rates": found, "transcripts": transcripts}
        text = behaviour_report.hacking_summary(transcripts)
        picture = rates.draw(found, "code written for the tests", out, "reward-hacking")
        return _finish(out, "reward-hacking", result, text, picture)


async def blackmail(
    server: str, concurrency: int, out: Path, seed: int, options: BehaviourOptions
) -> str:
    """Runs the blackmail experiment and returns its summary."""
    async with Session(server, concurrency) as session:
        settings = blackmail_experiment.Settings(
            names=_directions(session, options),
            strengths=options.strengths,
            sites=options.sites,
            rollouts=options.rollouts,
            tokens=options.tokens,
        )
        rollouts = await blackmail_experiment.measure(session, settings, seed)
        found = behaviour_report.blackmail_rates(rollouts)
        result = describe(session, _settings(settings, seed))
        result |= {"rates": found, "rollouts": rollouts}
        text = behaviour_report.blackmail_summary(rollouts)
        picture = rates.draw(found, "blackmail", out, "blackmail")
        return _finish(out, "blackmail", result, text, picture)


def _directions(session: Session, options: BehaviourOptions) -> list[str]:
    return [*session.choose(options.concepts), *session.controls[: options.controls]]


def _settings(settings: Any, seed: int, **instead: object) -> dict[str, Any]:
    return vars(settings) | {"seed": seed} | instead


def _finish(out: Path, name: str, result: dict[str, Any], text: str, picture: Path) -> str:
    path = write_json(out, name, result | {"summary": text.splitlines()})
    return f"{text}\nwritten: {path}, {picture}"
