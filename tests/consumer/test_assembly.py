"""The exit code says how a run ended, and nothing is received where the start was refused."""

import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from support.doubles import FakeInbox, FakeLedger, a_message
from worker import assembly
from worker.exits import Exit
from worker.loop import MOST_ERRORS
from worker.message import Message
from worker.ports import QueueFacts
from worker.settings import read

TABLES = {"MESSAGE_STATUS_TABLE": "status", "MESSAGE_COMPLETED_TABLE": "completed"}


class Impatient(threading.Event):
    """A stop flag that nobody has to wait for."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class Run:
    """A consumer on a fake queue and ledger, from its settings to its exit code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, journal: Path) -> None:
        self._patch = monkeypatch
        self._journal = journal
        self.inbox, self.ledger = FakeInbox(), FakeLedger()
        monkeypatch.setattr("worker.assembly.SqsInbox", lambda *_: self.inbox)
        monkeypatch.setattr("worker.assembly.DynamoLedger", lambda *_, **__: self.ledger)
        monkeypatch.setattr("worker.assembly.threading", SimpleNamespace(Event=Impatient))

    def brings(self, *receives: Sequence[Message] | Exception) -> None:
        self.inbox = FakeInbox(*receives)

    def visibility(self, seconds: int) -> None:
        self._patch.setattr(self.inbox, "facts", lambda: QueueFacts(seconds, 2))

    def __call__(self, **settings: str) -> int:
        environ = {
            "QUEUE_URL": "http://localhost/0/q",
            "AWS_REGION": "us-west-1",
            "SLEEP_MIN_SECONDS": "0",
            "SLEEP_MAX_SECONDS": "0",
            "JOURNAL_PATH": str(self._journal),
        }
        return assembly.run(read(environ | settings), "settings come from a test")

    def event(self, name: str) -> dict[str, Any]:
        lines: list[dict[str, Any]] = [*map(json.loads, self._journal.read_text().splitlines())]
        (event,) = [line for line in lines if line["event"] == name]
        return event


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """The handlers of signals, which a run takes over, are put back as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Run(monkeypatch, tmp_path / "journal")
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_limit_is_a_good_end(run: Run) -> None:
    run.brings([a_message("a")])
    assert run(MESSAGE_LIMIT="1", **TABLES) == Exit.OK
    assert run.inbox.deleted == ["a"]
    assert run.event("stop")["reason"] == "limit"
    assert run.event("summary")["completed"] == 1


def test_errors_in_a_row_are_a_failure(run: Run) -> None:
    run.brings(*[RuntimeError("bug")] * MOST_ERRORS, [a_message("a")])
    assert run(**TABLES) == Exit.FAILED
    assert run.inbox.deleted == []
    assert run.event("stop")["reason"] == "error"
    assert run.event("summary")["errors"] == MOST_ERRORS


@pytest.mark.parametrize(("visibility", "beat"), [(0, "0.5"), (5, "5"), (5, "6"), (1, "3600")])
def test_a_heartbeat_that_the_queue_is_too_quick_for_is_refused(
    run: Run, caplog: pytest.LogCaptureFixture, visibility: int, beat: str
) -> None:
    run.visibility(visibility)
    assert run(HEARTBEAT_SECONDS=beat) == Exit.SETTINGS
    assert run.inbox.asked == []
    assert f"HEARTBEAT_SECONDS={beat}" in caplog.text
    assert f"visibility timeout of {visibility} s" in caplog.text


@pytest.mark.parametrize(("visibility", "beat"), [(0, "0"), (5, "4.9"), (5, "0")])
def test_one_that_is_quick_enough_or_off_is_not(run: Run, visibility: int, beat: str) -> None:
    run.brings([a_message("a")])
    run.visibility(visibility)
    assert run(HEARTBEAT_SECONDS=beat, MESSAGE_LIMIT="1") == Exit.OK


def test_a_ledger_that_cannot_be_used_is_found_before_anything_is_received(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.ledger.down = {"probe"}
    assert run(**TABLES) == Exit.AWS
    assert run.inbox.asked == []
    assert "cannot start on http://localhost/0/q: probe does not answer" in caplog.text


@pytest.mark.parametrize("path", ["/", "/dev/full", "/proc/journal"])
def test_a_journal_that_cannot_be_written_is_a_bad_setting(
    run: Run, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    assert run(JOURNAL_PATH=path) == Exit.SETTINGS
    assert run.inbox.asked == []
    assert caplog.records[-1].getMessage().startswith(f"JOURNAL_PATH={path!r}: cannot be written: ")


def filling(monkeypatch: pytest.MonkeyPatch, event: bytes) -> None:
    """The disk is full from the first line about this event on."""
    real = os.write

    def write(file: int, data: bytes) -> int:
        if b'"event":"%s"' % event in data:
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr("worker.journal.os.write", write)


def test_a_disk_that_is_full_at_the_start_stops_it_before_the_first_receive(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    filling(monkeypatch, b"start")
    assert run() == Exit.SETTINGS
    assert run.inbox.asked == []


@pytest.mark.parametrize("event", [b"received", b"claimed", b"worked", b"completed", b"deleted"])
def test_a_journal_that_is_lost_costs_no_message_and_has_an_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, event: bytes
) -> None:
    run.brings([a_message("a")], *[[]] * 9)
    filling(monkeypatch, event)
    assert run(**TABLES) == Exit.JOURNAL
    assert run.inbox.deleted == ["a"]
    assert run.inbox.released == []
    assert caplog.text.count("cannot write the journal") == 1


def test_a_journal_that_is_lost_at_the_end_has_it_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.brings([a_message("a")])
    filling(monkeypatch, b"summary")
    assert run(MESSAGE_LIMIT="1", **TABLES) == Exit.JOURNAL


def test_the_sdk_has_a_connection_for_each_who_may_call_at_once_and_two_tries(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    session = Mock()
    monkeypatch.setattr("worker.assembly.boto3.Session", lambda **_: session)
    run.brings([a_message("a")])
    assert run(MESSAGE_LIMIT="1", CONCURRENCY="3", **TABLES) == Exit.OK
    configs = [call.kwargs["config"] for call in session.client.call_args_list]
    assert [config.max_pool_connections for config in configs] == [5, 5]
    assert [config.retries["total_max_attempts"] for config in configs] == [2, 2]
