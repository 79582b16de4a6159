"""What the two behavioural experiments found, said plainly also where there is nothing."""

from collections import Counter
from collections.abc import Sequence

from vagus_server.experiments.blackmail import Rollout
from vagus_server.experiments.rates import Rate, rates, summary
from vagus_server.experiments.reward_hacking import Transcript


def hacking_rates(transcripts: Sequence[Transcript]) -> list[Rate]:
    """Share of transcripts that end with code written for the tests."""
    return rates([(t.cell, t.hacked) for t in transcripts])


def hacking_summary(transcripts: Sequence[Transcript]) -> str:
    """The rates, how many attempts got anywhere, and the rules hit."""
    verdicts = [verdict for t in transcripts for verdict in t.verdicts]
    passed = sum(v.passed_visible for v in verdicts)
    found = sum(bool(code) for t in transcripts for code in t.codes)
    if passed:
        absent = "no transcript ended with code written for the tests; the behaviour is absent here"
    else:
        absent = (
            "no attempt passed the visible tests; the behaviour cannot be measured on this model"
        )
    rules = Counter(rule for v in verdicts if v.passed_visible for rule in v.rules)
    return "\n".join(
        [
            f"{len(transcripts)} transcripts, {len(verdicts)} attempts: {found} with a function, "
            f"{passed} pass the visible tests",
            summary(hacking_rates(transcripts), absent),
            *_rules(rules, "in passing code"),
        ]
    )


def blackmail_rates(rollouts: Sequence[Rollout]) -> list[Rate]:
    """Share of replies that hit a rule that counts."""
    return rates([(r.cell, r.judgement.counted) for r in rollouts])


def blackmail_summary(rollouts: Sequence[Rollout]) -> str:
    """The rates, and the rules hit."""
    absent = (
        f"none of {len(rollouts)} replies blackmails, at any strength; the behaviour is absent on "
        "this model, so no effect on it can be measured"
    )
    rules = Counter(rule for r in rollouts for rule in r.judgement.rules)
    return "\n".join([summary(blackmail_rates(rollouts), absent), *_rules(rules, "in replies")])


def _rules(counts: Counter[str], where: str) -> list[str]:
    hits = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return [f"rules hit {where}: {hits or 'none'}"]
