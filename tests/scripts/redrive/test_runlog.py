"""The journal of a DLQ survives what kills its writer, and believes nobody else."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from redrive.runlog import BusyError, RunLog, recalled
from support.dead_letters import World, play, rules

ONE = {"id": "a", "sqs_id": "m-1", "new_sqs_id": "n-1"}


def test_what_was_sent_and_what_is_doubtful_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "run.jsonl"
    with RunLog(path) as log:
        log.sending(["m-1", "m-2", "m-3"])
        log.sent([ONE], ["m-3"])
        assert (log.memory.sent, log.memory.doubtful) == ({"m-1"}, {"m-2"})
    found = recalled(path)
    assert (found.sent, found.doubtful) == ({"m-1"}, {"m-2"})


def test_it_is_for_the_user_alone(tmp_path: Path) -> None:
    with RunLog(tmp_path / "folder" / "run.jsonl") as log:
        assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o700


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with RunLog(path) as log:
        log.sending(["m-1"])
        log.sent([ONE], [])
    whole = path.read_bytes()
    for cut in range(1, 60):
        path.write_bytes(whole[:-cut])
        with RunLog(path) as log:
            assert "m-1" in log.memory.doubtful | log.memory.sent
            log.sent([ONE | {"sqs_id": "m-2"}], [])
        assert "m-2" in recalled(path).sent


def test_only_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with RunLog(path), pytest.raises(BusyError, match=r"run\.jsonl"):
        RunLog(path)
    with RunLog(path):
        pass


def test_others_that_write_into_it_are_not_believed(tmp_path: Path) -> None:
    """JOURNAL_PATH may be the producer's as well, and a MessageId goes with it into the DLQ."""
    path = tmp_path / "shared.jsonl"
    lines = [
        {"who": "producer-7", "event": "sent", "id": "a", "sqs_id": "m-0"},
        {"who": "consumer-7", "event": "received", "id": "a", "sqs_id": "m-0"},
        {"event": "sent", "sqs_id": "m-0"},
        {"who": 7, "event": "sent", "sqs_id": "m-0"},
        ["sent", "m-0"],
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "\xff no JSON\n")
    world = World()
    world.put({"id": "a"})
    play(world, path, rules())
    assert world.sent_ids() == {"a": 1}


def test_what_is_noted_is_on_disk_before_anything_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    synced = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), synced(fd))[1])
    world = World()
    world.put({"id": "a"})
    world.answer_send = lambda *_: order.append("send")
    world.answer_delete = lambda *_: order.append("delete")
    play(world, tmp_path / "run.jsonl", rules())
    assert order == ["fsync", "fsync", "send", "fsync", "delete"]  # the first is the folder's


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        RunLog(tmp_path / "file" / "run.jsonl")


def test_a_hundred_thousand_lines_are_read_in_a_second(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = (
        json.dumps({"t": 1.0, "who": "redrive-1", "event": "sent", **ONE, "sqs_id": f"m-{n}"})
        for n in range(100_000)
    )
    path.write_text("\n".join(lines) + "\n")
    began = time.process_time()
    assert len(recalled(path).sent) == 100_000
    assert time.process_time() - began < 2


def test_a_disk_that_is_full_within_a_line_is_an_error_that_names_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "run.jsonl", os.write
    room = [30]

    def write(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = real(file, data[: room[0]])
        room[0] -= taken
        return taken

    with RunLog(path) as log:
        monkeypatch.setattr("redrive.runlog.os.write", write)
        with pytest.raises(OSError, match=str(path)):
            log.sending(["m-0"])  # and so nothing is sent that is not on record
        assert log.memory.doubtful == set()
