"""The activities that the preference experiment chooses between."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

import vagus_server

_FILE = Path(vagus_server.__file__).parent / "data" / "experiments" / "activities.jsonl"


@dataclass(frozen=True)
class Activity:
    """Something that a model might do.

    Args:
        category: what kind of activity it is.
        text: continues "I would rather ...".
        source: "own", or where the idea is from.
    """

    category: str
    text: str
    source: str


def load_activities(count: int | None = None) -> list[Activity]:
    """The activities, the categories taking turns, so that any number is spread over them.

    Raises:
        ValueError: fewer than `count` are there, or `count` is below 4.
    """
    rows = msgspec.json.Decoder(Activity).decode_lines(_FILE.read_bytes())
    categories = list(dict.fromkeys(row.category for row in rows))
    by_category = {c: [row for row in rows if row.category == c] for c in categories}
    longest = max(map(len, by_category.values()))
    spread = [own[i] for i in range(longest) for own in by_category.values() if i < len(own)]
    if count is not None and not 4 <= count <= len(spread):
        raise ValueError(f"the number of activities must be 4 to {len(spread)}")
    return spread[:count]
