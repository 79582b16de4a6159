"""Small corpora of made-up words, as users would give them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

CONCEPTS, TOPICS = ("calm", "sad", "tense"), ("harbour", "kitchen")


def folder_corpus(folder: Path, person: Callable[[int], str]) -> Path:
    """A folder in the bundled corpus's format: three concepts on two topics.

    Args:
        folder: to be filled.
        person: of a topic's story, by its number from 0 on.
    """
    (folder / "stories").mkdir()
    meanings = {name: {"means": f"how {name} feels", "banned": [name]} for name in CONCEPTS}
    (folder / "concepts.json").write_text(json.dumps(meanings))
    prompts = {"reference": ["Name a fruit."], "steering": ["Tell me about your day."]}
    (folder / "prompts.json").write_text(json.dumps(prompts))
    neutral = [{"kind": "text", "topic": "shop", "text": f"It opens at {i}."} for i in range(5)]
    _write(folder / "neutral.jsonl", neutral)
    _write(folder / "scenarios.jsonl", [])
    for topic in TOPICS:
        rows = [
            {
                "concept": name,
                "topic": topic,
                "person": person(i),
                "text": " ".join(f"{topic}{i}x{j % 9}" for j in range(80)),
            }
            for i, name in enumerate(CONCEPTS)
        ]
        _write(folder / "stories" / f"{topic}.jsonl", rows)
    return folder


def sides_file(path: Path, concepts: Sequence[str]) -> Path:
    """JSON lines of contrasts, their rows mixed: five positive texts of each, six negative."""
    rows = [
        {"concept": name, "side": side, "text": f"{name} {side} {i}"}
        for i in range(6)
        for name in concepts
        for side in ("negative", "positive")
        if i < 5 or side == "negative"
    ]
    return _write(path, rows)


def stories_file(path: Path, concepts: Sequence[str]) -> Path:
    """JSON lines of stories: six of each concept, on three topics."""
    rows = [
        {"concept": name, "topic": f"topic {i % 3}", "text": f"so {name} {name}{i % 2} {name}{i}"}
        for i in range(6)
        for name in concepts
    ]
    return _write(path, rows)


def neutral_file(path: Path) -> Path:
    """JSON lines of twelve neutral texts."""
    return _write(path, [{"text": f"it opens{i} at {i} in{i}"} for i in range(12)])


def _write(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
