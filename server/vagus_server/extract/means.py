"""Text means on disk, written in order as they come, so that an extraction can go on where it
was stopped, and so that memory does not grow with the corpus.

    NAME.f32    float32 [texts, sites, hidden], row-major
    NAME.json   what they belong to, and how many texts are done
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec
import numpy as np


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of NAME.json."""

    #: Digest of all that the means depend on: model, texts, settings.
    key: str
    texts: int
    sites: int
    hidden: int
    done: int
    #: Sums over the spans of all texts done: positions, and |x| per site.
    positions: int
    norm_sums: list[float]


class TextMeans:
    """The means of a list of texts; index it like an array [texts, sites, hidden]."""

    def __init__(self, path: Path, state: State) -> None:
        self._path, self.state = path, state
        shape = (state.texts, state.sites, state.hidden)
        self.array = np.memmap(path.with_suffix(".f32"), np.float32, "r+", shape=shape)

    @classmethod
    def open(cls, path: Path, key: str, shape: tuple[int, int, int]) -> Self:
        """Opens what an earlier run left under the same key, or starts anew.

        Args:
            path: of the files, without suffix.
            key: digest of all that the means depend on.
            shape: texts, sites, hidden.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = State(key, *shape, done=0, positions=0, norm_sums=[0.0] * shape[1])
        try:
            state = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError):
            state = fresh
        size = shape[0] * shape[1] * shape[2] * 4
        data = path.with_suffix(".f32")
        same = (state.key, state.texts, state.sites, state.hidden) == (key, *shape)
        if not same or not data.exists() or data.stat().st_size != size:
            state = fresh
            with data.open("wb") as file:
                file.truncate(size)
        return cls(path, state)

    @property
    def done(self) -> int:
        """Texts whose means are there."""
        return self.state.done

    @property
    def complete(self) -> bool:
        """Whether all are."""
        return self.state.done == self.state.texts

    @property
    def mean_norm(self) -> np.ndarray:
        """Mean |x| over all positions, float64 [sites]."""
        return np.array(self.state.norm_sums) / self.state.positions

    def append(self, rows: Iterable[tuple[np.ndarray, np.ndarray, int]]) -> None:
        """Writes the next texts, and only then that they are done.

        Args:
            rows: mean [sites, hidden], mean |x| [sites] and number of positions of each.
        """
        done, positions = self.state.done, self.state.positions
        norms = np.array(self.state.norm_sums)
        for mean, norm, count in rows:
            self.array[done] = mean
            norms += norm * count
            done, positions = done + 1, positions + count
        self.array.flush()
        self.state = msgspec.structs.replace(
            self.state, done=done, positions=positions, norm_sums=norms.tolist()
        )
        temporary = self._path.with_suffix(".json.new")
        temporary.write_bytes(msgspec.json.encode(self.state))
        os.replace(temporary, self._path.with_suffix(".json"))
