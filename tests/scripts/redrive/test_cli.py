"""The door on real queues: what it shows, what it moves, and how it ends."""

from __future__ import annotations

import json
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.children import ROOT, Finished, Nursery, Process
from support.proxy import Proxy, Rule
from support.queues import COUNTS, QueueSet, QueueSets
from support.terminal import on_terminal
from support.waiting import wait_for

pytestmark = pytest.mark.integration
DOOR = (ROOT / "scripts", "redrive.py")
Redrive = Callable[..., Process]


@pytest.fixture
def redrive(nursery: Nursery, tmp_path: Path) -> Redrive:
    """``redrive(queues, "move", ..., NAME=value)``: started; its journal is under tmp_path."""

    def start(queues: QueueSet, *arguments: str, **environ: str) -> Process:
        env = {"ENV_FILE": "", "JOURNAL_PATH": str(tmp_path / "run.jsonl"), **queues.env, **environ}
        return nursery.start(DOOR, arguments, env)

    return start


def dead(queues: QueueSet, *bodies: str | Mapping[str, Any], **attributes: Any) -> None:
    """Dead-letter these messages: received as often as the policy allows, then once more."""
    for body in bodies:
        text = body if isinstance(body, str) else json.dumps(body)
        queues.sqs.send_message(
            QueueUrl=queues.queue_url, MessageBody=text, MessageAttributes=attributes
        )
    for _ in range(3):
        while queues.sqs.receive_message(
            QueueUrl=queues.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0
        ).get("Messages"):
            pass


def everything(queues: QueueSet, url: str) -> list[Any]:
    """All messages that are visible there; they stay hidden for a minute."""
    found: list[Any] = []
    while batch := queues.sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=60,
        WaitTimeSeconds=0,
        MessageAttributeNames=["All"],
    ).get("Messages"):
        found += batch
    return found


def counts(queues: QueueSet, url: str) -> tuple[int, int, int]:
    """Visible, in flight, delayed."""
    answer = queues.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=COUNTS)
    visible, hidden, delayed = (int(answer["Attributes"][name]) for name in COUNTS)
    return visible, hidden, delayed


def ids(messages: list[Any]) -> Counter[str]:
    return Counter(json.loads(one["Body"])["id"] for one in messages)


@pytest.mark.smoke
def test_what_is_moved_arrives_whole_and_tagged(queue_set: QueueSets, redrive: Redrive) -> None:
    queues = queue_set(wait=0)
    extra: Any = {"kind": {"DataType": "Binary.z", "BinaryValue": b"\x00\x01"}}
    dead(queues, *({"id": f"id-{n}", "n": n} for n in range(13)), **extra)
    ended = redrive(queues, "move", "--run", "first").wait()
    assert ended.code == 0, ended.output
    assert "moved 13, kept 0, failed 0" in ended.stdout
    assert not everything(queues, queues.dlq_url)
    found = everything(queues, queues.queue_url)
    assert ids(found) == dict.fromkeys((f"id-{n}" for n in range(13)), 1)
    for one in found:
        assert one["MessageAttributes"]["kind"] == extra["kind"]
        tag = json.loads(one["MessageAttributes"]["replay_tag"]["StringValue"])
        assert (tag["replay_count"], tag["replay_run"]) == (1, "first")
        assert tag["replayed_from"] != one["MessageId"]


@pytest.mark.slow
def test_inspect_and_dry_run_leave_all_visible(queue_set: QueueSets, redrive: Redrive) -> None:
    queues = queue_set(wait=0)
    dead(queues, *({"id": f"id-{n}", "secret": "hunter2"} for n in range(23)))
    for arguments in ((), ("inspect", "--json"), ("move", "--dry-run")):
        ended = redrive(queues, *arguments).wait()
        assert ended.code == 0, ended.output
        assert all(f"id-{n}" in ended.stdout for n in range(23))
        assert "hunter2" not in ended.output
    assert len(everything(queues, queues.dlq_url)) == 23
    assert not everything(queues, queues.queue_url)


@pytest.mark.smoke
def test_json_is_a_line_for_each(queue_set: QueueSets, redrive: Redrive) -> None:
    queues = queue_set(wait=0)
    dead(queues, {"id": "\x1b[2J"}, "no JSON")
    ended = redrive(queues, "inspect", "--json", "--bodies").wait()
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {row["id"] == row["message_id"] for row in rows} == {True, False}
    assert "\x1b" not in ended.stdout
    assert {row["body"] for row in rows} == {'{"id": "\\u001b[2J"}', "no JSON"}


def test_a_filter_a_limit_and_what_has_no_id(queue_set: QueueSets, redrive: Redrive) -> None:
    queues = queue_set(wait=0)
    dead(queues, *({"id": f"id-{n}", "n": n} for n in range(9)), "no JSON")
    first = redrive(queues, "move", "--filter", "payload.n >= `6`").wait()
    assert first.code == 0, first.output
    assert "moved 3, kept 7" in first.stdout
    assert ids(everything(queues, queues.queue_url)) == {"id-6": 1, "id-7": 1, "id-8": 1}
    canary = redrive(queues, "move", "--limit", "1").wait()
    assert "moved 1," in canary.stdout
    rest = redrive(queues, "move").wait()
    assert rest.code == 1, rest.output
    assert "moved 5, kept 1" in rest.stdout
    assert "has no id of its own" in rest.stdout
    (left,) = everything(queues, queues.dlq_url)
    assert left["Body"] == "no JSON"


@pytest.mark.slow
def test_a_completed_message_is_done_once_if_it_has_an_id_and_twice_if_not(
    queue_set: QueueSets, redrive: Redrive, run_consumer: Callable[..., Finished]
) -> None:
    """The whole case against MessageIds: the same fate, told apart by who made the id."""
    queues = queue_set(wait=0, visibility=1)
    dead_and_done = {
        "CRASH_AT": "after-complete",
        "SLEEP_MIN_SECONDS": "0",
        "SLEEP_MAX_SECONDS": "0",
    }
    for body in (json.dumps({"id": "own"}), "no id"):
        queues.send(body)
        for point in ("after-complete", "after-receive"):
            assert run_consumer({**queues.env, **dead_and_done, "CRASH_AT": point}).code == 86
        wait_for(lambda: not everything_visible(queues), seconds=10)
    shown = redrive(queues).wait()
    assert "2  COMPLETED: the work is done" in shown.stdout
    refused = redrive(queues, "move").wait()
    assert (refused.code, "moved 1, kept 1" in refused.stdout) == (1, True), refused.output
    assert "is completed under its MessageId" in refused.stdout
    consumed = run_consumer({**queues.env, "IDLE_TIMEOUT_SECONDS": "1", "WAIT_TIME_SECONDS": "0"})
    assert "already done 1" in consumed.output
    # Without the table nothing stands in the way of the user's word, nor of a second effect.
    said = redrive(queues, "move", "--allow-new-ids", "--status-table", "").wait()
    assert said.code == 0, said.output
    consumed = run_consumer({**queues.env, "IDLE_TIMEOUT_SECONDS": "1", "WAIT_TIME_SECONDS": "0"})
    assert "completed 1" in consumed.output
    rows = queues.status_rows()
    assert sum(row["effects"] for key, row in rows.items() if key == "own") == 1
    assert sum(row["effects"] for key, row in rows.items() if key != "own") == 2


def everything_visible(queues: QueueSet) -> bool:
    """A look at the queue itself, which is also what moves the exhausted into the DLQ."""
    queues.sqs.receive_message(QueueUrl=queues.queue_url, VisibilityTimeout=0)
    visible, hidden, delayed = counts(queues, queues.queue_url)
    return bool(visible + hidden + delayed)


def put_row(queues: QueueSet, key: str) -> None:
    row: Any = {"message_id": {"S": key}, "status": {"S": "COMPLETED"}}
    queues.dynamodb.put_item(TableName=queues.status_table, Item=row)


WARNS = "warning: {} has rows under key#"


def test_a_move_warns_first_where_the_rows_say_that_a_key_was_in_use(
    queue_set: QueueSets, redrive: Redrive
) -> None:
    """Without the key a consumer completes what was refused for it."""
    queues = queue_set(wait=0)
    dead(queues, {"id": "id-1"})
    put_row(queues, "id-0")
    said = redrive(queues, "move", "--dry-run").wait()
    assert "warning" not in said.stderr, said.output
    put_row(queues, 'key#["A17","charge"]')
    for arguments in ((), ("move",)):
        said = redrive(queues, *arguments).wait()
        warning, rest = said.stderr.split("IDEMPOTENCY_KEY, and set it here", 1)
        assert WARNS.format(queues.status_table) in warning
        assert "-> " not in warning, "it warns before it begins"
        assert said.code == 0, rest
    dead(queues, {"id": "id-2"})
    said = redrive(queues, "move", IDEMPOTENCY_KEY="order_id").wait()
    assert "warning" not in said.stderr, said.output


def test_a_table_that_may_not_be_scanned_stops_no_move(
    queue_set: QueueSets, redrive: Redrive, proxy: Callable[..., Proxy]
) -> None:
    queues = queue_set(wait=0)
    dead(queues, {"id": "id-1"})
    forbidden: Rule = {"error": {"code": "AccessDeniedException", "status": 400}}
    between = proxy([{"service": "dynamodb", "operation": "Scan", **forbidden}])
    said = redrive(queues, "move", AWS_ENDPOINT_URL=between.endpoint).wait()
    assert said.code == 0, said.output
    assert "cannot look for rows under key#" in said.stderr
    assert "AccessDenied" in said.stderr
    assert "moved 1" in said.stdout


@pytest.mark.slow
def test_drop_completed_deletes_without_sending(
    queue_set: QueueSets, redrive: Redrive, run_consumer: Callable[..., Finished]
) -> None:
    queues = queue_set(wait=0, visibility=1)
    queues.send({"id": "own"})
    for point in ("after-complete", "after-receive"):
        assert run_consumer({**queues.env, "CRASH_AT": point}).code == 86
    wait_for(lambda: not everything_visible(queues), seconds=10)
    dead(queues, {"id": "open"})
    ended = redrive(queues, "move", "--drop-completed").wait()
    assert "moved 1, dropped 1 that are completed, kept 0" in ended.stdout, ended.output
    assert ids(everything(queues, queues.queue_url)) == {"open": 1}
    assert not everything(queues, queues.dlq_url)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_back_at_once_and_a_second_run_goes_on(
    queue_set: QueueSets, redrive: Redrive, number: signal.Signals
) -> None:
    queues = queue_set(wait=0)
    dead(queues, *({"id": f"id-{n}"} for n in range(60)), "no JSON")
    process = redrive(queues, "move", "--rate", "30", "--visibility-timeout", "600")
    wait_for(lambda: len(queues_moved(queues)) > 5, seconds=10)
    process.signal(number)
    ended = process.wait(5)
    assert ended.code == 128 + number, ended.output
    assert "run it again to go on" in ended.stderr
    visible, hidden, _ = counts(queues, queues.dlq_url)
    assert (hidden, visible > 10) == (0, True)
    again = redrive(queues, "move").wait()
    assert again.code == 1
    assert ids(everything(queues, queues.queue_url)) == dict.fromkeys(
        (f"id-{n}" for n in range(60)), 1
    )


def queues_moved(queues: QueueSet) -> range:
    return range(counts(queues, queues.queue_url)[0])


@pytest.mark.slow
def test_a_rate_is_kept(queue_set: QueueSets, redrive: Redrive) -> None:
    queues = queue_set(wait=0)
    dead(queues, *({"id": f"id-{n}"} for n in range(40)))
    process = redrive(queues, "move", "--rate", "20")
    wait_for(lambda: len(queues_moved(queues)) > 0, seconds=10)
    began = time.monotonic()
    wait_for(lambda: len(queues_moved(queues)) == 40, seconds=20)
    assert 1.6 < time.monotonic() - began < 10
    assert process.wait().code == 0


def test_two_at_once_on_one_machine_are_one_too_many(
    queue_set: QueueSets, redrive: Redrive
) -> None:
    queues = queue_set(wait=0)
    dead(queues, *({"id": f"id-{n}"} for n in range(30)))
    first = redrive(queues, "move", "--rate", "1")
    wait_for(lambda: len(queues_moved(queues)) > 0, seconds=10)
    second = redrive(queues, "move").wait()
    assert second.code == 4
    assert "another redrive is at work" in second.stderr
    first.signal(signal.SIGTERM)
    assert first.wait().code == 143


@pytest.mark.slow
def test_two_at_once_on_two_machines_move_each_message_once(
    queue_set: QueueSets, redrive: Redrive, tmp_path: Path
) -> None:
    """Nothing but visibility stands between them, and it suffices."""
    queues = queue_set(wait=0)
    wanted = [str(uuid.uuid4()) for _ in range(100)]
    dead(queues, *({"id": key} for key in wanted))
    pair = [
        redrive(queues, "move", "--rate", "60", JOURNAL_PATH=str(tmp_path / name))
        for name in ("one", "other")
    ]
    assert [process.wait().code for process in pair] == [0, 0]
    assert ids(everything(queues, queues.queue_url)) == dict.fromkeys(wanted, 1)
    assert not everything(queues, queues.dlq_url)


@pytest.mark.slow
def test_ten_attributes_and_a_megabyte(queue_set: QueueSets, redrive: Redrive) -> None:
    queues = queue_set(wait=0)
    ten: Any = {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(10)}
    dead(queues, {"id": "ten"}, **ten)
    large = 1_000_000
    dead(queues, *({"id": f"large-{n}", "x": "y" * large} for n in range(3)))
    edge = json.dumps({"id": "edge", "x": ""})
    dead(queues, edge[:-2] + "y" * (1_048_576 - len(edge)) + edge[-2:])
    ended = redrive(queues, "move").wait()
    assert ended.code == 1, ended.output
    assert "moved 3, kept 2" in ended.stdout
    assert "no room for the tag; --allow-untagged moves it: ten" in ended.stdout
    assert "too large with the tag; --allow-untagged moves it without: edge" in ended.stdout
    ended = redrive(queues, "move", "--allow-untagged").wait()
    assert ended.code == 0, ended.output
    assert sorted(ids(everything(queues, queues.queue_url))) == [
        *("edge", "large-0", "large-1", "large-2", "ten"),
    ]


def test_the_producers_journal_beside_it_loses_nothing(
    queue_set: QueueSets, redrive: Redrive, run_producer: Callable[..., Finished], tmp_path: Path
) -> None:
    """It says `sent` of the very MessageIds that are in the DLQ now."""
    queues = queue_set(wait=0)
    shared = str(tmp_path / "shared.jsonl")
    run_producer(["--n", "5"], {**queues.env, "JOURNAL_PATH": shared})
    dead(queues)
    ended = redrive(queues, "move", JOURNAL_PATH=shared).wait()
    assert "moved 5, kept 0" in ended.stdout, ended.output
    assert len(everything(queues, queues.queue_url)) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "body", "copies", "left", "said"),
    [
        ("SendMessageBatch", '{{"id": "id-{}"}}', 2, 0, "10 may have been sent twice"),
        ("SendMessageBatch", "no id {}", 1, 10, "failed 10"),
        ("DeleteMessageBatch", '{{"id": "id-{}"}}', 1, 0, "moved 10, kept 0, failed 0"),
    ],
)
def test_a_lost_answer(
    queue_set: QueueSets,
    redrive: Redrive,
    proxy: Callable[[Sequence[Rule]], Proxy],
    operation: str,
    body: str,
    copies: int,
    left: int,
    said: str,
) -> None:
    """The call was carried out. A second copy is for those whose id tells that it is one."""
    queues = queue_set(wait=0)
    wanted = [body.format(n) for n in range(10)]
    dead(queues, *wanted)
    lost: Rule = {"service": "sqs", "operation": operation, "response": {"abort_frac": 0.0}}
    network = proxy([{**lost, "times": 1}])
    env = {"AWS_ENDPOINT_URL": network.endpoint, "MESSAGE_STATUS_TABLE": ""}
    ended = redrive(queues, "move", "--allow-new-ids", **env).wait()
    bodies = Counter(one["Body"] for one in everything(queues, queues.queue_url))
    assert bodies == dict.fromkeys(wanted, copies), ended.output
    assert said in ended.stdout
    assert ended.code == bool(left), ended.output
    assert len(everything(queues, queues.dlq_url)) == left


@pytest.mark.slow
def test_it_fits_a_terminal(queue_set: QueueSets, tmp_path: Path) -> None:
    queues = queue_set(wait=0)
    dead(queues, *({"id": str(uuid.uuid4()), "x": "word " * 60} for _ in range(3)), "no JSON")
    env = {**queues.env, "ENV_FILE": "", "JOURNAL_PATH": str(tmp_path / "run.jsonl")}
    door = [sys.executable, "scripts/redrive.py"]
    for arguments, code in ((["--help"], 0), (["inspect", "--bodies"], 0), (["move"], 1)):
        seen = on_terminal([*door, *arguments], env)
        assert seen.code == code, seen.raw
        long = [line for line in seen.lines if len(line) > 80 and " " in line.strip()]
        assert not long


def test_native_is_refused_where_the_service_does_not_know_it(
    queue_set: QueueSets, redrive: Redrive
) -> None:
    ended = redrive(queue_set(), "move", "--native", "--allow-new-ids").wait()
    assert ended.code == 3
    assert "this endpoint has not" in ended.stderr
    assert "Traceback" not in ended.output


@pytest.mark.slow
def test_what_cannot_be_used_is_one_line(queue_set: QueueSets, redrive: Redrive) -> None:
    queues = queue_set(wait=0)
    dead(queues, {"id": "a"})
    for environ, said in (
        ({"QUEUE_URL": f"{queues.queue_url}-none", "DLQ_ARN": ""}, "NonExistentQueue"),
        ({"DLQ_ARN": f"{queues.dlq_arn}-old"}, "belongs to another queue"),
        ({"MESSAGE_STATUS_TABLE": "no-such-table"}, "--status-table '' goes without it"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "check AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "nonsense"),
        ({"JOURNAL_PATH": "/dev/null/x"}, "/dev/null"),
    ):
        ended = redrive(queues, "move", **environ).wait()
        assert ended.code == 3, ended.output
        assert said in ended.stderr
        assert "Traceback" not in ended.output
    refused = redrive(queues, "move", "--limit", "x").wait()
    assert (refused.code, "--limit='x'" in refused.stderr) == (2, True)
    assert len(everything(queues, queues.dlq_url)) == 1
