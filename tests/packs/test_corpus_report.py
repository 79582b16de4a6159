"""The report finds what is planted in a small corpus."""

from typing import Any, Literal

import pytest

from vagus_server.packs.corpus import Concept, Corpus, Prompts, Story
from vagus_server.packs.corpus_report import report

CONCEPTS = ("calm", "glad", "tense")
MARKS = {"calm": "harbours", "glad": "whistled", "tense": "knuckles"}
SHARED = "one two three four five six seven eight nine ten"


def _story(concept: str, topic: str, person: Literal["first", "third"], text: str) -> Story:
    return Story(concept, topic, person, f"{concept}ish {_words(topic)} {text}")


def _words(topic: str) -> str:
    return " ".join(f"{topic}{a}{b}" for a in "abcdefgh" for b in "abcdefghij")


def _report(other_text: str = "Something else was there") -> dict[str, Any]:
    stories = [
        _story(concept, topic, "first" if concept == "glad" else "third", MARKS[concept])
        for topic in ("ferry", "snow", "fence")
        for concept in CONCEPTS
    ]
    other = [
        _story(concept, "radio", "first", f"{MARKS[concept]} {SHARED}") for concept in CONCEPTS
    ]
    other[0] = _story("calm", "radio", "first", other_text)
    return report(
        Corpus(
            concepts={name: Concept(name, []) for name in CONCEPTS},
            stories=stories,
            other=other,
            earlier=[],
            neutral=[],
            prompts=Prompts([], []),
            scenarios=[],
            digest="",
        )
    )


def test_words_that_give_a_concept_away_are_found_and_read() -> None:
    found = _report()
    assert found["giveaways"] == {
        "calm": ["calmish", "harbour"],
        "glad": ["gladish", "whistl"],
        "tense": ["knuckl", "tenseish"],
    }
    words = found["words_alone"]
    assert words["topic_left_out"]["top1"] == 1
    assert words["topic_left_out_first_ten_words"]["top1"] == 1
    assert words["other_without_pronouns"]["top1"] == 1
    assert words["chance_top1"] == pytest.approx(1 / 3, abs=1e-4)


def test_persons_and_sets_are_counted() -> None:
    found = _report()
    assert found["told_in_one_person_only"] == 3
    assert {name: figures["stories"] for name, figures in found["sets"].items()} == {
        "stories": 9,
        "other": 3,
    }
    assert found["sets"]["stories"]["first_person"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["sets"]["stories"]["type_token_ratio_of_70_words"] == 1


def test_runs_of_words_that_sets_share_are_counted() -> None:
    copied = " ".join(_words("ferry").split()[:8])
    before, after = _report()["overlap"], _report(copied)["overlap"]
    assert before["stories_that_share_a_run_with_another_set"] == 0
    assert after["stories_that_share_a_run_with_another_set"] == 4  # three of the ferry, and it
    assert before["most_runs_that_the_same_stories_share"] == 80 - 8 + 1
