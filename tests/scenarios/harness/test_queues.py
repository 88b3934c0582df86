"""Draining, looking and counting, and reading rows, on a real queue."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from harness.queues import Queues, Tables
from support.waiting import wait_for

if TYPE_CHECKING:
    from support.queues import QueueSet, QueueSets

pytestmark = pytest.mark.integration


@pytest.fixture
def made(queue_set: QueueSets) -> QueueSet:
    return queue_set(visibility=1, max_receive_count=1)


@pytest.fixture
def queues(made: QueueSet) -> Queues:
    return Queues(made.sqs, made.queue_url, made.dlq_url, wait=0)


def test_what_is_left_in_the_queue_is_seen_and_stays(made: QueueSet, queues: Queues) -> None:
    made.send({"id": "a"}, {"id": "b"}, "not json", {"id": 7})
    found = queues.left_in_queue({"a", "gone"})
    assert list(found) == ["a"]
    assert found["a"].receive_count == 1
    assert queues.sample().visible == 4


def test_a_dead_lettered_message_names_its_source(made: QueueSet, queues: Queues) -> None:
    made.send({"id": "a"})
    deadline = time.monotonic() + 10
    while not queues.dead_lettered({"a"}):
        queues.left_in_queue({"a"})  # a receive too many is what moves it (quirk 4)
        assert time.monotonic() < deadline
    held = queues.dead_lettered({"a"})["a"]
    assert held.source_arn == made.dlq_arn.removesuffix("-dlq")
    assert queues.sample().dlq == 1


def test_drain_takes_what_is_in_flight_as_well(made: QueueSet, queues: Queues) -> None:
    made.send({"id": "a"}, {"id": "b"}, {"id": "c"})
    made.sqs.receive_message(QueueUrl=made.queue_url, VisibilityTimeout=1)
    made.sqs.send_message(QueueUrl=made.dlq_url, MessageBody="{}")
    drained = queues.drain(8.0, time.sleep)
    assert drained.in_flight == 0
    assert drained.queue + drained.dlq == 4
    assert queues.sample().backlog == queues.sample().dlq == 0


def test_drain_takes_what_comes_back_between_its_last_receive_and_its_count(
    made: QueueSet, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.send({"id": "a"})
    made.sqs.receive_message(QueueUrl=made.queue_url, VisibilityTimeout=2)
    count = queues._counts

    def late(url: str) -> tuple[int, int, int]:
        wait_for(lambda: count(made.queue_url)[1] == 0, 5, "the message is visible again")
        return count(url)

    monkeypatch.setattr(queues, "_counts", late)
    drained = queues.drain(8.0, time.sleep)
    assert drained.queue + drained.dlq == 1


def test_drain_gives_up_in_time_and_says_what_is_in_flight(made: QueueSet, queues: Queues) -> None:
    made.send({"id": "a"})
    made.sqs.receive_message(QueueUrl=made.queue_url, VisibilityTimeout=60)
    assert queues.drain(0.3, time.sleep).in_flight == 1


def test_rows_of_the_ids_asked_for_and_no_others(made: QueueSet) -> None:
    for key in [f"m{n}" for n in range(120)]:
        item = {"message_id": {"S": key}, "effects": {"N": "1"}, "completed_at": {"N": "1.5"}}
        made.dynamodb.put_item(TableName=made.status_table, Item=item)  # type: ignore[arg-type]
    tables = Tables(made.dynamodb, made.status_table, made.completed_table)
    asked = [f"m{n}" for n in range(110)]
    rows = tables.rows([*asked, "m0", "absent"])
    assert sorted(rows["status"]) == sorted(asked)
    assert rows["status"]["m7"] == {"message_id": "m7", "effects": 1, "completed_at": 1.5}
    assert rows["completed"] == {}
    assert json.dumps(rows)
