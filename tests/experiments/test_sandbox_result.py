"""The file of results is the code's own: whatever it holds is read in no time, or refused."""

import json
import os
from pathlib import Path

import pytest

from vagus_server.experiments.sandbox_result import CaseResult, read_results


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


def test_results_are_read(file: Path) -> None:
    file.write_text('[[1, 0.5, ""], [null, 2, "no"]]')
    assert read_results(file, 2) == [CaseResult(1, 0.5, ""), CaseResult(None, 2.0, "no")]
    assert read_results(file, 1) is None


def test_what_is_no_file_is_not_read(file: Path) -> None:
    assert read_results(file, 1) is None
    os.mkfifo(file)
    assert read_results(file, 1) is None, "nobody writes to it"
    file.unlink()
    file.symlink_to("/dev/zero")
    assert read_results(file, 1) is None
    file.unlink()
    file.mkdir()
    assert read_results(file, 1) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[1, 0",
        "{}",
        "[1]",
        '[[1, "long", ""]]',
        f'[[1, {"9" * 400}, ""]]',
        f'[[{"9" * 5000}, 0, ""]]',
        f"[[{'[' * 100_000}",
        f'[[1, 0, ""]{" " * (1 << 20)}]',
    ],
)
def test_what_is_no_result_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    assert read_results(file, 1) is None


def test_texts_can_be_sent_on(file: Path) -> None:
    file.write_text('[[["\\ud800", {"\\udc00": "\\ud83d\\ude00"}], 0, "\\udfff"]]')
    results = read_results(file, 1)
    assert results == [CaseResult(["?", {"?": "\U0001f600"}], 0.0, "?")]
    json.dumps(results[0].value, ensure_ascii=False).encode()
