"""docs/security.md: each threat has a test, and each test that it names exists."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_every_threat_names_tests_that_exist() -> None:
    text = (_ROOT / "docs/security.md").read_text()
    table = text.split("| threat | answer | test |")[1].split("\n\n")[0]
    rows = [line for line in table.splitlines() if line.count("|") == 4][1:]
    threats = [row for row in rows if not row.startswith("| **")]
    assert len(threats) > 20
    sources = "".join(path.read_text() for path in (_ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", sources))
    for row in threats:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= defined, row
