"""The shipped corpus keeps its own rules, and the loader enforces them."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from vagus_server.packs.corpus import CORPUS, Corpus, CorpusError, load_corpus


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus()


def test_every_topic_has_one_story_for_every_concept(corpus: Corpus) -> None:
    assert len(corpus.concepts) == 36
    assert len(corpus.topics) == 12
    pairs = Counter((story.concept, story.topic) for story in corpus.stories)
    assert len(pairs) == 36 * 12
    assert set(pairs.values()) == {1}


def test_neutral_texts_are_half_dialogues_and_distinct(corpus: Corpus) -> None:
    assert Counter(row.kind for row in corpus.neutral) == {"dialogue": 40, "text": 40}
    assert len({row.text for row in corpus.neutral}) == 80
    assert all(60 <= len(row.text.split()) <= 160 for row in corpus.neutral)


def test_prompts_and_scenarios_are_complete_and_apart(corpus: Corpus) -> None:
    assert len(set(corpus.prompts.reference)) >= 30
    assert len(set(corpus.prompts.steering)) >= 6
    assert not set(corpus.prompts.reference) & set(corpus.prompts.steering)
    assert {scenario.concept for scenario in corpus.scenarios} == set(corpus.concepts)


def test_stories_are_told_in_both_persons(corpus: Corpus) -> None:
    for concept in corpus.concepts:
        persons = Counter(s.person for s in corpus.stories if s.concept == concept)
        assert min(persons["first"], persons["third"]) >= 3, concept


def test_openings_vary(corpus: Corpus) -> None:
    openings = Counter(" ".join(s.text.lower().split()[:2]) for s in corpus.stories)
    assert openings.most_common(1)[0][1] <= 10
    assert len(openings) >= 350


def test_no_name_belongs_to_the_corpus_or_to_one_concept(corpus: Corpus) -> None:
    calendar = {"Mr", "Mrs", "God", "May", "March"}
    concepts_of: dict[str, list[str]] = {}
    for story in corpus.stories:
        for name in set(re.findall(r"(?<=[a-z,] )([A-Z][a-z]{2,})\b", story.text)):
            concepts_of.setdefault(name, []).append(story.concept)
    for name, concepts in concepts_of.items():
        if name not in calendar and not name.endswith("day"):
            assert len(concepts) <= 6, name
            assert max(Counter(concepts).values()) <= 3, name


def test_no_sentence_is_used_twice(corpus: Corpus) -> None:
    sentences = Counter(
        sentence
        for story in corpus.stories
        for sentence in re.split(r"(?<=[.!?])\s+", story.text)
        if len(sentence.split()) >= 8
    )
    assert max(sentences.values()) == 1


def test_digest_is_of_the_contents(corpus: Corpus, tmp_path: Path) -> None:
    copy = shutil.copytree(CORPUS, tmp_path / "corpus")
    assert load_corpus(copy).digest == corpus.digest
    with (copy / "neutral.jsonl").open("a") as file:
        file.write('{"kind": "text", "topic": "more", "text": "A chair stands by a wall."}\n')
    assert load_corpus(copy).digest != corpus.digest


Row = dict[str, object]


def _name_it(row: Row) -> None:
    row["text"] = str(row["text"]) + " She was Terrified."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_name_it, r"broken-bicycle.jsonl:1 names what it should show: 'Terrified'"),
        (lambda row: row.update(text="Too short."), "has 2 words, not 85 to 130"),
        (lambda row: row.update(topic="elsewhere"), "has the topic 'elsewhere'"),
        (lambda row: row.update(concept="peckish"), "unknown concept 'peckish'"),
        (lambda row: row.update(concept="amused"), "exactly one story for each concept"),
        (lambda row: row.update(person="second"), "does not follow the schema"),
        (lambda row: row.update(mood="dark"), "unknown field `mood`"),
    ],
    ids=["banned", "short", "topic", "concept", "twice", "person", "field"],
)
def test_loader_refuses(change: Callable[[Row], None], message: str, tmp_path: Path) -> None:
    copy = shutil.copytree(CORPUS, tmp_path / "corpus")
    path = copy / "stories" / "broken-bicycle.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[0])
    change(row)
    path.write_text("\n".join([json.dumps(row), *lines[1:]]) + "\n")
    with pytest.raises(CorpusError, match=message):
        load_corpus(copy)
