"""Values of a label that callers choose: at most so many; the rest share one."""

from collections.abc import Sequence

#: A space keeps it apart from tenants, which have none; the bracket from names of concepts.
NO_TENANT = "(no tenant)"
OTHER_TENANTS = "(other tenants)"
OTHER_CONCEPTS = "(other concepts)"


class Labels:
    """Gives names a label of their own, or the one that the rest share.

    Args:
        names: have their own from the start.
        free: how many more names get one, first come, first served.
        rest: the label of all others.
    """

    def __init__(self, names: Sequence[str], rest: str, free: int = 0) -> None:
        self._index = {name: i for i, name in enumerate(dict.fromkeys((*names, rest)))}
        self._rest = rest
        self._free = free

    @property
    def values(self) -> tuple[str, ...]:
        """All labels given so far; a label keeps its place."""
        return tuple(self._index)

    @property
    def capacity(self) -> int:
        """How many labels there can be."""
        return len(self._index) + self._free

    def index(self, name: str) -> int:
        """Place of a name's label in `values`."""
        if name not in self._index and self._free > 0:
            self._free -= 1
            self._index[name] = len(self._index)
        return self._index.get(name, self._index[self._rest])

    def of(self, name: str) -> str:
        """The label of a name."""
        return self.values[self.index(name)]
