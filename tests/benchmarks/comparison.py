"""Measures the subjects side by side and the tuned one at several sizes; judges nothing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.ground import Ground
from benchmarks.measure import Figures, Start, drained, measured, start_up
from benchmarks.steady import through_a_short_queue
from benchmarks.subjects import FLOOR, Subject, best, compared, tuned

WARM_UP = 20
"""Messages; microburst loads the SDK's models at the first call of each service."""
FEWEST = 50
MOST_LANES = 8
SHORT_RUNS = 5
IN_STEADY_STATE = 100_000
Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One line of a table. `kind`: compare, lanes, processes, depth or memory."""

    ground: str
    kind: str
    key: str
    name: str
    figures: Figures


def side_by_side(ground: Ground, messages: int, rounds: int, say: Say) -> Iterator[Row]:
    """All in turns, so that a busy moment of the machine meets them all; their medians."""
    subjects = compared(ground.name)
    starts: dict[str, Start] = {}
    taken: dict[str, list[Figures]] = {subject.key: [] for subject in subjects}
    for subject in subjects:
        measured(ground, subject, WARM_UP, Start(0, 0))
        starts[subject.key] = start_up(ground, subject)
    for number in range(rounds):
        for subject in subjects:
            say(f"{ground.name}: {subject.name}, round {number + 1} of {rounds}")
            count = max(FEWEST, int(messages * subject.share) // 10 * 10)
            taken[subject.key].append(measured(ground, subject, count, starts[subject.key]))
    for subject in subjects:
        figures = _median(taken[subject.key])
        yield Row(ground.name, "compare", subject.key, subject.name, figures)


def lanes(ground: Ground, messages: int, counts: Iterable[int], say: Say) -> Iterator[Row]:
    """One process with more and more lanes."""
    for count in counts:
        subject = tuned(count)
        say(f"{ground.name}: {subject.name}")
        part = max(FEWEST, messages * count // MOST_LANES // 10 * 10)
        figures = measured(ground, subject, part, start_up(ground, subject))
        yield Row(ground.name, "lanes", str(count), f"{count} lane(s)", figures)


def processes(ground: Ground, messages: int, counts: Iterable[int], say: Say) -> Iterator[Row]:
    """More and more processes of two lanes each, on one queue."""
    subject = tuned(2)
    start = start_up(ground, subject)
    for count in counts:
        say(f"{ground.name}: {count} process(es) of 2 lanes")
        part = max(FEWEST, messages // 2 // (10 * count) * 10 * count)
        figures = measured(ground, subject, part, start, processes=count)
        yield Row(ground.name, "processes", str(count), f"{count} process(es) of 2 lanes", figures)


def depths(ground: Ground, counts: Iterable[int], say: Say) -> Iterator[Row]:
    """The first thousand messages of longer and longer queues, with the floor beside.

    MiniStack looks at every message of a queue for each receive and delete; the floor shows that.
    """
    for subject in (best(ground.name), FLOOR):
        start = start_up(ground, subject)
        for depth in counts:
            say(f"{ground.name}: {subject.name}, {depth:,} messages in the queue")
            figures = drained(ground, ground.filled(depth), subject, min(depth, 1000), start)
            name = f"{_short(subject)}, {depth:,} in the queue"
            yield Row(ground.name, "depth", f"{subject.key}-{depth}", name, figures)


def memory(ground: Ground, counts: Sequence[int], say: Say) -> Iterator[Row]:
    """One process and more and more messages, sent while it works, so that the queue stays short.

    That is the same to the consumer, and takes minutes instead of the hour that MiniStack would
    need for a queue of 100,000. A new process on the same stack at the end tells whether it was the
    stack that slowed down. The fewest messages take a second, so several runs are made and
    their median counts.
    """
    subject = best(ground.name)
    start = start_up(ground, subject)
    fewest, *more = counts

    def short_run() -> Figures:
        runs = (through_a_short_queue(ground, subject, fewest, start) for _ in range(SHORT_RUNS))
        return _median(list(runs))

    say(f"{ground.name}: {fewest:,} messages through one process")
    yield Row(ground.name, "memory", str(fewest), f"{fewest:,} messages, one process", short_run())
    for count in more:
        say(f"{ground.name}: {count:,} messages through one process")
        figures = through_a_short_queue(ground, subject, count, start)
        yield Row(ground.name, "memory", str(count), f"{count:,} messages, one process", figures)
    say(f"{ground.name}: a new process on the same stack")
    yield Row(ground.name, "memory", "after", f"{fewest:,} more, new process", short_run())


def _short(subject: Subject) -> str:
    return "floor" if subject is FLOOR else "consumer, tuned"


def _median(taken: list[Figures]) -> Figures:
    """The round with the median rate, but with the median of CPU and the highest memory."""
    middle = sorted(taken, key=lambda one: one.rate)[len(taken) // 2]
    return replace(
        middle,
        cpu_ms=statistics.median(one.cpu_ms for one in taken),
        memory=max(one.memory for one in taken),
    )
