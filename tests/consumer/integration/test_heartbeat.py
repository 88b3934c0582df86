"""A heartbeat keeps long work to one delivery; without it, more deliveries and still one effect."""

import signal

import pytest

from consumer.integration.support import QUICK
from support.waiting import wait_for

pytestmark = pytest.mark.integration


def settings(work: float, beat: float, lanes: int = 4, batch: int = 1) -> dict[str, str]:
    return {
        **QUICK,
        "SLEEP_MIN_SECONDS": str(work),
        "SLEEP_MAX_SECONDS": str(work),
        "HEARTBEAT_SECONDS": str(beat),
        "CONCURRENCY": str(lanes),
        "MAX_MESSAGES": str(batch),
        "COMMIT_BATCH": str(batch),
        "USE_TRANSACTIONAL_WRITES": "1",
    }


def assert_each_once(made, ids: list[str], attempts: int | None = None) -> None:
    """One effect each, an empty queue; `attempts`: claims of each, where that is known."""
    rows = made.status_rows()
    assert {name: row.get("effects") for name, row in rows.items()} == dict.fromkeys(ids, 1)
    assert made.completed_rows().keys() == set(ids)
    assert (made.depth(), made.dlq_messages()) == (0, [])
    if attempts:
        assert {row["attempts"] for row in rows.values()} == {attempts}


def test_work_past_the_visibility_timeout_is_delivered_once(
    run_consumer, queue_set, journal
) -> None:
    """Two messages a lane, so that one of them waits, held, while the other is in work."""
    made = queue_set(visibility=2)
    ids = made.send_many(8)
    ended = run_consumer({**made.env, **settings(2.5, 0.5, batch=2), **journal.env})
    assert ended.code == 0, ended.output
    assert_each_once(made, ids, attempts=1)
    summary = journal.summary()
    assert (summary["received"], summary["stale_deletes"], summary["extend_refused"]) == (8, 0, 0)
    extensions = summary["calls"]["sqs.ChangeMessageVisibilityBatch"]
    assert extensions < journal.count("extended") / 3, "extensions go in batches"


def test_without_it_the_same_work_is_delivered_again_and_counts_once(
    run_consumer, queue_set, journal
) -> None:
    made = queue_set(visibility=1, max_receive_count=100)
    ids = made.send_many(4)
    ended = run_consumer({**made.env, **settings(1.5, 0, lanes=8), **journal.env}, 60)
    assert ended.code == 0, ended.output
    assert_each_once(made, ids)
    assert journal.summary()["received"] > 4


def test_it_ends_with_its_owner(start_consumer, run_consumer, queue_set, journal) -> None:
    """Killed in its work, it extends no more: another consumer gets the message."""
    made = queue_set(visibility=2, max_receive_count=10)
    ids = made.send_many(1)
    first = start_consumer({**made.env, **settings(60, 0.5), **journal.env})
    wait_for(lambda: journal.count("extended") > 1, what="two heartbeats", seconds=20)
    first.signal(signal.SIGKILL)
    first.wait()
    ended = run_consumer({**made.env, **settings(0, 0), **journal.env, "IDLE_TIMEOUT_SECONDS": "4"})
    assert ended.code == 0, ended.output
    assert_each_once(made, ids, attempts=2)


def test_a_refused_extension_is_reported_and_completes_at_most_once(
    start_consumer, queue_set, journal, proxy
) -> None:
    """No extension gets through until it is too late; another consumer steps in."""
    made = queue_set(visibility=1, max_receive_count=10)
    refused = {"code": "InternalError", "status": 500}
    lost = {"service": "sqs", "operation": "ChangeMessageVisibilityBatch", "error": refused}
    between = {"AWS_ENDPOINT_URL": proxy(rules=[lost]).endpoint}
    first = start_consumer({**made.env, **settings(4, 0.5, lanes=1), **journal.env, **between})
    ids = made.send_many(1)
    wait_for(lambda: journal.count("work_started"), what="work", seconds=20)
    second = start_consumer({**made.env, **settings(0, 0), **journal.env})
    endings = [second.wait(30), first.wait(30)]
    assert [ended.code for ended in endings] == [0, 0]
    assert_each_once(made, ids, attempts=2)
    assert journal.count("extend_refused") >= 1
    assert "cannot be extended" in endings[1].output
    effects = [event["effect"] for event in journal.events("completed")]
    assert sorted(effects) == [False, True]


def test_an_unanswered_extension_does_not_delay_the_next_one(
    start_consumer, queue_set, journal, proxy
) -> None:
    """Both tries of the SDK, after which a third of the visibility timeout is left."""
    made = queue_set(visibility=6, max_receive_count=10)
    silent = {"service": "sqs", "operation": "ChangeMessageVisibilityBatch", "timeout_ms": 60_000}
    between = {"AWS_ENDPOINT_URL": proxy(rules=[{**silent, "times": 2}]).endpoint}
    first = start_consumer({**made.env, **settings(8, 2, lanes=1), **journal.env, **between})
    ids = made.send_many(1)
    wait_for(lambda: journal.count("work_started"), what="work", seconds=20)
    patient = {**settings(0, 0), "MESSAGE_LIMIT": "1", "IDLE_TIMEOUT_SECONDS": "8"}
    second = start_consumer({**made.env, **patient, **journal.env})
    endings = [first.wait(30), second.wait(30)]
    assert [ended.code for ended in endings] == [0, 0]
    assert_each_once(made, ids, attempts=1)
    assert journal.count("received") == 1


@pytest.mark.parametrize("beat", [0, 2])
def test_an_answer_that_arrives_late_has_less_time(
    run_consumer, queue_set, journal, proxy, beat
) -> None:
    """4 of 6 s are over when it arrives: a heartbeat helps at once, and without it that is told."""
    made = queue_set(visibility=6, max_receive_count=10)
    ids = made.send_many(1)
    slow = {"bandwidth_kbps": 0.06}  # some 260 bytes take 4 s
    late = {"service": "sqs", "operation": "ReceiveMessage", "times": 1, "response": slow}
    between = {"AWS_ENDPOINT_URL": proxy(rules=[late]).endpoint, "MESSAGE_LIMIT": "1"}
    ended = run_consumer({**made.env, **settings(3, beat, lanes=1), **journal.env, **between})
    assert ended.code == 0, ended.output
    assert_each_once(made, ids)
    assert journal.summary()["late_finishes"] == (0 if beat else 1)


def test_a_lane_that_hangs_loses_its_message_at_the_limit(
    start_consumer, queue_set, journal
) -> None:
    """The heartbeat lives while the lane does not return; without a limit it would go on so."""
    made = queue_set(visibility=2, max_receive_count=10)
    hanging = {**settings(9, 0.5, lanes=1), "HEARTBEAT_LIMIT_SECONDS": "2"}
    ids = made.send_many(1)
    first = start_consumer({**made.env, **hanging, **journal.env, "MESSAGE_LIMIT": "1"})
    wait_for(lambda: journal.count("extended"), what="a heartbeat", seconds=20)
    patient = {**settings(0, 0), "MESSAGE_LIMIT": "1", "IDLE_TIMEOUT_SECONDS": "20"}
    second = start_consumer({**made.env, **patient, **journal.env})
    endings = [second.wait(30), first.wait(30)]
    assert [ended.code for ended in endings] == [0, 0]
    assert_each_once(made, ids, attempts=2)
    assert [event["seconds"] for event in journal.events("extend_ended")] == [2]
    assert endings[1].output.count("no longer extends its visibility timeout") == 1
    (last,) = journal.events("extended")[-1:]
    again = journal.events("received")[1]
    assert again["t"] >= last["visible_at"] - 0.5, (
        "it came back when its visibility timeout expired"
    )
    assert [event["effect"] for event in journal.events("completed")] == [True, False]
    assert journal.count("delete_stale") == 1
    assert "late finishes 1" in endings[1].output


def test_a_stop_does_not_wait_for_a_lane_that_hangs(start_consumer, queue_set, journal) -> None:
    made = queue_set(visibility=2, max_receive_count=10)
    hanging = {**settings(600, 0.5, lanes=1), "HEARTBEAT_LIMIT_SECONDS": "1"}
    made.send_many(1)
    child = start_consumer({**made.env, **hanging, **journal.env, "SHUTDOWN_GRACE_SECONDS": "2"})
    wait_for(lambda: journal.count("extend_ended"), what="the limit", seconds=20)
    child.signal()
    assert child.wait(10).code == 0
    assert journal.summary()["abandoned"] == 1


def test_a_frozen_process_wakes_up_with_stale_handles_and_no_second_effect(
    start_consumer, queue_set, journal
) -> None:
    """SIGSTOP stops the heartbeat, too: a machine that is paused, or starved, or moved."""
    made = queue_set(visibility=2, max_receive_count=10)
    ids = made.send_many(4)
    first = start_consumer({**made.env, **settings(1.5, 0.5), **journal.env, "MESSAGE_LIMIT": "4"})
    wait_for(lambda: journal.count("work_started") == 4, what="work", seconds=20)
    first.signal(signal.SIGSTOP)
    patient = {**settings(0, 0), "MESSAGE_LIMIT": "4", "IDLE_TIMEOUT_SECONDS": "20"}
    second = start_consumer({**made.env, **patient, **journal.env})
    assert second.wait(30).code == 0
    assert_each_once(made, ids, attempts=2)
    first.signal(signal.SIGCONT)
    woken = first.wait(30)
    assert woken.code == 0, woken.output
    assert_each_once(made, ids, attempts=2)
    effects = [event["effect"] for event in journal.events("completed")]
    assert sorted(effects) == [False] * 4 + [True] * 4
    assert journal.count("delete_stale") == 4
    assert journal.summary()["late_finishes"] == 4


def test_a_frozen_process_can_be_killed_and_its_messages_come_back(
    start_consumer, run_consumer, queue_set, journal
) -> None:
    made = queue_set(visibility=2, max_receive_count=10)
    ids = made.send_many(2)
    first = start_consumer({**made.env, **settings(30, 0.5), **journal.env})
    wait_for(lambda: journal.count("work_started") == 2, what="work", seconds=20)
    first.signal(signal.SIGSTOP)
    assert first.kill().code == -signal.SIGKILL
    ended = run_consumer({**made.env, **settings(0, 0), **journal.env, "IDLE_TIMEOUT_SECONDS": "4"})
    assert ended.code == 0, ended.output
    assert_each_once(made, ids, attempts=2)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_fifty_messages_of_six_seconds(run_consumer, queue_set, journal) -> None:
    """HEARTBEAT_SECONDS=1, visibility 2 s, 4 lanes."""
    made = queue_set(visibility=2)
    ids = made.send_many(50)
    ended = run_consumer({**made.env, **settings(6, 1), **journal.env}, 170)
    assert ended.code == 0, ended.output
    assert_each_once(made, ids, attempts=1)
    assert journal.summary()["received"] == 50
