"""Means on disk: what an interrupted extraction goes on from."""

from pathlib import Path

import numpy as np
import pytest

from vagus_server.extract.means import TextMeans

SHAPE = (5, 2, 3)


def row(i: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean, norm and number of positions of text i."""
    return np.full((2, 3), i + 0.5), np.array([i, 2.0 * i]), i + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    means = TextMeans.open(tmp_path / "deep" / "stories", "key", SHAPE)
    assert (means.done, means.complete) == (0, False)
    means.append([row(0), row(1), row(2)])
    return tmp_path / "deep" / "stories"


def test_the_same_key_goes_on(path: Path) -> None:
    means = TextMeans.open(path, "key", SHAPE)
    assert means.done == 3
    means.append([row(3), row(4)])
    assert means.complete
    again = TextMeans.open(path, "key", SHAPE)
    assert again.complete
    assert (again.array[:, 0, 0] == [0.5, 1.5, 2.5, 3.5, 4.5]).all()
    # Positions 1 + 2 + 3 + 4 + 5; |x| of text i is i at site 0.
    assert again.mean_norm[0] == (1 * 2 + 2 * 3 + 3 * 4 + 4 * 5) / 15
    assert again.mean_norm[1] == 2 * again.mean_norm[0]


@pytest.mark.parametrize("shape", [SHAPE, (6, 2, 3), (5, 3, 2)])
def test_another_key_or_shape_starts_anew(path: Path, shape: tuple[int, int, int]) -> None:
    means = TextMeans.open(path, "other" if shape == SHAPE else "key", shape)
    assert means.done == 0
    assert not means.array.any()


@pytest.mark.parametrize("harm", ["short data", "no data", "broken state"])
def test_what_is_damaged_starts_anew(path: Path, harm: str) -> None:
    data, state = path.with_suffix(".f32"), path.with_suffix(".json")
    if harm == "short data":
        data.write_bytes(data.read_bytes()[:-1])
    elif harm == "no data":
        data.unlink()
    else:
        state.write_bytes(state.read_bytes()[:-5])
    assert TextMeans.open(path, "key", SHAPE).done == 0


def test_texts_that_were_being_written_do_not_count(path: Path) -> None:
    means = TextMeans.open(path, "key", SHAPE)

    def rows():  # type: ignore[no-untyped-def]
        yield row(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        means.append(rows())
    assert TextMeans.open(path, "key", SHAPE).done == 3
