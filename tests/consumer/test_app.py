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

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from sqs_worker import app
from sqs_worker.exits import Exit
from sqs_worker.loop import MOST_ERRORS
from sqs_worker.message import Message
from sqs_worker.ports import LedgerDown, QueueFacts
from sqs_worker.settings import read
from support.fakes import FakeLedger, FakeQueue, FakeTime, a_message

QUICK = {"SLEEP_MIN_SECONDS": "0", "SLEEP_MAX_SECONDS": "0"}
TABLES = {"MESSAGE_STATUS_TABLE": "status", "MESSAGE_COMPLETED_TABLE": "completed"}


class Hasty(threading.Event):
    """A stop flag that nobody has to wait for."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class Run:
    """A consumer on a fake queue and ledger, from its settings to its exit code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, journal: Path) -> None:
        self._patch = monkeypatch
        self._journal = journal
        self.inbox, self.ledger = FakeQueue(), FakeLedger()
        monkeypatch.setattr("sqs_worker.app.SqsQueue", lambda *_: self.inbox)
        monkeypatch.setattr("sqs_worker.app.DynamoLedger", lambda *_, **__: self.ledger)
        monkeypatch.setattr("sqs_worker.app.threading", SimpleNamespace(Event=Hasty))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    def brings(self, *receives: Sequence[Message] | Exception) -> None:
        self.inbox = FakeQueue(*receives)

    def visibility(self, seconds: int) -> None:
        self._patch.setattr(self.inbox, "facts", lambda: QueueFacts(seconds, 2))

    def __call__(self, **settings: str) -> int:
        environ = {
            "QUEUE_URL": "http://localhost/0/q",
            "AWS_REGION": "us-west-1",
            "START_TIMEOUT_SECONDS": "0",
            "SLEEP_MIN_SECONDS": "0",
            "SLEEP_MAX_SECONDS": "0",
            "JOURNAL_PATH": str(self._journal),
        }
        return app.run(read(environ | settings), "settings come from a test")

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
    assert "MESSAGE_STATUS_TABLE='status', MESSAGE_COMPLETED_TABLE='completed': " in caplog.text
    assert "probe does not answer" in caplog.text


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

    monkeypatch.setattr("sqs_worker.outage.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("sqs_worker.ways.SagaRows", Log)
    run.brings([a_message("a")])
    effect = {"EFFECT_MODE": "saga", "EFFECT_URL": "http://127.0.0.1:9"}
    assert run(MESSAGE_LIMIT="1", **TABLES, **effect) == Exit.OK
    assert run.inbox.deleted == ["a"]
    assert run.ledger.failed == []
    assert run.events("outage") == []  # the ledger itself answered its probe


def test_a_start_waits_for_a_ledger_that_is_down_for_a_moment(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.brings([a_message("a")])
    run.ledger.down = {"probe"}
    clock = FakeTime()
    monkeypatch.setattr("sqs_worker.app.time", clock)
    clock.sleep = lambda _: run.ledger.down.clear()  # type: ignore[method-assign]
    assert run(MESSAGE_LIMIT="1", START_TIMEOUT_SECONDS="60", **TABLES) == Exit.OK
    assert len(run.ledger.asked("probe")) == 2
    assert run.inbox.deleted == ["a"]


class Somewhere:
    """A consumer on moto, with a queue and two tables."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        session = boto3.Session("test", "test", region_name="us-west-1")
        self.url = session.client("sqs").create_queue(QueueName="q")["QueueUrl"]
        for table in TABLES.values():
            session.client("dynamodb").create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )

    def failing(self, operation: str, error: dict[str, str], status: int) -> list[str]:
        """From now on the operation answers with this error; the calls so far."""
        calls: list[str] = []
        real = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

        def call(client: Any, name: str, request: Any) -> Any:
            calls.append(name)
            if name != operation:
                return real(client, name, request)
            said: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(said, name)

        self._patch.setattr("botocore.client.BaseClient._make_api_call", call)
        return calls

    def __call__(self, **settings: str) -> int:
        environ = {"QUEUE_URL": self.url, "AWS_REGION": "us-west-1", "IDLE_TIMEOUT_SECONDS": "0.1"}
        return app.run(read({**environ, "WAIT_TIME_SECONDS": "0", **settings}), "from a test")


@pytest.fixture
def somewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Somewhere]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield Somewhere(monkeypatch)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_credential_source_that_fails_in_mid_run_ends_nothing(
    somewhere: Somewhere, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A token file that is away during its rotation: more receives fail than errors end a lane."""
    boto3.client("sqs", "us-west-1").send_message(QueueUrl=somewhere.url, MessageBody="{}")
    monkeypatch.setattr("sqs_worker.app.threading", SimpleNamespace(Event=Hasty))
    real, failures = botocore.client.BaseClient._make_api_call, []  # type: ignore[attr-defined]

    def call(client: Any, name: str, request: Any) -> Any:
        if name == "ReceiveMessage" and len(failures) < 2 * MOST_ERRORS:
            failures.append(name)
            raise FileNotFoundError(2, "No such file or directory", "/var/run/token")
        return real(client, name, request)

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", call)
    assert somewhere(MESSAGE_LIMIT="1", IDLE_TIMEOUT_SECONDS="0", **QUICK) == Exit.OK
    assert len(failures) == 2 * MOST_ERRORS
    assert "/var/run/token" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("missing", TABLES)
def test_an_error_about_a_table_names_the_table_at_once(
    somewhere: Somewhere, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    assert somewhere(**{**TABLES, missing: "no-such-table"}) == Exit.AWS
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert f"{missing}='no-such-table': " in line
    assert not [name for name in TABLES if name != missing and name in line]


def test_an_error_about_the_queue_names_it_in_plain_words(
    somewhere: Somewhere, caplog: pytest.LogCaptureFixture
) -> None:
    assert somewhere(QUEUE_URL=f"{somewhere.url}-gone", **TABLES) == Exit.AWS
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert f"{somewhere.url}-gone" in line
    assert "The specified queue does not exist" in line
    assert "wsdl" not in line


@pytest.mark.parametrize("operation", ["GetQueueAttributes", "TransactWriteItems"])
@pytest.mark.parametrize(
    ("code", "status", "again"),
    [
        ("InternalError", 500, True),
        ("ServiceUnavailable", 503, True),
        ("ThrottlingException", 400, True),
        ("AccessDenied", 403, False),
        ("ExpiredToken", 403, False),
        ("ValidationException", 400, False),
    ],
)
def test_what_may_pass_is_waited_for_and_nothing_else(
    somewhere: Somewhere,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    code: str,
    status: int,
    again: bool,
) -> None:
    clock = FakeTime()
    monkeypatch.setattr("sqs_worker.app.time", clock)
    calls = somewhere.failing(operation, {"Code": code, "Message": "said"}, status)
    assert somewhere(START_TIMEOUT_SECONDS="10", **TABLES) == Exit.AWS
    assert (calls.count(operation) > 3) == again
    assert sum(clock.sleeps) == (pytest.approx(10) if again else 0)
    assert "ReceiveMessage" not in calls


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

    monkeypatch.setattr("sqs_worker.events.os.write", write)


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
    begun = event not in {b"received", b"claimed"}  # before, the stop may come first
    assert run.inbox.deleted + ([] if begun else run.inbox.released) == ["a"]
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
    session.client.return_value.meta.endpoint_url = "http://localhost"
    monkeypatch.setattr("sqs_worker.app.access.opened", lambda *_: session)
    monkeypatch.setattr(
        "sqs_worker.app.SqsQueue", lambda _, connect, *__: connect(1.5) and run.inbox
    )
    run.brings([a_message("a")])
    assert run(MESSAGE_LIMIT="1", CONCURRENCY="3", **TABLES) == Exit.OK
    configs = [call.kwargs["config"] for call in session.client.call_args_list]
    assert [config.max_pool_connections for config in configs] == [8] * 3
    assert [config.retries["total_max_attempts"] for config in configs] == [2] * 3
    assert [config.read_timeout for config in configs] == [15, 1.5, 3]
    assert [config.connect_timeout for config in configs] == [2, 1.5, 2]
