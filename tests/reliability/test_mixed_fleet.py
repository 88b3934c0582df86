"""A consumer of the version before beside one of this version, on one queue and one pair of tables.

Nothing is lost or dead-lettered and each effect is there once, whoever of the two dies, and where.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from reliability.judging import history_of, judged
from support.children import CONSUMER, Nursery, Process
from support.older import unpacked
from support.queues import QueueSet
from support.waiting import wait_for

pytestmark = pytest.mark.integration

MODES = {
    "plain": {},
    "transactional": {"USE_TRANSACTIONAL_WRITES": "1"},
    "statements": {"USE_PARTIQL_STATEMENTS": "1", "COMMIT_BATCH": "3"},
}
COMMON = {
    "WAIT_TIME_SECONDS": "1",
    "MAX_MESSAGES": "3",
    "SLEEP_MIN_SECONDS": "0",
    "SLEEP_MAX_SECONDS": "0",
    "IDEMPOTENCY_CACHE_SIZE": "0",
}
BOUNDARIES = ("after-claim", "after-work", "between-writes", "after-complete", "before-delete")
DEATHS = [
    (boundary, mode, first)
    for boundary, mode, first in product(BOUNDARIES, MODES, ("older", "this"))
    if boundary != "between-writes" or mode != "transactional"
]
QUICK = {("between-writes", "plain", "older"), ("after-complete", "transactional", "this")}


@pytest.fixture
def doors(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    return {"older": unpacked(tmp_path / "older"), "this": CONSUMER}


def assert_all_held(made: QueueSet, ids: Sequence[str], journals: Sequence[Path]) -> None:
    history = history_of(made, ids, journals)
    assert not judged(history), [finding.seen for finding in judged(history)]
    assert (made.depth(), made.dlq_messages()) == (0, [])
    assert {history.row(one)["effects"] for one in ids} == {1}


@pytest.mark.parametrize(
    ("boundary", "mode", "first"),
    [
        pytest.param(*death, marks=[] if death in QUICK else pytest.mark.slow, id="-".join(death))
        for death in DEATHS
    ],
)
def test_one_dies_and_the_other_finishes(
    doors: dict[str, tuple[Path, str]],
    nursery: Nursery,
    queue_set,
    tmp_path: Path,
    boundary: str,
    mode: str,
    first: str,
) -> None:
    """Each message is sent a second time after the death, as a producer does without an answer."""
    made = queue_set(visibility=2, max_receive_count=5)
    ids = [str(uuid.uuid4()) for _ in range(6)]
    bodies = [json.dumps({"id": one, "work": 1}) for one in ids]
    made.send(*bodies)
    journals = [tmp_path / f"{name}.jsonl" for name in ("first", "second")]
    env = {**made.env, **COMMON, **MODES[mode], "IDLE_TIMEOUT_SECONDS": "3"}
    dying = {"CRASH_AT": boundary, "JOURNAL_PATH": str(journals[0])}
    assert nursery.start(doors[first], [], {**env, **dying}).wait().code == 86
    made.send(*bodies)
    second = doors["this" if first == "older" else "older"]
    ended = nursery.start(second, [], {**env, "JOURNAL_PATH": str(journals[1])}).wait()
    assert ended.code == 0, ended.output
    assert_all_held(made, ids, journals)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("older", "this"),
    [*((mode, mode) for mode in MODES), ("plain", "transactional"), ("transactional", "plain")],
)
def test_both_work_and_are_killed_at_random(
    doors: dict[str, tuple[Path, str]],
    nursery: Nursery,
    queue_set,
    tmp_path: Path,
    older: str,
    this: str,
) -> None:
    """Two of each with three lanes on 120 messages, each sent twice, killed three times over."""
    made = queue_set(visibility=2, max_receive_count=20)
    ids = [str(uuid.uuid4()) for _ in range(120)]
    bodies = [json.dumps({"id": one, "work": 1}) for one in ids * 2]
    random.shuffle(bodies)
    made.send(*bodies)
    work = {"SLEEP_MIN_SECONDS": "0.05", "SLEEP_MAX_SECONDS": "0.1", "CONCURRENCY": "3"}
    journals: list[Path] = []

    def start_all(idle: str) -> list[Process]:
        started = []
        for version, mode in (("older", older), ("this", this)) * 2:
            journals.append(tmp_path / f"{len(journals)}-{version}.jsonl")
            settings = {"JOURNAL_PATH": str(journals[-1]), "IDLE_TIMEOUT_SECONDS": idle}
            env = {**made.env, **COMMON, **MODES[mode], **work, **settings}
            started.append(nursery.start(doors[version], [], env))
        return started

    for _ in range(3):
        fleet, enough = start_all("0"), random.randint(3, 12)
        fleets = journals[-4:]
        wait_for(lambda f=fleets, n=enough: _completions(f) >= n, 60, "some completions")
        for child in fleet:
            child.kill()
    for child in start_all("4"):
        ended = child.wait(60)
        assert ended.code == 0, ended.output
    # One that was killed before it started has no journal.
    assert_all_held(made, ids, [path for path in journals if path.exists()])
    for version in ("older", "this"):
        assert _completions([path for path in journals if version in path.name]), version


def _completions(journals: Sequence[Path]) -> int:
    texts = [path.read_text() for path in journals if path.exists()]
    return sum(text.count('"event":"completed"') for text in texts)
