"""Means on disk: what an interrupted extraction goes on from."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vagus_server.engine.settings import EngineSettings
from vagus_server.extract.means import TextMeans, text_key
from vagus_server.extract.measure import means_settings

SITES, HIDDEN = 2, 3
Row = tuple[int, np.ndarray, np.ndarray, int]


def keys(texts: str) -> list[bytes]:
    """One text per letter."""
    return [text_key("settings", text) for text in texts]


def row(index: int, letter: str) -> Row:
    """A row that belongs to a letter: mean n + 0.5, |x| n and 2 n, n + 1 positions."""
    n = "abcdefg".index(letter)
    return index, np.full((SITES, HIDDEN), n + 0.5), np.array([n, 2.0 * n]), n + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    means = TextMeans.open(tmp_path / "deep" / "stories", keys("abcde"), SITES, HIDDEN)
    assert means.missing.tolist() == [0, 1, 2, 3, 4]
    means.write([row(1, "b"), row(0, "a"), row(3, "d")])
    return tmp_path / "deep" / "stories"


def test_the_same_texts_go_on(path: Path) -> None:
    means = TextMeans.open(path, keys("abcde"), SITES, HIDDEN)
    assert means.missing.tolist() == [2, 4]
    means.write([row(2, "c"), row(4, "e")])
    again = TextMeans.open(path, keys("abcde"), SITES, HIDDEN)
    assert again.missing.tolist() == []
    assert again.array[:, 0, 0].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert again.array.shape == (5, SITES, HIDDEN)
    assert again.positions == 15
    # |x| of letter n is n at site 0, over n + 1 positions.
    assert again.mean_norm.tolist() == [40 / 15, 80 / 15]


def test_texts_that_stayed_keep_their_rows(path: Path) -> None:
    means = TextMeans.open(path, keys("dgba"), SITES, HIDDEN)
    assert means.missing.tolist() == [1]
    assert means.array[[0, 2, 3], 1, 2].tolist() == [3.5, 1.5, 0.5]
    means.write([row(1, "g")])
    again = TextMeans.open(path, keys("dgba"), SITES, HIDDEN)
    assert again.array[:, 0, 0].tolist() == [3.5, 6.5, 1.5, 0.5]


def test_other_settings_start_anew(path: Path) -> None:
    other = [text_key("other", text) for text in "abcde"]
    assert len(TextMeans.open(path, other, SITES, HIDDEN).missing) == 5


def test_another_model_shape_starts_anew(path: Path) -> None:
    assert len(TextMeans.open(path, keys("abcde"), SITES, HIDDEN + 1).missing) == 5


@pytest.mark.parametrize("harm", ["short data", "no data", "short list", "no list"])
def test_what_is_damaged_starts_anew(path: Path, harm: str) -> None:
    file = path.with_suffix(".f32" if "data" in harm else ".texts")
    if harm.startswith("no"):
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert len(TextMeans.open(path, keys("abcde"), SITES, HIDDEN).missing) == 5


def test_texts_that_were_being_written_do_not_count(path: Path) -> None:
    means = TextMeans.open(path, keys("abcde"), SITES, HIDDEN)

    def rows() -> Iterator[Row]:
        yield row(2, "c")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        means.write(rows())
    assert TextMeans.open(path, keys("abcde"), SITES, HIDDEN).missing.tolist() == [2, 4]


def test_no_texts_at_all(tmp_path: Path) -> None:
    for _ in range(2):
        assert TextMeans.open(tmp_path / "none", [], SITES, HIDDEN).array.shape == (
            0,
            SITES,
            HIDDEN,
        )


def test_means_of_other_engine_options_are_measured_anew() -> None:
    plain = EngineSettings(Path("model"), dtype="float16")
    quantised = EngineSettings(
        Path("model"), dtype="float16", engine_options={"quantization": "fp8", "seed": 0}
    )
    turned = EngineSettings(
        Path("model"), dtype="float16", engine_options={"seed": 0, "quantization": "fp8"}
    )
    told = [means_settings("print", settings, 50) for settings in (plain, quantised, turned)]
    assert told[0] != told[1] == told[2]
    assert means_settings("print", plain, 20) != told[0]
