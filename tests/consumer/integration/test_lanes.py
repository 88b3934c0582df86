"""No number of lanes and no size of a commit loosens what must always hold."""

import signal
import uuid
from collections import Counter

import pytest

from consumer.integration.support import QUICK, Journal
from sqs_worker.exits import Exit
from support.queues import QueueSet
from support.waiting import wait_for

pytestmark = pytest.mark.integration

LANES = (1, 4, 16)
GROUPS = (1, 10)
EVERY = [(str(lanes), str(group)) for lanes in LANES for group in GROUPS]
GROUPED = ("4", "10")
MANY = ("16", "10")


def combinations(*quick: tuple[str, str]) -> pytest.MarkDecorator:
    """Every number of lanes with every size of a commit; all but `quick` count as slow."""
    chosen = [
        pytest.param(
            *one,
            id=f"{one[0]}-lanes-commit-{one[1]}",
            marks=[] if one in quick else pytest.mark.slow,
        )
        for one in EVERY
    ]
    return pytest.mark.parametrize(("lanes", "group"), chosen)


def env(made: QueueSet, journal: Journal, lanes: str, group: str, **more: str) -> dict[str, str]:
    return {
        **made.env,
        **QUICK,
        **journal.env,
        "USE_TRANSACTIONAL_WRITES": "1",
        "MAX_MESSAGES": "10",
        "CONCURRENCY": lanes,
        "COMMIT_BATCH": group,
        **more,
    }


def assert_invariants(made: QueueSet, journal: Journal, good: set[str]) -> None:
    """No loss, one effect, both tables agree, and attempts are deliveries that were claimed.

    A process that dies leaves claims that its journal does not tell of; receives it tells of.
    """
    rows = made.status_rows()
    completed = {name: row for name, row in rows.items() if row["status"] == "COMPLETED"}
    assert completed.keys() == good == made.completed_rows().keys()
    assert {row["effects"] for row in completed.values()} == {1}
    assert all(row.get("effects", 0) == 0 for name, row in rows.items() if name not in good)
    assert made.depth() == 0
    claimed = Counter(event["id"] for event in journal.events("claimed"))
    received = Counter(event["id"] for event in journal.events("received"))
    for name, row in rows.items():
        assert claimed[name] <= row["attempts"] <= received[name], name


@combinations(GROUPED)
@pytest.mark.smoke
def test_good_and_poison_in_one_batch(run_consumer, queue_set, journal, lanes, group) -> None:
    made = queue_set(visibility=2)
    good = [str(uuid.uuid4()) for _ in range(54)]
    bodies = [{"id": name} for name in good]
    bodies[::9] = [{"id": f"poison-{n}", "poison": True} for n in range(6)]
    made.send(*bodies)
    ended = run_consumer(
        env(made, journal, lanes, group, REJECT_PAYLOAD_MARKER="poison", IDLE_TIMEOUT_SECONDS="3"),
        40,
    )
    assert ended.code == 0, ended.output
    sent = {body["id"] for body in bodies}
    poison = {name for name in sent if name.startswith("poison")}
    assert_invariants(made, journal, sent - poison)
    assert len(made.dlq_messages()) == 6
    rows = made.status_rows()
    assert {(rows[name]["status"], rows[name]["attempts"]) for name in poison} == {("FAILED", 2)}


@combinations(MANY)
@pytest.mark.parametrize(
    "point",
    [
        pytest.param("after-claim", marks=pytest.mark.slow),
        pytest.param("after-complete", marks=pytest.mark.slow),
        "before-delete",
    ],
)
@pytest.mark.smoke
def test_a_crash_in_the_middle_of_a_group_leaves_nothing_half_done(
    run_consumer, queue_set, journal, lanes, group, point
) -> None:
    made = queue_set(visibility=1, max_receive_count=10)
    ids = set(made.send_many(60))
    died = run_consumer(env(made, journal, lanes, group, CRASH_AT=point))
    assert died.code == Exit.CRASHED, died.output
    rows = made.status_rows()
    done = {name for name, row in rows.items() if row["status"] == "COMPLETED"}
    assert done == made.completed_rows().keys(), "a transaction is whole or not there"
    assert made.depth() == 60 - journal.count("deleted")
    ended = run_consumer(env(made, journal, lanes, group, IDLE_TIMEOUT_SECONDS="2"), 40)
    assert ended.code == 0, ended.output
    assert_invariants(made, journal, ids)


@combinations()
def test_kill_9_at_any_moment(start_consumer, run_consumer, queue_set, journal, lanes, group):
    made = queue_set(visibility=1, max_receive_count=10)
    ids = set(made.send_many(150))
    for part in (20, 60):
        child = start_consumer(env(made, journal, lanes, group, IDLE_TIMEOUT_SECONDS="0"))
        wait_for(lambda part=part: journal.count("completed") >= part, what="completions")
        child.signal(signal.SIGKILL)
        child.wait()
    ended = run_consumer(env(made, journal, lanes, group, IDLE_TIMEOUT_SECONDS="2"), 60)
    assert ended.code == 0, ended.output
    rows = made.status_rows()
    assert {name: row["effects"] for name, row in rows.items()} == dict.fromkeys(ids, 1)
    assert made.completed_rows().keys() == ids
    assert (made.depth(), made.dlq_messages()) == (0, [])


@combinations(GROUPED)
@pytest.mark.smoke
def test_two_consumers_that_get_the_same_messages(
    start_consumer, queue_set, tmp_path, lanes, group
) -> None:
    """Work outlasts the visibility, so that both claim and complete the same ids at once."""
    made = queue_set(visibility=1, max_receive_count=100)
    ids = set(made.send_many(12))
    slow = {"SLEEP_MIN_SECONDS": "0.3", "SLEEP_MAX_SECONDS": "0.3", "IDLE_TIMEOUT_SECONDS": "2"}
    journals = [Journal(tmp_path / f"{number}.jsonl") for number in range(2)]
    children = [start_consumer(env(made, one, lanes, group, **slow)) for one in journals]
    for child in children:
        ended = child.wait(60)
        assert ended.code == 0, ended.output
    assert {n: r["effects"] for n, r in made.status_rows().items()} == dict.fromkeys(ids, 1)
    assert made.completed_rows().keys() == ids
    assert made.depth() == 0
    effects = [e["id"] for one in journals for e in one.events("completed") if e["effect"]]
    assert sorted(effects) == sorted(ids), "one process saw itself make each effect, and only one"


@combinations(MANY)
def test_calls_are_counted_whatever_the_lanes(
    run_consumer, queue_set, journal, lanes, group
) -> None:
    """A full batch costs four calls with grouped commits, thirteen without."""
    made = queue_set(visibility=30)
    made.send_many(400)
    ended = run_consumer(env(made, journal, lanes, group, MESSAGE_LIMIT="400"), 40)
    assert ended.code == 0, ended.output
    calls = journal.summary()["calls"]
    assert sum(calls.values()) / 400 <= (0.45 if group == "10" else 1.4), calls
