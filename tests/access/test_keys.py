"""The file of keys: what it says, what it keeps to itself, and how it changes under a server."""

import datetime
import hashlib
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.keyring import KeyFile
from vagus_server.access.keys import Keys, KeysError, new_key
from vagus_server.access.scopes import Scope
from vagus_server.cli import app

DIGEST = "ab" * 32
GOOD = f'[[keys]]\nsha256 = "{DIGEST}"\ntenant = "acme"\nscopes = ["read"]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def test_a_key_is_random_and_only_its_digest_is_kept(path: Path) -> None:
    made = [new_key("acme", [Scope.READ, Scope.GENERATE], None) for _ in range(2)]
    path.write_text("\n".join(entry for _, entry in made))
    keys = Keys(path)
    for key, entry in made:
        assert len(key.removeprefix("vagus_")) == 43, "32 bytes in base64"
        assert key.removeprefix("vagus_") not in entry
        found = keys.find(key)
        assert found is not None
        assert found.sha256 == hashlib.sha256(key.encode()).hexdigest()
        assert (found.tenant, found.scopes) == ("acme", {Scope.READ, Scope.GENERATE})
        assert keys.find(found.sha256) is None, "the digest is no key"
    assert made[0][0] != made[1][0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[keys]", "cannot be used"),
        (GOOD.replace("acme", "a b"), "tenant"),
        (GOOD.replace("acme", ""), "tenant"),
        (GOOD.replace('["read"]', "[]"), "scopes"),
        (GOOD.replace("read", "steer"), "steer"),
        (GOOD.replace(DIGEST, DIGEST.upper()), "sha256"),
        (GOOD.replace(DIGEST, "vagus_secret"), "sha256"),
        (GOOD + "expires = 2030-01-01T00:00:00\n", "expires"),
        (GOOD + "scope = 'read'\n", "scope"),
        (GOOD + GOOD, "one digest twice"),
        ("[tenants.acme]\nrequests_per_second = 0", "requests_per_second"),
        ("[tenants.acme]\nconcurrency = -1", "concurrency"),
        ("[tenants.acme]\ntokens = 5", "tokens"),
        ("[limits]\nconcurrency = 1", "limits"),
        ("\udcff", "cannot be used"),
    ],
)
def test_bad_files_are_refused_with_a_reason(path: Path, text: str, problem: str) -> None:
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(KeysError, match=problem):
        Keys(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(KeysError, match="cannot be read"):
        Keys(path)


def test_keys_expire(path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    (old, old_entry), (new, new_entry) = (
        new_key("acme", [Scope.READ], now + datetime.timedelta(hours=hours)) for hours in (-1, 1)
    )
    path.write_text(old_entry + new_entry)
    keys = Keys(path)
    assert keys.find(old) is None
    assert keys.find(new) is not None


def test_changes_count_at_once(path: Path) -> None:
    file = KeyFile(path, limits={"acme": {"concurrency": 3}})
    keys = Keys(path)
    assert keys.find(file.key("globex")) is not None
    assert keys.limits("acme").concurrency == 3
    file.write({"acme": {"concurrency": 4}}, without="globex")
    assert keys.find(file.key("globex")) is None
    assert keys.find(file.key("acme")) is not None
    assert keys.limits("acme").concurrency == 4


def test_a_file_that_went_bad_is_reported_and_what_was_there_stays(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = KeyFile(path)
    keys, text = Keys(path), path.read_text()
    for spoil in (lambda: path.write_text("[[keys]"), path.unlink):
        caplog.clear()
        spoil()
        for _ in range(2):
            assert keys.find(file.key("acme")) is not None
        errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
        assert len(errors) == 1, "once"
        assert "stays in force" in errors[0]
    path.write_text(text.replace("acme", "initech"))
    found = keys.find(file.key("acme"))
    assert found is not None
    assert found.tenant == "initech"


def test_limits_are_the_tenants_own_or_the_defaults(path: Path) -> None:
    path.write_text("[default]\nconcurrency = 2\n[tenants.acme]\nmax_dose = 0.5\n")
    keys = Keys(path)
    assert (keys.limits("acme").concurrency, keys.limits("acme").max_dose) == (None, 0.5)
    assert (keys.limits("globex").concurrency, keys.limits("globex").max_dose) == (2, None)


def test_the_command_makes_entries_that_the_server_reads(path: Path) -> None:
    runner = CliRunner()
    made = runner.invoke(app, ["keys", "new", "--tenant", 'a"\\', "--scope", "read", "--days", "1"])
    assert made.exit_code == 0
    path.write_text(made.stdout)
    found = Keys(path).find(made.stderr.strip())
    assert found is not None
    assert (found.tenant, found.scopes) == ('a"\\', {Scope.READ})
    assert found.expires is not None
    assert made.stderr.strip() not in made.stdout
    assert runner.invoke(app, ["keys", "check", str(path)]).exit_code == 0
    path.write_text("keys = 1")
    assert runner.invoke(app, ["keys", "check", str(path)]).exit_code == 1
    for bad in (["--tenant", "a b"], ["--tenant", "a", "--scope", "steer"]):
        assert runner.invoke(app, ["keys", "new", *bad]).exit_code == 2
