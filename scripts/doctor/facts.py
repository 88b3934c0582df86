"""What the doctor may know of a queue and its consumer, frozen; it asks nobody and judges nothing.

A fact that could not be had is an `Unknown` with its reason, so that no rule can take it for well.
Times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from doctor.evidence import Evidence
from sqs_worker.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Unknown:
    """A fact that nobody could tell; `reason` says why, and what would help."""

    reason: str


class NotKnown(Exception):
    """A rule met a fact that is unknown."""


def known(fact: T | Unknown) -> T:
    """The fact; raises NotKnown, with its reason, where there is none."""
    if isinstance(fact, Unknown):
        raise NotKnown(fact.reason)
    return fact


@dataclass(frozen=True)
class Missing:
    """Something that is named and does not exist."""

    name: str


@dataclass(frozen=True)
class Queue:
    """Attributes of a queue; counts are approximate (quirk 5).

    `sources` are the queues that send their dead letters here.
    """

    name: str
    arn: str
    visibility: int = 30
    wait: int = 0
    retention: int = 345_600
    max_receives: int | None = None
    dlq_arn: str | None = None
    encrypted: bool = False
    policy: Mapping[str, Any] | None = None
    takes_from: Mapping[str, Any] | None = None
    fifo: bool = False
    visible: int = 0
    in_flight: int = 0
    delayed: int = 0
    sources: tuple[str, ...] | Unknown = ()


@dataclass(frozen=True)
class Rows:
    """A sample of a table's rows: `keeps` is the shortest time from its writing to its expiry."""

    seen: int
    keeps: float | None
    unmarked: int = 0  # rows without a time of expiry


@dataclass(frozen=True)
class Table:
    """A table; `key` reads as `message_id (S)`, `expiry` is the attribute of its TTL, if it is on.

    `write_units` a second is None where the table is billed on demand.
    """

    name: str
    key: str
    write_units: int | None
    size_bytes: int
    expiry: str | Unknown | None
    rows: Rows | Unknown


@dataclass(frozen=True)
class Peeked:
    """What a look into the DLQ found: how many messages were opened, which were completed."""

    opened: int
    completed: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Everything that the rules may look at.

    `dlq` is None where the queue names none, the tables where the settings name none. `row_life`
    is how long the consumer keeps a row that it writes. `peeked` is None where nobody was to look.
    """

    settings: Settings
    queue: Queue | Unknown
    dlq: Queue | Missing | Unknown | None
    status: Table | Missing | Unknown | None
    completed: Table | Missing | Unknown | None
    evidence: Evidence | Unknown
    row_life: float
    peeked: Peeked | Unknown | None = None

    @property
    def tables(self) -> dict[str, Table | Missing | Unknown]:
        """The tables that the settings name, by the variable that names each."""
        named = {
            "MESSAGE_STATUS_TABLE": self.status,
            "MESSAGE_COMPLETED_TABLE": self.completed,
        }
        return {variable: table for variable, table in named.items() if table is not None}

    def real_queue(self) -> Queue:
        """The queue; raises NotKnown."""
        return known(self.queue)

    def real_dlq(self) -> Queue | None:
        """The DLQ, None where there is none to look at; raises NotKnown."""
        self.real_queue()
        dlq = known(self.dlq)
        return dlq if isinstance(dlq, Queue) else None

    def queue_with_dlq(self) -> tuple[Queue, int] | None:
        """The queue and its maxReceiveCount; None without a redrive policy; raises NotKnown."""
        queue = self.real_queue()
        return None if queue.max_receives is None else (queue, queue.max_receives)

    def real_tables(self) -> dict[str, Table]:
        """The tables that exist; raises NotKnown where one could not be read."""
        found = {variable: known(table) for variable, table in self.tables.items()}
        return {name: table for name, table in found.items() if isinstance(table, Table)}

    def seen(self) -> Evidence:
        """What the journals tell; raises NotKnown."""
        return known(self.evidence)

    def visibility(self) -> int:
        """Seconds that a receive of this consumer hides a message; raises NotKnown."""
        chosen = self.settings.visibility_timeout_seconds
        return self.real_queue().visibility if chosen is None else chosen
