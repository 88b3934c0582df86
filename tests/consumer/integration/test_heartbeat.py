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
    """The proxy holds the extensions back until it is too late; another consumer steps in."""
    made = queue_set(visibility=1, max_receive_count=10)
    lost = {"service": "sqs", "operation": "ChangeMessageVisibilityBatch", "latency": 2500}
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
