"""Corpora of users are read exactly, and a bad row is refused by number or left out by reason."""

import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from vagus_server.packs.corpus import load_corpus
from vagus_server.packs.tally import MAX_CONCEPTS, Sides
from vagus_server.packs.user_corpus import Rules, Side, Story, open_corpus
from vagus_server.packs.user_rows import (
    MAX_ROW_BYTES,
    MAX_TEXT_CHARACTERS,
    BadRow,
    Reason,
    UserCorpusError,
)

SKIP = Rules(on_bad="skip")


def good_rows() -> list[dict[str, Any]]:
    """Two concepts with six stories each on three topics, and a contrast of five a side."""
    stories = [
        {"concept": concept, "text": f"{concept} story {i}", "topic": f"topic {i % 3}"}
        for i in range(6)
        for concept in ("calm", "on edge")
    ]
    sides = [
        {"concept": "formal", "side": side, "text": f"{side} text {i}"}
        for i in range(5)
        for side in ("positive", "negative")
    ]
    return stories + sides


def write(path: Path, rows: Iterable[dict[str, Any] | bytes]) -> Path:
    lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = good_rows()
    corpus = open_corpus(write(tmp_path / "mine.jsonl", rows))
    assert corpus.stories == {"calm": 6, "on edge": 6}
    assert corpus.contrasts == {"formal": Sides(5, 5)}
    assert corpus.topics == ["topic 0", "topic 1", "topic 2"]
    assert corpus.skipped == {}
    assert list(corpus.iter_stories()) == [
        Story(row["concept"], row["topic"], row["text"]) for row in rows if "topic" in row
    ]
    assert list(corpus.iter_stories()) == list(corpus.iter_stories())
    assert list(corpus.iter_sides()) == [
        Side("formal", row["side"] == "positive", row["text"]) for row in rows if "side" in row
    ]
    bundled = [row.text for row in load_corpus().neutral]
    assert list(corpus.iter_neutral()) == bundled
    assert corpus.neutral == len(bundled)


def test_the_bundled_stories_are_a_user_corpus_too(tmp_path: Path) -> None:
    stories = load_corpus().stories
    rows = ({"concept": s.concept, "topic": s.topic, "text": s.text} for s in stories)
    corpus = open_corpus(write(tmp_path / "bundled.jsonl", rows))
    assert set(corpus.stories.values()) == {16}
    assert [story.text for story in corpus.iter_stories()] == [story.text for story in stories]


def test_stories_without_topics_get_parts_in_turn(tmp_path: Path) -> None:
    rows = [{"concept": c, "text": f"{c} {i}"} for c in ("calm", "on edge") for i in range(7)]
    corpus = open_corpus(write(tmp_path / "mine.jsonl", rows))
    assert corpus.topics == ["part 1", "part 2", "part 3", "part 4", "part 5"]
    calm = [s.topic for s in corpus.iter_stories() if s.concept == "calm"]
    assert calm == ["part 1", "part 2", "part 3", "part 4", "part 5", "part 1", "part 2"]


def test_the_digest_is_of_both_files(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", good_rows())
    neutral = write(tmp_path / "neutral.jsonl", [{"text": f"neutral {i}"} for i in range(10)])
    digests = {open_corpus(path).digest, open_corpus(path, neutral).digest}
    write(path, [*good_rows(), {"concept": "calm", "text": "one more", "topic": "topic 0"}])
    digests |= {open_corpus(path).digest, open_corpus(path, neutral).digest}
    assert len(digests) == 4


BAD: list[tuple[str, dict[str, Any] | bytes, Reason]] = [
    ("not JSON", b"{concept: calm}", Reason.NOT_JSON),
    ("cut off", b'{"concept": "calm", "text": "a', Reason.NOT_JSON),
    ("empty line", b"", Reason.NOT_JSON),
    ("deep", b"[" * 100_000, Reason.NOT_JSON),
    ("long number", b'{"concept": ' + b"9" * 10_000 + b"}", Reason.NOT_JSON),
    ("twice", b'{"concept": "calm", "concept": "calm", "text": "a"}', Reason.NOT_JSON),
    ("mark", b'\xef\xbb\xbf{"concept": "calm", "text": "a"}', Reason.NOT_JSON),
    ("Latin-1", '{"concept": "calm", "text": "é"}'.encode("latin-1"), Reason.NOT_UTF8),
    ("half pair", b'{"concept": "calm", "text": "a\\ud800"}', Reason.NOT_UTF8),
    ("list", b'["calm", "a"]', Reason.NOT_AN_OBJECT),
    ("null", b"null", Reason.NOT_AN_OBJECT),
    ("no text", {"concept": "calm"}, Reason.MISSING_FIELD),
    ("no concept", {"text": "a"}, Reason.MISSING_FIELD),
    ("further field", {"concept": "calm", "text": "a", "mood": "b"}, Reason.UNKNOWN_FIELD),
    (
        "side and topic",
        {"concept": "formal", "side": "positive", "text": "a", "topic": "b"},
        Reason.UNKNOWN_FIELD,
    ),
    ("text is a number", {"concept": "calm", "text": 1}, Reason.WRONG_TYPE),
    ("text is null", {"concept": "calm", "text": None}, Reason.WRONG_TYPE),
    ("concept is a list", {"concept": ["calm"], "text": "a"}, Reason.WRONG_TYPE),
    ("no letters", {"concept": "calm", "text": " \n\t"}, Reason.EMPTY_TEXT),
    ("nothing", {"concept": "calm", "text": ""}, Reason.EMPTY_TEXT),
    ("a million", {"concept": "calm", "text": "a" * 1_000_000}, Reason.TEXT_TOO_LONG),
    (
        "just over",
        {"concept": "calm", "text": "a" * (MAX_TEXT_CHARACTERS + 1)},
        Reason.TEXT_TOO_LONG,
    ),
    ("huge", {"concept": "calm", "text": "a" * (5 * MAX_ROW_BYTES)}, Reason.ROW_TOO_LONG),
    ("path", {"concept": "../calm", "text": "a"}, Reason.BAD_CONCEPT_NAME),
    ("NUL", {"concept": "calm\0", "text": "a"}, Reason.BAD_CONCEPT_NAME),
    ("line end", {"concept": "calm\n", "text": "a"}, Reason.BAD_CONCEPT_NAME),
    ("no name", {"concept": "", "text": "a"}, Reason.BAD_CONCEPT_NAME),
    ("long name", {"concept": "a" * 65, "text": "a"}, Reason.BAD_CONCEPT_NAME),
    ("other side", {"concept": "formal", "side": "both", "text": "a"}, Reason.BAD_SIDE),
    ("empty topic", {"concept": "calm", "text": "a", "topic": " "}, Reason.BAD_TOPIC),
    ("same text", {"concept": "on edge", "text": "calm story 0"}, Reason.DUPLICATE_TEXT),
    ("stories and sides", {"concept": "calm", "side": "positive", "text": "a"}, Reason.TWO_KINDS),
]


@pytest.mark.parametrize(("row", "reason"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_row_is_refused_with_its_number_or_left_out(
    tmp_path: Path, row: dict[str, Any] | bytes, reason: Reason
) -> None:
    rows: list[dict[str, Any] | bytes] = [*good_rows()]
    path = write(tmp_path / "mine.jsonl", [*rows[:8], row, *rows[8:]])
    with pytest.raises(UserCorpusError, match=rf"^mine\.jsonl:9: {reason}: ") as refused:
        open_corpus(path)
    assert (refused.value.row, refused.value.reason) == (9, reason)
    assert len(str(refused.value)) < 200
    corpus = open_corpus(path, rules=SKIP)
    assert corpus.skipped == {reason: 1}
    clean = open_corpus(write(tmp_path / "clean.jsonl", rows))
    assert list(corpus.iter_stories()) == list(clean.iter_stories())
    assert list(corpus.iter_sides()) == list(clean.iter_sides())


def length(text: str) -> BadRow | None:
    """For a model that takes 20 characters."""
    if len(text) > 20:
        return BadRow(Reason.TOO_MANY_TOKENS, f"{len(text)}, of which the model takes 20")
    return None


def test_a_text_that_the_model_cannot_take_is_refused_or_left_out(tmp_path: Path) -> None:
    good = good_rows()
    long = {"concept": "calm", "text": "a story that is too long", "topic": "topic 1"}
    # The same text again breaks no other rule, since the first one does not count.
    path = write(tmp_path / "mine.jsonl", [*good[:4], long, *good[4:], long])
    neutral = [{"text": f"neutral {i}"} for i in range(11)]
    other = write(tmp_path / "n.jsonl", [*neutral, {"text": "n" * 21}])
    with pytest.raises(UserCorpusError, match=r"^mine\.jsonl:5: too many tokens: 24, of which"):
        open_corpus(path, other, rules=Rules(length=length))
    asked = []
    rules = Rules(on_bad="skip", length=lambda text: asked.append(text) or length(text))
    corpus = open_corpus(path, other, rules)
    assert corpus.skipped == {Reason.TOO_MANY_TOKENS: 3}
    once = len(asked)
    clean = open_corpus(write(tmp_path / "clean.jsonl", good))
    for _ in range(2):
        assert list(corpus.iter_stories()) == list(clean.iter_stories())
        assert list(corpus.iter_sides()) == list(clean.iter_sides())
        assert list(corpus.iter_neutral()) == [row["text"] for row in neutral]
    assert len(asked) == once  # counting tokens is dear


def test_texts_of_just_the_limit_are_read(tmp_path: Path) -> None:
    text = "\N{SMILING FACE WITH SUNGLASSES}" * MAX_TEXT_CHARACTERS  # 12 bytes each in JSON
    row = {"concept": "calm", "text": text, "topic": "long"}
    corpus = open_corpus(write(tmp_path / "mine.jsonl", [*good_rows(), row]))
    assert [s.text for s in corpus.iter_stories()][-1] == text


def test_a_file_need_not_end_in_a_line_end(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", good_rows())
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert open_corpus(path).contrasts == {"formal": Sides(5, 5)}


def test_a_concept_that_is_not_on_the_list_is_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", good_rows())
    allowed = frozenset({"calm", "on edge"})
    with pytest.raises(UserCorpusError, match=r"mine\.jsonl:13: unknown concept: 'formal'"):
        open_corpus(path, rules=Rules(concepts=allowed))
    corpus = open_corpus(path, rules=Rules(on_bad="skip", concepts=allowed))
    assert corpus.contrasts == {}
    assert corpus.skipped == {Reason.UNKNOWN_CONCEPT: 10}


def test_a_concept_with_too_little_is_refused_or_left_out_whole(tmp_path: Path) -> None:
    poor = [
        *({"concept": "glad", "text": f"glad {i}", "topic": f"topic {i}"} for i in range(4)),
        *({"concept": "bored", "text": f"bored {i}", "topic": "topic 0"} for i in range(6)),
        *({"concept": "terse", "side": "positive", "text": f"terse {i}"} for i in range(6)),
    ]
    path = write(tmp_path / "mine.jsonl", [*good_rows(), *poor])
    with pytest.raises(
        UserCorpusError, match=r"mine\.jsonl: too few topics: 'bored' has one topic"
    ):
        open_corpus(path)
    corpus = open_corpus(path, rules=SKIP)
    assert corpus.skipped == {Reason.TOO_FEW_TEXTS: 10, Reason.TOO_FEW_TOPICS: 6}
    assert set(corpus.stories) == {"calm", "on edge"}
    assert {story.concept for story in corpus.iter_stories()} == {"calm", "on edge"}
    write(path, [*good_rows(), *poor[:4]])
    with pytest.raises(
        UserCorpusError, match="too few texts: 'glad' has 4 stories, not at least 5"
    ):
        open_corpus(path)
    write(path, [*good_rows(), *poor[10:]])
    with pytest.raises(UserCorpusError, match="'terse' has 0 texts on a side, not at least 5"):
        open_corpus(path)


@pytest.mark.parametrize("rules", [Rules(), SKIP], ids=["refuse", "skip"])
def test_a_corpus_with_nothing_to_compare_is_refused(tmp_path: Path, rules: Rules) -> None:
    one = [row for row in good_rows() if row["concept"] == "calm"]
    for rows in ([], one):
        path = write(tmp_path / "mine.jsonl", rows)
        with pytest.raises(UserCorpusError, match="two concepts or more, or a contrast"):
            open_corpus(path, rules=rules)


def test_neutral_texts_are_checked_likewise(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", good_rows())
    rows: list[dict[str, Any] | bytes] = [{"text": f"neutral {i}"} for i in range(12)]
    neutral = write(tmp_path / "neutral.jsonl", [*rows, {"text": "neutral 3"}, b"?"])
    with pytest.raises(UserCorpusError, match=r"neutral.jsonl:13: duplicate text: 'neutral 3'"):
        open_corpus(path, neutral)
    corpus = open_corpus(path, neutral, SKIP)
    assert corpus.skipped == {Reason.DUPLICATE_TEXT: 1, Reason.NOT_JSON: 1}
    assert list(corpus.iter_neutral()) == [f"neutral {i}" for i in range(12)]
    write(neutral, rows[:9])
    with pytest.raises(UserCorpusError, match="9 neutral texts, not at least 10"):
        open_corpus(path, neutral)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", good_rows())
    for wrong in (tmp_path, tmp_path / "absent.jsonl", Path("/dev/zero")):
        with pytest.raises(UserCorpusError, match="is not a file"):
            open_corpus(wrong)
        with pytest.raises(UserCorpusError, match="is not a file"):
            open_corpus(path, wrong)


def test_a_file_that_changes_after_the_check_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", good_rows())
    corpus = open_corpus(path)
    write(path, good_rows()[1:-1])
    with pytest.raises(UserCorpusError, match="has changed since it was checked"):
        list(corpus.iter_stories())
    with pytest.raises(UserCorpusError, match="has changed since it was checked"):
        list(corpus.iter_sides())


def test_more_concepts_than_a_pack_can_hold_are_refused(tmp_path: Path) -> None:
    rows = ({"concept": f"c{i}", "text": f"text {i}"} for i in range(MAX_CONCEPTS + 1))
    path = write(tmp_path / "mine.jsonl", rows)
    with pytest.raises(UserCorpusError, match=f"mine.jsonl:{MAX_CONCEPTS + 1}: more than"):
        open_corpus(path, rules=SKIP)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        rows = (
            {"concept": "calm" if i % 2 else "on edge", "text": f"{i} {filler}"}
            for i in range(count)
        )
        path = write(tmp_path / "large.jsonl", rows)
        tracemalloc.start()
        corpus = open_corpus(path)
        assert sum(1 for _ in corpus.iter_stories()) == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    filler = "a" * 1000
    assert peak(100) > 2000  # it does measure
    # Remembering as much as a digest of each row would take more than this.
    assert peak(20_000) < peak(2_000) + 18_000 * 32
