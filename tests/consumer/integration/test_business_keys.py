"""Two messages about one order, on a real queue: one effect, whoever dies and however they meet."""

import json
import random
import time
from itertools import product

import pytest

from consumer.integration.support import QUICK, Journal
from reliability.crash_points import DOOR
from sqs_worker.message import digest_of
from support.queues import QueueSet
from support.waiting import wait_for

pytestmark = pytest.mark.integration

KEY = 'key#["A17","charge"]'
MODES = [
    {"CONCURRENCY": lanes, "COMMIT_BATCH": group, "USE_TRANSACTIONAL_WRITES": transactional}
    for lanes, group, transactional in product("14", ("1", "10"), "01")
]
SIMPLEST, RICHEST = MODES[0], MODES[-1]
DEATHS = {"after-claim": 2, "between-writes": 2, "after-complete": 1, "before-delete": 1}
"""Where the first consumer is killed, and the claims of the key once the second is through."""
HIDDEN = "6"  # seconds for which the first message is out of the way


def named(mode: dict[str, str]) -> str:
    lanes, group, transactional = mode.values()
    return f"{lanes}-lanes-commit-{group}-{'transactional' if transactional == '1' else 'plain'}"


in_every_mode = pytest.mark.parametrize(
    "mode",
    [
        pytest.param(m, id=named(m), marks=[] if m in (SIMPLEST, RICHEST) else pytest.mark.slow)
        for m in MODES
    ],
)


def order(name: str, **fields: object) -> dict[str, object]:
    return {"id": name, "order_id": "A17", "action": "charge", "work": 5, **fields}


def env(made: QueueSet, journal: Journal, mode: dict[str, str], **more: str) -> dict[str, str]:
    settings = {"IDEMPOTENCY_KEY": "[order_id, action]", "MAX_MESSAGES": "10", **mode}
    return {**made.env, **QUICK, **journal.env, **settings, **more}


def assert_one_effect(made: QueueSet, journal: Journal, attempts: int) -> None:
    """One row in each table, one effect that one consumer tells of, and nothing left anywhere."""
    rows = made.status_rows()
    assert list(rows) == list(made.completed_rows()) == [KEY]
    assert (rows[KEY]["status"], rows[KEY]["effects"]) == ("COMPLETED", 1)
    assert rows[KEY]["attempts"] == attempts
    assert sum(event["effect"] for event in journal.events("completed")) <= 1
    assert (made.depth(), made.dlq_messages()) == (0, [])


@in_every_mode
def test_both_in_one_batch(run_consumer, queue_set, journal, mode) -> None:
    made = queue_set(visibility=30)
    made.send(order("m-1"), order("m-2"))
    ended = run_consumer(env(made, journal, mode, WAIT_TIME_SECONDS="2"))
    assert ended.code == 0, ended.output
    assert_one_effect(made, journal, attempts=1)
    assert {event["key"] for event in journal.events("received")} == {KEY}
    assert sorted(event["id"] for event in journal.events("deleted")) == ["m-1", "m-2"]
    assert (journal.summary()["completed"], journal.summary()["already_done"]) == (1, 1)


@in_every_mode
def test_two_consumers_at_once(start_consumer, queue_set, journal, mode) -> None:
    """The second message is sent when the work on the first begins, and takes as long."""
    made = queue_set(visibility=30)
    work = {"SLEEP_MIN_SECONDS": "1", "SLEEP_MAX_SECONDS": "1", "WAIT_TIME_SECONDS": "20"}
    settings = env(made, journal, mode, **work, IDLE_TIMEOUT_SECONDS="0", MESSAGE_LIMIT="1")
    settings["SHUTDOWN_GRACE_SECONDS"] = "25"
    pair = [start_consumer(settings), start_consumer(settings)]
    wait_for(lambda: journal.count("start") == 2, what="two consumers")
    made.send(order("m-1"))
    wait_for(lambda: journal.count("work_started"), what="the work on the first")
    made.send(order("m-2"))
    assert [child.wait().code for child in pair] == [0, 0]
    begun, done = journal.events("work_started"), journal.events("worked")
    assert len({event["who"] for event in begun}) == len(done) == 2
    assert begun[1]["t"] < done[0]["t"], "the second began after the first had ended"
    assert [event["effect"] for event in journal.events("completed")].count(True) == 1
    assert_one_effect(made, journal, attempts=2)


@pytest.mark.parametrize(
    ("mode", "point"),
    [
        pytest.param(
            mode,
            point,
            id=f"{point}-{named(mode)}",
            marks=[] if (mode, point) == (SIMPLEST, "after-claim") else pytest.mark.slow,
        )
        for mode, point in product(MODES, DEATHS)
        if point != "between-writes" or mode["USE_TRANSACTIONAL_WRITES"] == "0"
    ],
)
def test_a_message_takes_over_from_one_whose_consumer_was_killed(
    run_consumer, nursery, queue_set, journal, mode, point
) -> None:
    """SIGKILL at the boundary with the first; the second then finds its key, done or half done.

    The first polls shortly: a long poll of the dead would still take the second message.
    """
    made = queue_set(visibility=2, max_receive_count=5)
    made.send(order("m-1"))
    dying = {"CRASH_AT": point, "HAND": "stop", "VISIBILITY_TIMEOUT_SECONDS": HIDDEN}
    first = nursery.start(DOOR, [], env(made, journal, mode, **dying, WAIT_TIME_SECONDS="0"))
    wait_for(lambda: journal.count("crash"), what="the boundary")
    assert first.kill().code == -9
    made.send(order("m-2"))
    ended = run_consumer(env(made, journal, mode, MESSAGE_LIMIT="1"))
    assert ended.code == 0, ended.output
    assert [event["id"] for event in journal.events("deleted")] == ["m-2"]
    row = made.status_rows()[KEY]
    assert (row["status"], row["effects"], row["attempts"]) == ("COMPLETED", 1, DEATHS[point])
    ended = run_consumer(env(made, journal, mode, MESSAGE_LIMIT="1", IDLE_TIMEOUT_SECONDS="9"))
    assert ended.code == 0, ended.output
    assert journal.events("deleted")[-1]["id"] == "m-1"
    assert_one_effect(made, journal, DEATHS[point])


@pytest.mark.slow
@pytest.mark.parametrize("transactional", ["0", "1"])
def test_kill_9_at_any_moment(
    start_consumer, run_consumer, queue_set, journal, transactional
) -> None:
    """100 orders, each of them twice, under ten lanes that die four times."""
    made = queue_set(visibility=1, max_receive_count=10)
    bodies = [order(f"m-{n}", order_id=f"o-{n % 100}") for n in range(200)]
    random.shuffle(bodies)
    made.send(*bodies)
    mode = {"USE_TRANSACTIONAL_WRITES": transactional, "CONCURRENCY": "10", "COMMIT_BATCH": "10"}
    work = {"SLEEP_MIN_SECONDS": "0.1", "SLEEP_MAX_SECONDS": "0.1"}  # some is left for each death
    settings = env(made, journal, mode, WAIT_TIME_SECONDS="0", **work)
    for _ in range(4):
        seen = journal.count("received")
        child = start_consumer(settings)
        wait_for(lambda seen=seen: journal.count("received") > seen, what="a receive")
        time.sleep(random.uniform(0, 0.25))
        child.kill()
    ended = run_consumer({**settings, "IDLE_TIMEOUT_SECONDS": "3"}, 60)
    assert ended.code == 0, ended.output
    rows = made.status_rows()
    assert rows.keys() == made.completed_rows().keys()
    assert rows.keys() == {f'key#["o-{n}","charge"]' for n in range(100)}
    assert {(row["status"], row["effects"]) for row in rows.values()} == {("COMPLETED", 1)}
    assert (made.depth(), made.dlq_messages()) == (0, [])


@in_every_mode
def test_what_has_no_key_or_another_payload_ends_in_the_dlq(
    run_consumer, queue_set, journal, mode
) -> None:
    made = queue_set(visibility=1)
    bodies = [order("m-1"), order("m-2"), order("m-3", work=6)]
    keyless = [{"id": "m-4", "order_id": "A17"}, order("m-5", action=None)]
    made.send(bodies[0])
    assert run_consumer(env(made, journal, mode)).code == 0
    made.send(*bodies[1:], *keyless, "no JSON")
    ended = run_consumer(env(made, journal, mode, IDLE_TIMEOUT_SECONDS="3"))
    assert ended.code == 0, ended.output
    dead = [message["Body"] for message in made.dlq_messages()]
    assert sorted(dead) == sorted([*(json.dumps(b) for b in (bodies[2], *keyless)), "no JSON"])
    assert made.depth() == 0
    rows = made.status_rows()
    assert (rows[KEY]["effects"], rows[KEY]["attempts"], list(made.completed_rows())) == (
        1,
        1,
        [KEY],
    )
    for name in ("m-4", "m-5"):
        assert (rows[name]["status"], rows[name]["attempts"]) == ("FAILED", 2)
        assert "IDEMPOTENCY_KEY='[order_id, action]': action is missing" in rows[name]["reason"]
    assert "m-3" not in rows
    summary = journal.summary()
    assert (summary["no_key"], summary["payload_changed"], summary["failed"]) == (6, 2, 6)
    assert "no key 6" in ended.output
    assert "another body" in ended.output
    worked = {event["id"] for event in journal.events("worked")}
    assert worked == {"m-1"}


def test_a_record_past_its_time_counts_as_absent(run_consumer, queue_set, journal) -> None:
    """TTL deletes late, so the key of a business long ago is still there; it is done anew."""
    made = queue_set(visibility=30)
    made.send(order("m-1"))
    assert run_consumer(env(made, journal, {})).code == 0
    for table in (made.status_table, made.completed_table):
        made.dynamodb.update_item(
            TableName=table,
            Key={"message_id": {"S": KEY}},
            UpdateExpression="SET expires_at = :past",
            ExpressionAttributeValues={":past": {"N": str(int(time.time()) - 1)}},
        )
    made.send(order("m-2"))
    assert run_consumer(env(made, journal, {})).code == 0
    assert [event["effect"] for event in journal.events("completed")] == [True, True]
    row = made.status_rows()[KEY]
    assert (row["effects"], row["attempts"]) == (1, 1)


@pytest.mark.parametrize(
    ("body", "deleted"),
    [
        ('{"id": "m-1", "order_id": "A17"}', ["m-1"]),
        ('{"order_id":"A17","id":"m-1"}', ["m-1"]),
        ('{"id": "m-1", "order_id": "A18"}', []),
    ],
    ids=["the same", "another form of it", "another body"],
)
def test_what_was_done_under_its_id_before_the_setting_came_is_done(
    run_consumer, queue_set, journal, body, deleted
) -> None:
    """It has no key, so it would be refused; another body under that id is another message."""
    made = queue_set(visibility=30)
    made.send('{"id": "m-1", "order_id": "A17"}')
    assert run_consumer(env(made, journal, {}, IDEMPOTENCY_KEY="")).code == 0
    journal.path.unlink()
    made.send(body)
    assert run_consumer(env(made, journal, {})).code == 0
    assert [event["id"] for event in journal.events("deleted")] == deleted
    assert journal.count("worked") == 0
    assert made.status_rows()["m-1"]["effects"] == 1


def test_without_the_setting_the_digest_is_of_the_body(run_consumer, queue_set, journal) -> None:
    made = queue_set(visibility=30)
    made.send(order("m-1"))
    assert run_consumer(env(made, journal, {}, IDEMPOTENCY_KEY="")).code == 0
    assert made.status_rows()["m-1"]["digest"] == digest_of(json.dumps(order("m-1")))
