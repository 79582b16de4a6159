"""What is asked of the engine for a text's mean, and what is refused before."""

from pathlib import Path

import pytest

from support.fake_offline import FakeOffline
from vagus_server.extract.bar import progress
from vagus_server.extract.lengths import wrong_length
from vagus_server.extract.means import TextMeans
from vagus_server.extract.measure import (
    chat_replies,
    encode_prompts,
    first_averaged,
    text_means,
)
from vagus_server.packs.user_rows import Reason


def means(engine: FakeOffline, texts: list[str], path: Path) -> TextMeans:
    with progress("texts", len(texts)) as bar:
        return text_means(engine, texts, 50, path / "stories", "", bar)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tokens", "first"), [(2, 1), (3, 1), (4, 2), (99, 49), (100, 50), (500, 50)]
)
def test_the_first_position_is_never_averaged(tokens: int, first: int) -> None:
    assert first_averaged(tokens, 50) == first
    assert first_averaged(tokens, 1) == 1


def test_a_mean_leaves_position_0_out(tmp_path: Path) -> None:
    found = means(FakeOffline(), ["9 2", "1 2 3", "1 2 3 4"], tmp_path)
    assert found.array[:, 0, 0].tolist() == [2.0, 2.5, 3.5]


@pytest.mark.parametrize(("text", "reason"), [("one", "too few"), ("a b c d e", "too many")])
def test_a_text_of_a_wrong_length_is_refused_by_its_number(
    tmp_path: Path, text: str, reason: str
) -> None:
    engine = FakeOffline(longest=4)
    with pytest.raises(ValueError, match=f"^stories, text 2: {reason} tokens: "):
        means(engine, ["a b", text], tmp_path)
    assert not engine.jobs


def test_lengths() -> None:
    few, many = wrong_length(1, None), wrong_length(12, 11)
    assert few is not None
    assert many is not None
    assert (few.reason, many.reason) == (Reason.TOO_FEW_TOKENS, Reason.TOO_MANY_TOKENS)
    assert wrong_length(2, 2) is None
    assert wrong_length(10**6, None) is None


def test_a_prompt_must_leave_room_for_its_reply() -> None:
    engine = FakeOffline(longest=12)
    assert encode_prompts(engine, ["8 9"], 10) == [[8, 9]]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="chat prompt 2 has 3 tokens"):
        encode_prompts(engine, ["a b", "a b c"], 10)  # type: ignore[arg-type]


def test_a_model_that_answers_nothing_is_refused() -> None:
    with progress("replies", 1) as bar, pytest.raises(ValueError, match="answers no reference"):
        chat_replies(FakeOffline(), ["a b"], 0, bar)  # type: ignore[arg-type]
