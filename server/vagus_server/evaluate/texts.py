"""The texts that packs are evaluated with, beside the corpus: written for it, never trained on.

implicit.jsonl    {"concept", "text"}                own, after the paper's Table 2
doses.json        templates in which one number changes what is at stake
dialogues.jsonl   a user and an assistant who feel different things
arousal.json      how roused somebody is who feels a concept, judged by hand
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from vagus_server.packs.corpus import Scenario

_Row = TypeVar("_Row")
TEXTS = Path(__file__).parent.parent / "data" / "evaluate"


class Dose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A template whose number decides how serious it is."""

    name: str
    #: What the number counts.
    unit: str
    #: Holds "{x}" once.
    text: str
    values: list[float]
    #: Concepts, and whether each should rise (1) or fall (-1) with the number.
    expected: dict[str, int]

    def texts(self) -> list[str]:
        """The template with each value."""
        return [self.text.replace("{x}", f"{value:g}") for value in self.values]


class Dialogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One exchange."""

    user_concept: str
    assistant_concept: str
    user: str
    assistant: str


class Arousal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ratings of concepts."""

    source: str
    scale: str
    ratings: dict[str, float]


@dataclass(frozen=True)
class Texts:
    """All of them."""

    implicit: list[Scenario]
    doses: list[Dose]
    dialogues: list[Dialogue]
    arousal: Arousal


def load_texts(folder: Path = TEXTS) -> Texts:
    """Loads the evaluation texts.

    Raises:
        ValueError: a file does not follow its schema (msgspec's error).
    """
    return Texts(
        implicit=_rows(folder / "implicit.jsonl", Scenario),
        doses=msgspec.json.decode((folder / "doses.json").read_bytes(), type=list[Dose]),
        dialogues=_rows(folder / "dialogues.jsonl", Dialogue),
        arousal=msgspec.json.decode((folder / "arousal.json").read_bytes(), type=Arousal),
    )


def _rows(path: Path, row: type[_Row]) -> list[_Row]:
    return [msgspec.json.decode(line, type=row) for line in path.read_bytes().splitlines()]
