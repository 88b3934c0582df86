"""The crash-point matrix: what a cell is, and how one is run.

python tests/reliability/crash_points.py    runs every cell, and prints those that do not hold
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from itertools import product
from pathlib import Path

from harness.history import Event, History
from harness.journals import Tail
from local_aws import child_environment, start, stop
from reliability.judging import history_of, judged
from sqs_worker.variables import CRASH_POINTS
from support.children import CONSUMER, Nursery
from support.queues import REGION, QueueSet, QueueSets
from support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
DOOR = (ROOT / "consumer", str(ROOT / "tests" / "reliability" / "door.py"))
AT_ONCE = 8  # cells; most of a cell's time is waiting for the visibility timeout
VISIBILITY = 2  # seconds
MANY_RECEIVES = 5  # before the DLQ: on a slow machine a delivery may be late, which is no loss
BATCH = 3


class Mode(Enum):
    """How completions are written."""

    PLAIN = "plain"
    TRANSACTIONAL = "transactional"
    PLAIN_GROUPED = "plain, grouped"
    TRANSACTIONAL_GROUPED = "transactional, grouped"
    PLAIN_STATEMENTS = "plain, statements"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "USE_TRANSACTIONAL_WRITES": "1" if "transactional" in self.value else "0",
            "COMMIT_BATCH": "1" if self in {Mode.PLAIN, Mode.TRANSACTIONAL} else str(BATCH),
            "USE_PARTIQL_STATEMENTS": "1" if "statements" in self.value else "0",
        }


class Death(Enum):
    """Who ends the first consumer: it does itself, or somebody from outside."""

    EXIT = "os._exit"
    SIGKILL = "SIGKILL"


@dataclass(frozen=True)
class Cell:
    """One way to die."""

    point: str
    mode: Mode
    lanes: int
    death: Death

    def __str__(self) -> str:
        lanes = f"{self.lanes} lane{'s' if self.lanes > 1 else ''}"
        return f"{self.point}, {self.mode.value}, {lanes}, {self.death.value}"


@dataclass(frozen=True)
class Result:
    """What a cell came to: `problems` is empty where all held."""

    cell: Cell
    problems: tuple[str, ...]


CELLS = tuple(
    Cell(point, mode, lanes, death)
    for point, mode, lanes, death in product(CRASH_POINTS, Mode, (1, 4), Death)
    if point != "between-writes" or "plain" in mode.value
)

# Claims of a message that stood at the boundary, once the second consumer has finished it.
ATTEMPTS = {
    "after-receive": 1,
    "after-claim": 2,
    "in-work": 2,
    "after-work": 2,
    "before-complete": 2,
    "between-writes": 2,
    "after-complete": 1,
    "before-delete": 1,
    "after-delete": 1,
}
LONG_WORK = {"in-heartbeat": "0.5", "in-shutdown": "0.4"}
COMMON = {"WAIT_TIME_SECONDS": "1", "MAX_MESSAGES": str(BATCH), "HEARTBEAT_SECONDS": "0.2"}


def run_cell(cell: Cell, made: QueueSet, folder: Path) -> Result:
    """Kill a consumer at the boundary, let a second one finish, and judge."""
    ids = made.send_many(4 * cell.lanes)
    nursery = Nursery(folder)
    journals = [folder / "first.jsonl", folder / "second.jsonl"]
    try:
        crashed = _die(cell, made, nursery, journals[0])
        _finish(made, ids, nursery, journals[1])
    except AssertionError as error:
        return Result(cell, (str(error),))
    finally:
        nursery.reap()
    history = history_of(made, ids, journals)
    return Result(cell, (*_odd_attempts(cell, history, crashed), *_findings(history)))


def _die(cell: Cell, made: QueueSet, nursery: Nursery, journal: Path) -> list[Event]:
    """Run the first consumer to its death; returns what stood at the boundary."""
    seconds = LONG_WORK.get(cell.point, "0")
    tail = Tail(journal)
    env = {
        **made.env,
        **COMMON,
        **cell.mode.settings,
        "CONCURRENCY": str(cell.lanes),
        "CRASH_AT": cell.point,
        "JOURNAL_PATH": str(journal),
        "SLEEP_MIN_SECONDS": seconds,
        "SLEEP_MAX_SECONDS": seconds,
        "HAND": "stop",
    }
    first = nursery.start(DOOR if cell.death is Death.SIGKILL else CONSUMER, [], env)
    if cell.point == "in-shutdown":
        wait_for(lambda: _named("work_started", tail), 20, "work")
        first.signal(signal.SIGTERM)
    wait_for(lambda: _named("crash", tail) or not first.running(), 30, "the boundary")
    ended = first.wait(20) if cell.death is Death.EXIT else first.kill()
    assert ended.code == (86 if cell.death is Death.EXIT else -9), ended.output
    crashed = _named("crash", tail)
    assert {event.data["point"] for event in crashed} == {cell.point}
    return crashed


def _finish(made: QueueSet, ids: Sequence[str], nursery: Nursery, journal: Path) -> None:
    """Run the second consumer until all is done; each message is in one table or in the DLQ."""
    env = {**made.env, **COMMON, "JOURNAL_PATH": str(journal)}
    work = {"SLEEP_MIN_SECONDS": "0", "SLEEP_MAX_SECONDS": "0"}
    second = nursery.start(CONSUMER, [], {**env, **work})
    tails = [Tail(journal.with_name("first.jsonl")), Tail(journal)]
    wait_for(_emptied(made, len(ids), tails), 40, "an empty queue")
    second.signal(signal.SIGTERM)
    ended = second.wait(20)
    assert ended.code == 0, ended.output


def _emptied(made: QueueSet, count: int, tails: Sequence[Tail]) -> Callable[[], bool]:
    """Whether the queue is empty; journals are cheap to ask, so the queue is asked rarely."""
    asked = 0

    def emptied() -> bool:
        nonlocal asked
        asked += 1
        gone = {event.id for tail in tails for event in tail.read() if event.name == "deleted"}
        return (len(gone) == count or asked % 10 == 0) and not made.depth()

    return emptied


def _named(name: str, tail: Tail) -> list[Event]:
    return [event for event in tail.read() if event.name == name]


def _findings(history: History) -> Iterable[str]:
    for finding in judged(history):
        yield f"{finding.verdict}: {finding.check}: {finding.seen} ({finding.look_at})"
    if history.dlq:
        yield f"{len(history.dlq)} messages in the DLQ"


def _odd_attempts(cell: Cell, history: History, crashed: Sequence[Event]) -> Iterable[str]:
    wanted = ATTEMPTS.get(cell.point)
    for event in crashed if wanted else ():
        row = (history.status or {}).get(event.id or "", {})
        if row.get("attempts") != wanted:
            yield f"{event.id}: attempts {row.get('attempts')}, wanted {wanted}"


def run_all(
    queue_sets: Callable[..., QueueSet], folder: Path, cells: Sequence[Cell] = CELLS
) -> list[Result]:
    """Every cell on a set of its own, several at a time, in the order of `cells`."""

    def run(numbered: tuple[int, Cell]) -> Result:
        number, cell = numbered
        own = folder / f"cell-{number}"
        own.mkdir(parents=True)
        made = queue_sets(visibility=VISIBILITY, max_receive_count=MANY_RECEIVES)
        return run_cell(cell, made, own)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, enumerate(cells)))


def main() -> int:
    """Run the matrix on a stack of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack = start(folder / "stack", 0, REGION)
        try:
            sets = QueueSets(stack.endpoint, child_environment(stack.endpoint, REGION))
            results = run_all(sets, folder)
        finally:
            stop(folder / "stack")
    bad = [result for result in results if result.problems]
    for result in bad:
        print(result.cell, *result.problems, sep="\n  ", file=sys.stderr)  # noqa: T201
    print(f"{len(results) - len(bad)} of {len(results)} hold")  # noqa: T201
    return 1 if bad else os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
