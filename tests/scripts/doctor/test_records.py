"""Which journals can be read, and which of their consumers are alive."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from doctor.evidence import Evidence
from doctor.facts import Unknown
from doctor.runs import NO_JOURNAL, evidence

URL = "https://sqs.us-west-1.amazonaws.com/123456789012/orders"


def journal(folder: Path, pid: object) -> Path:
    path = folder / "journal.jsonl"
    start = {"t": 1, "who": "consumer-1", "event": "start", "queue": URL, "settings": {}}
    path.write_text(json.dumps({**start, "pid": pid}) + "\n")
    return path


def test_no_journal_is_not_known() -> None:
    assert evidence([], URL) == Unknown(NO_JOURNAL)


@pytest.mark.parametrize("name", ["missing.jsonl", "", "a\0b", "x" * 300])
def test_a_journal_that_cannot_be_read_is_not_known(tmp_path: Path, name: str) -> None:
    told = evidence([tmp_path / name], URL)
    assert isinstance(told, Unknown)
    assert str(tmp_path) in told.reason


def test_a_file_that_may_not_be_read_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = journal(tmp_path, 1)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    assert evidence([path], URL) == Unknown(f"journal {path}: Permission denied")


def test_an_empty_journal_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert evidence([tmp_path / "empty"], URL) == Unknown("no consumer began in the journal")


@pytest.mark.parametrize(
    ("command", "pid", "alive"),
    [
        ("python consume.py", 77, True),
        ("python other.py", 77, False),
        ("", 77, False),
        ("python consume.py", "77", False),
        ("python consume.py", None, False),
        ("python consume.py", 1e400, False),
    ],
)
def test_a_pid_is_alive_where_a_consumer_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, pid: object, alive: bool
) -> None:
    monkeypatch.setattr("doctor.runs.command_line", lambda _pid: command)
    told = evidence([journal(tmp_path, pid)], URL)
    assert isinstance(told, Evidence)
    assert told.runs[0].alive is alive


def test_this_process_is_no_consumer(tmp_path: Path) -> None:
    told = evidence([journal(tmp_path, os.getpid())], URL)
    assert isinstance(told, Evidence)
    assert not told.runs[0].alive
