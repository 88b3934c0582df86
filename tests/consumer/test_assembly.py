"""The exit code says how a run ended, and nothing is received where the start was refused."""

import json
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
from worker.ports import LedgerDown, QueueFacts
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
        (event,) = self.events(name)
        return event

    def events(self, name: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = [*map(json.loads, self._journal.read_text().splitlines())]
        return [line for line in lines if line["event"] == name]


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


def test_an_outage_that_only_the_log_of_a_saga_meets_is_outlasted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Log:
        def __init__(self, *_: object) -> None:
            self.reads = 0

        def read(self, _message: Message) -> tuple[str, ...]:
            self.reads += 1
            if self.reads < 3:
                raise LedgerDown("no answer")
            return ("reserve", "charge", "ship")

    monkeypatch.setattr("worker.outage.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("worker.ways.SagaRows", Log)
    run.brings([a_message("a")])
    effect = {"EFFECT_MODE": "saga", "EFFECT_URL": "http://127.0.0.1:9"}
    assert run(MESSAGE_LIMIT="1", **TABLES, **effect) == Exit.OK
    assert run.inbox.deleted == ["a"]
    assert run.ledger.failed == []
    assert [event["state"] for event in run.events("outage")] == ["down", "up"]


def test_a_journal_that_cannot_be_written_is_a_bad_setting(run: Run, tmp_path: Path) -> None:
    assert run(JOURNAL_PATH=str(tmp_path)) == Exit.SETTINGS
    assert run.inbox.asked == []


def test_the_sdk_has_a_connection_for_each_who_may_call_at_once_and_two_tries(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    session = Mock()
    monkeypatch.setattr("worker.assembly.boto3.Session", lambda **_: session)
    monkeypatch.setattr(
        "worker.assembly.SqsInbox", lambda _, connect, *__: connect(1.5) and run.inbox
    )
    run.brings([a_message("a")])
    assert run(MESSAGE_LIMIT="1", CONCURRENCY="3", **TABLES) == Exit.OK
    configs = [call.kwargs["config"] for call in session.client.call_args_list]
    assert [config.max_pool_connections for config in configs] == [8] * 3
    assert [config.retries["total_max_attempts"] for config in configs] == [2] * 3
    assert [config.read_timeout for config in configs] == [15, 1.5, 3]
    assert [config.connect_timeout for config in configs] == [2, 1.5, 2]
