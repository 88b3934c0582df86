"""What is known of a consumer's last runs: works, ends of deliveries, stops; reads nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

COMPARED = (
    "WAIT_TIME_SECONDS",
    "MAX_MESSAGES",
    "CONCURRENCY",
    "COMMIT_BATCH",
    "VISIBILITY_TIMEOUT_SECONDS",
    "HEARTBEAT_SECONDS",
    "HEARTBEAT_LIMIT_SECONDS",
    "SHUTDOWN_GRACE_SECONDS",
    "MESSAGE_STATUS_TABLE",
    "MESSAGE_COMPLETED_TABLE",
    "USE_TRANSACTIONAL_WRITES",
    "USE_PARTIQL_STATEMENTS",
    "EFFECT_MODE",
)
"""Settings that change what a run teaches; runs from before the last change of one are left out."""


CLOCK_SLACK = 0.05
"""Seconds between two readings of one machine's clock: a delete that is so late was in time."""


class End(StrEnum):
    """What became of a receive."""

    DELETED = "deleted"
    STALE = "finished too late to be deleted"
    FAILED = "the work failed"
    SHUTDOWN = "given back at a stop"
    OUTAGE = "given back in an outage of the tables"
    LIMIT = "given back behind a message that hung"
    ABANDONED = "still in work when the grace was over"
    DIED = "its consumer died"
    LEFT = "left to its visibility timeout"
    CHANGED = "its id belongs to another body"
    IN_HAND = "still in hand"


SPENT = (End.SHUTDOWN, End.OUTAGE, End.LIMIT, End.ABANDONED, End.DIED, End.LEFT)
"""Ends that cost a message one of its receives though its work did not fail."""


@dataclass(frozen=True)
class Delivery:
    """One receive of one message; `work` is None where none was begun and ended.

    `late` is how long after its visibility it was deleted; not above 0 where it was in time.
    """

    id: str
    sqs_id: str
    receive_count: int
    end: End
    work: float | None = None
    late: float = 0.0
    done: bool = False


@dataclass(frozen=True)
class Run:
    """One process. `reason` of its stop is None where it left none; `crashed` is where it died on
    purpose; `summary` holds its closing figures, empty where there are none."""

    who: str
    reason: str | None
    crashed: str | None
    alive: bool
    peak: int
    outages: tuple[str, ...] = ()
    refused: int = 0  # extensions that SQS did not take
    ended: int = 0  # messages that were extended no more, at HEARTBEAT_LIMIT_SECONDS
    summary: Mapping[str, Any] = field(default_factory=dict)

    def figure(self, name: str) -> float:
        """A closing figure, 0 where it is absent or no number."""
        return number(self.summary.get(name)) or 0.0

    def calls(self, operation: str) -> float:
        """How often it made this call, such as `sqs.ReceiveMessage`."""
        calls = self.summary.get("calls")
        return (number(calls.get(operation)) or 0.0) if isinstance(calls, Mapping) else 0.0


@dataclass(frozen=True)
class Evidence:
    """The runs since the last change of settings; `settings` are those, where not the default.

    `work` is the seconds of every work, in order of length. `left_out` counts earlier runs.
    """

    files: tuple[str, ...]
    torn: tuple[str, ...]
    runs: tuple[Run, ...]
    deliveries: tuple[Delivery, ...]
    settings: Mapping[str, Any]
    left_out: int = 0

    @property
    def work(self) -> tuple[float, ...]:
        return tuple(sorted(d.work for d in self.deliveries if d.work is not None))

    @property
    def closed(self) -> tuple[Run, ...]:
        """Runs that lived to tell their figures."""
        return tuple(run for run in self.runs if run.summary)

    @property
    def receives(self) -> float:
        """Receives of all runs that have closing figures."""
        return sum(run.calls("sqs.ReceiveMessage") for run in self.closed)

    def total(self, figure: str) -> float:
        """A closing figure of all runs that have one."""
        return sum(run.figure(figure) for run in self.closed)

    @property
    def untold(self) -> int:
        """Receives that SQS counted and no run here tells of: another consumer's, or lost ones."""
        counted: dict[str, int] = {}
        for one in self.deliveries:
            counted[one.sqs_id] = max(counted.get(one.sqs_id, 0), one.receive_count)
        return max(0, sum(counted.values()) - len(self.deliveries))

    def ended(self, *ends: End) -> tuple[Delivery, ...]:
        return tuple(delivery for delivery in self.deliveries if delivery.end in ends)


def number(value: object) -> float | None:
    """A finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
