"""A standard queue at its worst: copies, any order, stale handles, one message to two consumers."""

import pytest

from reliability.runs import Watched, verdict, watch
from support.waiting import wait_for

pytestmark = pytest.mark.integration

SETTINGS = {
    "WAIT_TIME_SECONDS": "1",
    "MAX_MESSAGES": "5",
    "SLEEP_MIN_SECONDS": "0",
    "SLEEP_MAX_SECONDS": "0.03",
}
TRANSACTIONAL = {"USE_TRANSACTIONAL_WRITES": "1"}
GROUPS = {"COMMIT_BATCH": "5"}
STATEMENTS = {"USE_PARTIQL_STATEMENTS": "1", **GROUPS}


def _races(watched: list[Watched]) -> int:
    """Messages that a second consumer claimed before the first one had completed them."""
    claims: dict[str, dict[str, float]] = {}
    done: dict[str, float] = {}
    for one in watched:
        for event in one.events("claimed", "completed"):
            if event.name == "claimed":
                claims.setdefault(event.id or "", {}).setdefault(event.who, event.t)
            else:
                done[event.id or ""] = min(event.t, done.get(event.id or "", event.t))
    return sum(sum(t < done[key] for t in first.values()) > 1 for key, first in claims.items())


def test_the_same_message_to_two_consumers_within_milliseconds(
    nursery, queue_set, tmp_path
) -> None:
    """Nothing is hidden for any time, so who asks gets what others work on: a race for each id.

    One consumer writes both tables at once, one in two steps, one in groups, one by statements.
    """
    made = queue_set(visibility=0, max_receive_count=1000)
    ways = [{}, TRANSACTIONAL, GROUPS, STATEMENTS]
    watched = [watch(nursery, tmp_path, {**made.env, **SETTINGS, **way}) for way in ways]
    wait_for(lambda: all(one.events("start") for one in watched), 30, "four consumers polling")
    ids = made.send_many(40)
    assert verdict(made, ids, watched) == []
    assert _races(watched) > 5
    completed = [event for one in watched for event in one.events("completed")]
    assert sum(event.data["effect"] for event in completed) == 40


def test_one_payload_in_several_messages(nursery, queue_set, tmp_path) -> None:
    """A producer whose answer was lost sends again: another MessageId, the same effect."""
    made = queue_set(visibility=5, max_receive_count=20)
    ids = [f"order-{n}" for n in range(20)]
    made.send(*[{"id": key, "work": 1} for _ in range(3) for key in ids])
    watched = [watch(nursery, tmp_path, {**made.env, **SETTINGS}) for _ in range(2)]
    assert verdict(made, ids, watched) == []
    assert {row["effects"] for row in made.status_rows().values()} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("mode", [{}, TRANSACTIONAL, GROUPS, STATEMENTS])
def test_copies_in_any_order_with_stale_handles(nursery, queue_set, tmp_path, mode) -> None:
    """Two consumers, each behind an adversary that doubles, shuffles and keeps back deliveries."""
    made = queue_set(visibility=1, max_receive_count=50)
    ids = made.send_many(150)
    env = {**made.env, **SETTINGS, **mode, "CONCURRENCY": "2", "IDEMPOTENCY_CACHE_SIZE": "20"}
    watched = [watch(nursery, tmp_path, env, "clock,adversary") for _ in range(2)]
    assert verdict(made, ids, watched) == []
    received = [event for one in watched for event in one.events("received")]
    assert len(received) > 1.2 * len(ids)
    assert any(one.events("delete_stale") for one in watched)
