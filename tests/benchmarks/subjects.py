"""What is measured side by side: what each runs and with which settings; runs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONSUMER = HERE.parents[1] / "consumer"
NO_WORK = {
    "SLEEP_MIN_SECONDS": "0",
    "SLEEP_MAX_SECONDS": "0",
    "USE_TRANSACTIONAL_WRITES": "1",
    "LOG_FORMAT": "json",
}


@dataclass(frozen=True)
class Subject:
    """One row of the table. `share`: of --messages behind latency, where a slow loop takes long."""

    key: str
    name: str
    folder: Path
    script: str
    share: float
    settings: dict[str, str] = field(default_factory=dict)


def consumer(key: str, name: str, share: float, **settings: str) -> Subject:
    """The consumer with no simulated work, in transactional mode, and these settings."""
    return Subject(key, name, CONSUMER, "consume.py", share, {**NO_WORK, **settings})


def tuned(lanes: int) -> Subject:
    """Full batches, grouped commits, this many lanes."""
    settings = {"MAX_MESSAGES": "10", "COMMIT_BATCH": "10", "CONCURRENCY": str(lanes)}
    return consumer(f"lanes-{lanes}", f"{lanes} lane(s), grouped commits", 1, **settings)


LANES = {"aws-like": 16, "direct": 4}
"""Of the tuned consumer: lanes hide latency, so they are few where there is none to hide."""
DEFAULT = consumer("default", "(a) consumer, defaults", 0.1)
BATCH = consumer("batch", "(b) consumer, MAX_MESSAGES=10", 0.25, MAX_MESSAGES="10")
REFERENCE = Subject("reference", "(d) reference loop", HERE, "reference_loop.py", 0.1)
FLOOR = Subject("floor", "(e) floor: no idempotency", HERE, "floor_loop.py", 1)


def best(ground: str) -> Subject:
    """The tuned consumer of a ground."""
    return replace(
        tuned(LANES[ground]), key="tuned", name=f"(c) consumer, tuned: {LANES[ground]} lanes"
    )


def another(ground: str, key: str, name: str, **settings: str) -> Subject:
    """The tuned consumer with other writes."""
    tuned_one = best(ground)
    return replace(tuned_one, key=key, name=name, settings=tuned_one.settings | settings)


def compared(ground: str) -> tuple[Subject, ...]:
    """In the order of the table. Without latency all take as many messages, since the stack is the
    slower, the longer its queue, and a second's worth of a loop says little of its rate."""
    plain, statements = {"USE_TRANSACTIONAL_WRITES": "0"}, {"USE_PARTIQL_STATEMENTS": "1"}
    subjects = (
        DEFAULT,
        BATCH,
        best(ground),
        another(ground, "statements", "(c) with statements", **statements),
        another(ground, "plain", "(c) plain", **plain),
        another(ground, "plain-statements", "(c) plain, statements", **plain, **statements),
        REFERENCE,
        FLOOR,
    )
    if ground == "aws-like":
        return subjects
    return tuple(replace(subject, share=1) for subject in subjects)
