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


def test_a_device_that_takes_no_data_is_an_error_at_once() -> None:
    with pytest.raises(OSError, match="No space left"):
        Journal("/dev/full")


def test_a_full_disk_raises_nothing_and_ends_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "journal", os.write
    room = [100]

    def write(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = real(file, data[: room[0]])
        room[0] -= taken
        return taken

    journal = Journal(str(path))
    monkeypatch.setattr("sender.journal.os.write", write)
    for index in range(9):
        journal.write("sent", index=index)
    assert journal.lost == "No space left on device"
    room[0] = 1000
    journal.write("stop")  # a journal with a gap would not be evidence
    assert path.stat().st_size == 100
    Journal(str(path)).write("start")
    assert json.loads(path.read_text().splitlines()[-1])["event"] == "start"
