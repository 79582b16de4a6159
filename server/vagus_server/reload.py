"""Files that can be changed while the server runs: keys, certificates and policies."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

logger = logging.getLogger("vagus.server")

T = TypeVar("T")


class Reloaded(Generic[T]):
    """What some files hold now.

    A look costs a `stat` for each file, so that nobody has to wait for changes. Files that
    cannot be used are reported in the log, once, and what was there before their change stays.

    Args:
        files: read by `load`.
        load: makes the value of them; raises ValueError with a message that names the files. At
            the start it passes through.
    """

    def __init__(self, files: Sequence[Path], load: Callable[[], T]) -> None:
        self._files = files
        self._load = load
        # Before reading: a change meanwhile is then seen by the next look.
        self._seen = self._look()
        #: As of the last look.
        self.value = load()

    def current(self) -> T:
        """The value, after a look."""
        self.refresh()
        return self.value

    def refresh(self) -> bool | None:
        """Looks: True when a change was taken, False when it cannot be used, None without one."""
        seen = self._look()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            self.value = self._load()
        except ValueError as error:
            logger.error("%s; what was there before the change stays in force", error)
            return False
        logger.info("read %s anew", ", ".join(map(str, self._files)))
        return True

    def _look(self) -> list[object]:
        return [_signature(path) for path in self._files]


def _signature(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
