"""The shipped corpus keeps its own rules, and the loader enforces them."""

import calendar
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from vagus_server.packs.corpus import CORPUS, Corpus, CorpusError, load_corpus
from vagus_server.packs.wording import Banned, words

#: Capitalised words that any story may use: the calendar, titles and kin.
NOT_NAMES = {
    *(day + s for day in calendar.day_name for s in ("", "s")),
    *calendar.month_name,
    *("Easter", "Christmas", "Lent", "Mrs", "Miss", "Sister", "Professor", "Uncle", "Auntie"),
    *("Aunt", "Mother", "Father", "Dad", "Mum", "Mama", "Papa", "Grandfather", "Grandmother"),
    *("God", "Street", "Old", "Big"),
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus()


def test_the_concepts_are_the_171_of_the_paper(corpus: Corpus) -> None:
    names = (Path(__file__).parent / "emotions_171.txt").read_text().splitlines()
    assert sorted(corpus.concepts) == sorted(names)
    assert len(set(names)) == 171


def test_every_topic_has_one_story_for_every_concept(corpus: Corpus) -> None:
    assert len(corpus.topics) == 16
    assert len({story.topic for story in corpus.other}) == 2
    assert len({story.topic for story in corpus.earlier}) == 12
    pairs = Counter((s.concept, s.topic) for s in corpus.stories + corpus.other)
    assert len(pairs) == 171 * 18
    assert set(pairs.values()) == {1}
    assert len(corpus.earlier) == 429


def test_no_topic_is_in_two_sets(corpus: Corpus) -> None:
    sets = [{s.topic for s in told} for told in (corpus.stories, corpus.other, corpus.earlier)]
    assert sum(map(len, sets)) == len(set.union(*sets))


def test_neutral_texts_are_distinct_and_of_two_kinds(corpus: Corpus) -> None:
    assert len({row.text for row in corpus.neutral}) == 220
    assert min(Counter(row.kind for row in corpus.neutral).values()) >= 100
    assert all(60 <= len(row.text.split()) <= 160 for row in corpus.neutral)


def test_prompts_and_scenarios_are_complete_and_apart(corpus: Corpus) -> None:
    assert len(set(corpus.prompts.reference)) >= 30
    assert len(set(corpus.prompts.steering)) >= 6
    assert not set(corpus.prompts.reference) & set(corpus.prompts.steering)
    assert len({scenario.concept for scenario in corpus.scenarios}) == 36


def test_half_of_the_stories_are_in_the_first_person(corpus: Corpus) -> None:
    for told in (corpus.stories, corpus.other):
        first = sum(story.person == "first" for story in told)
        assert abs(first / len(told) - 0.5) < 0.01


def test_no_concept_belongs_to_one_person(corpus: Corpus) -> None:
    told = Counter((story.concept, story.person) for story in corpus.stories)
    for concept in corpus.concepts:
        assert 7 <= told[concept, "first"] <= 9, concept


def test_stories_said_to_be_in_the_first_person_say_i(corpus: Corpus) -> None:
    me = re.compile(r"\b(I|I'm|I've|I'd|I'll|me|my|we|us|our)\b")
    told = [s for s in corpus.stories + corpus.other if s.person == "first"]
    assert [(s.topic, s.concept) for s in told if not me.search(s.text)] == []


def test_openings_vary(corpus: Corpus) -> None:
    told = corpus.stories + corpus.other
    openings = Counter(" ".join(words(s.text)[:2]) for s in told)
    assert openings.most_common(1)[0][1] <= 0.02 * len(told)
    assert len(openings) >= 0.65 * len(told)


def test_no_name_belongs_to_the_corpus_or_to_one_concept(corpus: Corpus) -> None:
    concepts_of: dict[str, list[str]] = {}
    for story in corpus.stories:
        for name in set(re.findall(r"(?<=[a-z,] )([A-Z][a-z]{2,})\b", story.text)) - NOT_NAMES:
            concepts_of.setdefault(name, []).append(story.concept)
    for name, concepts in concepts_of.items():
        assert len(concepts) <= 14, name
        assert max(Counter(concepts).values()) <= 4, name


def test_no_long_sentence_is_used_twice(corpus: Corpus) -> None:
    sentences = Counter(
        sentence
        for story in corpus.stories + corpus.other + corpus.earlier
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
        (_name_it, r"stories/ferry-crossing.jsonl:1 names what it should show: 'terrify'"),
        (lambda row: row.update(text="Too short."), "has 2 words, not 70 to 130"),
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
    path = copy / "stories" / "ferry-crossing.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[0])
    change(row)
    path.write_text("\n".join([json.dumps(row), *lines[1:]]) + "\n")
    with pytest.raises(CorpusError, match=message):
        load_corpus(copy)


def test_a_text_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(CORPUS, tmp_path / "corpus")
    story = json.loads((copy / "other" / "river-swim.jsonl").read_text().splitlines()[0])
    path = copy / "earlier" / "woods-walk.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [row for row in lines if row["concept"] != story["concept"]]
    kept.append({**story, "topic": "woods-walk"})
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    with pytest.raises(CorpusError, match="a text is in the corpus 2 times"):
        load_corpus(copy)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("They worriedly waited.", "worry"),
        ("It was good for nothing.", "good for nothing"),
        ("A good-for-nothing day.", "good for nothing"),
        ("What good is it, for nothing?", None),
        ("They worry", "worry"),
        ("Worsted wool", None),
        ("Don\N{RIGHT SINGLE QUOTATION MARK}t", "don't"),
    ],
)
def test_banned_words_are_found_by_their_stems(text: str, found: str | None) -> None:
    assert Banned(["worry", "good for nothing", "don't"]).found_in(text) == found
