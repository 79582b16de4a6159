"""Text means on disk: an extraction can go on where it was stopped, a corpus can change in part,
and memory does not grow with it.

    NAME.f32     float32 [texts, sites, hidden + 1]: the mean, and the mean of |x|
    NAME.texts   of each text: SHA-256 of what its row depends on, and positions (0: not there)
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

_TEXT = np.dtype([("key", "S32"), ("positions", "<i4")])


def text_key(settings: str, text: str) -> bytes:
    """What a text's row depends on: the text, and the settings that it was measured with."""
    # In hexadecimal, since numpy cuts zeros off the end of byte strings.
    return hashlib.sha256(f"{settings}\n{text}".encode()).hexdigest()[:32].encode()


class TextMeans:
    """The means of a list of texts."""

    def __init__(self, path: Path, texts: np.ndarray, rows: np.memmap) -> None:
        self._path, self._texts, self._rows = path, texts, rows

    @classmethod
    def open(cls, path: Path, keys: list[bytes], sites: int, hidden: int) -> Self:
        """Opens the rows of these texts, with what an earlier run left of them.

        Args:
            path: of the files, without suffix.
            keys: of the texts, see `text_key`.
            sites: decoder layers.
            hidden: width of the residual stream.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = np.zeros(len(keys), dtype=_TEXT)
        texts["key"] = keys
        shape = (sites, hidden + 1)
        old = cls._old(path, shape)
        if old is not None and np.array_equal(old._texts["key"], texts["key"]):
            return old
        fresh = path.with_suffix(".f32.new")
        rows = np.memmap(fresh, np.float32, "w+", shape=(max(len(keys), 1), *shape))
        if old is not None:
            known = {bytes(text["key"]): i for i, text in enumerate(old._texts)}
            for i, key in enumerate(keys):
                if (j := known.get(key)) is not None:
                    rows[i] = old._rows[j]
                    texts["positions"][i] = old._texts["positions"][j]
        rows.flush()
        # In this order: rows without texts count for nothing.
        path.with_suffix(".texts").unlink(missing_ok=True)
        os.replace(fresh, path.with_suffix(".f32"))
        means = cls(path, texts, rows)
        means._save()
        return means

    @classmethod
    def _old(cls, path: Path, shape: tuple[int, int]) -> Self | None:
        data, listed = path.with_suffix(".f32"), path.with_suffix(".texts")
        if not data.exists() or not listed.exists() or listed.stat().st_size % _TEXT.itemsize:
            return None
        texts = np.fromfile(listed, dtype=_TEXT)
        whole = (max(len(texts), 1), *shape)
        if data.stat().st_size != 4 * np.prod(whole):
            return None
        return cls(path, texts, np.memmap(data, np.float32, "r+", shape=whole))

    def _save(self) -> None:
        temporary = self._path.with_suffix(".texts.new")
        self._texts.tofile(temporary)
        os.replace(temporary, self._path.with_suffix(".texts"))

    @property
    def array(self) -> np.ndarray:
        """float32 [texts, sites, hidden], on disk."""
        return self._rows[: len(self._texts), :, :-1]

    @property
    def missing(self) -> np.ndarray:
        """Indices of the texts whose rows are not there."""
        return np.flatnonzero(self._texts["positions"] == 0)

    @property
    def positions(self) -> int:
        """Of all texts together."""
        return int(self._texts["positions"].sum())

    @property
    def mean_norm(self) -> np.ndarray:
        """Mean |x| over all positions, float64 [sites]."""
        norms = self._rows[: len(self._texts), :, -1].astype(np.float64)
        return np.asarray(self._texts["positions"] @ norms / self.positions)

    def write(self, rows: Iterable[tuple[int, np.ndarray, np.ndarray, int]]) -> None:
        """Writes rows, and only then that they are there.

        Args:
            rows: index of a text, mean [sites, hidden], mean |x| [sites], number of positions.
        """
        written = []
        for index, mean, norm, count in rows:
            self._rows[index, :, :-1] = mean
            self._rows[index, :, -1] = norm
            written.append((index, count))
        self._rows.flush()
        for index, count in written:
            self._texts["positions"][index] = count
        self._save()
