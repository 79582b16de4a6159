"""What a corpus becomes: labels, one list of contrasting texts, and what is said of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from support.corpora import folder_corpus, sides_file
from vagus_server.extract.source import of_corpus, of_user_corpus
from vagus_server.packs import good_rows
from vagus_server.packs.corpus import load_corpus
from vagus_server.packs.user_corpus import open_corpus


def test_the_bundled_corpus_is_half_in_the_first_person() -> None:
    source = of_corpus(load_corpus())
    assert source.first_person is not None
    assert source.first_person.mean() == 0.5
    assert source.facts["person"] == (
        "half of each concept's stories are told in the first person; the direction between "
        "these and the others is projected out of the vectors"
    )


@pytest.mark.parametrize("person", ["first", "third"])
def test_stories_of_one_person_have_no_direction_to_take_out(tmp_path: Path, person: str) -> None:
    source = of_corpus(load_corpus(folder_corpus(tmp_path, lambda _: person)))
    assert source.first_person is None
    assert source.facts["person"] == (
        f"all stories are told in the {person} person; nothing is projected out for it"
    )


def test_an_uneven_share_is_told_as_it_is(tmp_path: Path) -> None:
    folder = folder_corpus(tmp_path, lambda row: "first" if row == 0 else "third")
    source = of_corpus(load_corpus(folder))
    assert source.first_person is not None
    assert source.facts["person"].startswith("2 of 6 stories are told in the first person; ")


def test_contrasts_are_one_list_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = open_corpus(sides_file(tmp_path / "mine.jsonl", ("polite", "formal")))
    source = of_user_corpus(corpus, load_corpus().prompts)
    contrasts = source.contrasts
    assert list(contrasts.descriptions) == ["formal", "polite"]
    assert contrasts.descriptions["formal"] == "5 texts against 6"
    rows = [json.loads(line) for line in corpus.path.read_text().splitlines()]
    names = list(contrasts.descriptions)
    for row, index, positive in zip(rows, contrasts.contrast, contrasts.positive, strict=True):
        assert row["concept"] == names[index]
        assert row["side"] == ("positive" if positive else "negative")
    opened = []
    read = good_rows.read_rows
    monkeypatch.setattr(good_rows, "read_rows", lambda *a, **k: opened.append(a) or read(*a, **k))
    for _ in range(2):
        assert list(contrasts.texts) == [row["text"] for row in rows]
    assert len(opened) == 2  # the file is read once, however many contrasts it has


def test_a_corpus_without_contrasts_has_none(tmp_path: Path) -> None:
    source = of_corpus(load_corpus(folder_corpus(tmp_path, lambda row: "first")))
    assert source.contrasts.descriptions == {}
    assert np.array_equal(source.contrasts.contrast, [])
