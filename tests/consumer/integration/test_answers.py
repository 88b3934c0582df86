"""DynamoDB's endpoint answers nonsense, ignores conditions, or fails one row: what happens then."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from consumer.integration.support import Journal
from support.endpoint import Answer, Endpoint, PassOn, Reply
from support.waiting import wait_for

pytestmark = pytest.mark.integration

MODES = {
    "transactional": {"USE_TRANSACTIONAL_WRITES": "1"},
    "plain": {"USE_TRANSACTIONAL_WRITES": "0"},
    "statements": {"USE_TRANSACTIONAL_WRITES": "0", "USE_PARTIQL_STATEMENTS": "1"},
}
GROUPED = {
    "SLEEP_MIN_SECONDS": "0.02",
    "SLEEP_MAX_SECONDS": "0.02",
    "WAIT_TIME_SECONDS": "1",
    "MAX_MESSAGES": "5",
    "COMMIT_BATCH": "5",
    "CONCURRENCY": "2",
}
HTML: Reply = (200, b"<html>Sign in to the guest network</html>")


def passing(_operation: str, request: dict[str, Any], pass_on: PassOn) -> Reply:
    return pass_on(request)


def always(reply: Reply) -> Answer:
    return lambda *_: reply


def unconditional(_operation: str, request: dict[str, Any], pass_on: PassOn) -> Reply:
    """A store that ignores conditions."""
    for write in [request, *(one for item in request["TransactItems"] for one in item.values())]:
        write.pop("ConditionExpression", None)
    return pass_on(request)


@pytest.fixture
def endpoint(stack) -> Iterator[Callable[[Answer], Endpoint]]:
    opened: list[Endpoint] = []

    def start(answer: Answer) -> Endpoint:
        opened.append(Endpoint(stack.endpoint, answer))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (always(HTML), "not from AWS"),
        (always((200, b"{}")), "not from AWS"),
        (unconditional, "ignores conditions"),
    ],
    ids=["HTML", "{}", "no conditions"],
)
def test_a_start_on_what_is_no_dynamodb_ends_with_its_reason(
    run_consumer, queue_set, endpoint, answer: Answer, reason: str
) -> None:
    made = queue_set()
    made.send_many(3)
    env = {**made.env, "AWS_ENDPOINT_URL_DYNAMODB": endpoint(answer).endpoint}
    ended = run_consumer(env, 20)
    assert ended.code == 3, ended.output
    assert reason in ended.output
    assert "Traceback" not in ended.output
    assert made.depth() == 3


@pytest.mark.parametrize(
    ("mode", "reply"),
    [
        ("transactional", HTML),
        ("plain", (200, b"{}")),
        ("statements", (200, b'{"Responses": [{}]}')),
    ],
)
def test_nonsense_in_mid_run_is_an_outage(
    start_consumer, queue_set, endpoint, tmp_path, mode: str, reply: Reply
) -> None:
    """Nothing is deleted on the strength of it, and no message loses a receive."""
    made, front = queue_set(visibility=10), endpoint(passing)
    journal = Journal(tmp_path / "journal.jsonl")
    ids = made.send_many(40)
    env = {**made.env, **journal.env, **GROUPED, **MODES[mode], "MESSAGE_LIMIT": "40"}
    consumer = start_consumer({**env, "AWS_ENDPOINT_URL_DYNAMODB": front.endpoint})
    wait_for(lambda: journal.count("deleted") >= 5, 20, "the run under way")
    front.answer = always(reply)
    wait_for(lambda: journal.count("outage"), 20, "the outage seen")
    told = {event["id"] for event in journal.events("completed")}
    assert told <= set(made.completed_rows())
    front.answer = passing
    assert consumer.wait(40).code == 0, consumer.output
    assert {row["effects"] for row in made.status_rows().values()} == {1}
    assert set(made.completed_rows()) == set(ids)
    assert {event["receive_count"] for event in journal.events("received")} == {1}
    assert made.depth() == 0


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", MODES)
def test_one_row_that_cannot_be_written_stops_no_other_message(
    start_consumer, queue_set, endpoint, tmp_path, mode: str
) -> None:
    made = queue_set(visibility=3)
    ids = made.send_many(60)
    bad = ids[17]
    calls: Counter[str] = Counter()

    def failing(operation: str, request: dict[str, Any], pass_on: PassOn) -> Reply:
        is_bad = bad in json.dumps(request)
        calls[operation] += is_bad
        error = {"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}
        return (500, json.dumps(error).encode()) if is_bad else pass_on(request)

    journal = Journal(tmp_path / "journal.jsonl")
    env = {**made.env, **journal.env, **GROUPED, **MODES[mode], "HEARTBEAT_SECONDS": "1"}
    env["AWS_ENDPOINT_URL_DYNAMODB"] = endpoint(failing).endpoint
    consumer = start_consumer(env)
    wait_for(lambda: len(made.completed_rows()) == 59, 60, "the others")
    wait_for(made.dlq_messages, 60, "the bad one in the DLQ")
    consumer.signal()
    assert consumer.wait(20).code == 0, consumer.output
    assert [json.loads(message["Body"])["id"] for message in made.dlq_messages()] == [bad]
    assert {row["effects"] for row in made.status_rows().values()} == {1}
    assert bad not in made.completed_rows()
    assert journal.events("outage") == []
    receives = Counter(event["id"] for event in journal.events("received"))
    assert [key for key, count in receives.items() if count > 1] == [bad]
    assert sum(calls.values()) < 100  # two receives, each with a handful of tries
