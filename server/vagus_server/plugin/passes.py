"""A forward pass as it is laid out, and the next one where that is the same a token further."""

from dataclasses import dataclass

import numpy as np

from vagus_kernels.step import Step


@dataclass(frozen=True)
class Layout:
    """The requests of a pass, or their parts, and their rows."""

    ids: list[str]
    #: int32 [n, 5]: see `wire.Step.spans`.
    spans: np.ndarray
    #: int32 [rows read].
    positions: np.ndarray


@dataclass
class Pass:
    """A pass in which every request's rows have one set of flags, and none is scaled.

    Nearly every pass of a batch that decodes is the one before it, each request a token further:
    then the device has all that it needs, and the host changes a few numbers.

    Args:
        ids: requests in the order of their rows.
        tokens: int32 [n], rows of each.
        ends: int [n], one past each one's last position.
        until: int [n], position from which on each one's flags may be others.
        owner: int [rows read], which request each is of.
        version: of the roster.
    """

    ids: list[str]
    tokens: np.ndarray
    ends: np.ndarray
    until: np.ndarray
    owner: np.ndarray
    version: int
    step: Step
    layout: Layout

    def goes_on(self, ids: list[str], tokens: np.ndarray, starts: np.ndarray, version: int) -> bool:
        """Whether a pass is this one further on; if so, it becomes that pass.

        Arguments are as of `Batch.begin`, with the roster's version.
        """
        if version != self.version or ids != self.ids:
            return False
        ends = starts + tokens
        same = (tokens == self.tokens) & (starts == self.ends) & (ends <= self.until)
        if not same.all():
            return False
        layout, requests = self.layout, self.step.requests.copy()
        spans = layout.spans.copy()
        requests[:, 3] = spans[:, 0] = starts
        positions = layout.positions + self.tokens[self.owner]
        self.ends, self.layout = ends, Layout(layout.ids, spans, positions)
        self.step = self.step.further(requests)
        return True
