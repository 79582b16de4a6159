"""Folders in which sandboxes are, and what runs there."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="vagus-open-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def left_behind(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[bytes]]:
    """Gives the command lines of what runs in this test's sandboxes."""
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))

    def commands() -> list[bytes]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found.append(path.read_bytes())
        return [command for command in found if bytes(open_folder) in command]

    return commands
