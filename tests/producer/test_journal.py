"""The journal: one write per event, appended; nothing at all where none is asked for."""

import json
import os
from pathlib import Path

import pytest

from sender.journal import Journal


def test_no_journal_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Journal("").write("start")
    assert list(tmp_path.iterdir()) == []


def test_a_journal_line_is_one_write_and_appends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    path.write_text("before\n")
    writes: list[bytes] = []
    real = os.write

    def spy(file: int, data: bytes) -> int:
        writes.append(data)
        return real(file, data)

    journal = Journal(str(path))
    monkeypatch.setattr("sender.journal.os.write", spy)
    journal.write("sent", id="ü\n")
    assert len(writes) == 1
    assert writes[0].count(b"\n") == 1
    assert path.read_text().startswith("before\n")
    assert json.loads(path.read_text().splitlines()[1])["id"] == "ü\n"
