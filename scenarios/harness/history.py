"""What happened, as journals and snapshots tell it; frozen, and it reads no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

INTERRUPTED = "interrupted"


class Witness(StrEnum):
    """A source of evidence that a check can depend on."""

    PRODUCER = "producer"
    CONSUMERS = "consumers"
    CHILDREN = "children"
    TABLES = "tables"
    DLQ = "dlq"
    SAMPLES = "samples"
    SCALING = "scaling"
    SERVICES = "services"
    SCRIPTS = "scripts"


@dataclass(frozen=True)
class Event:
    """One journal line; `place` is its line number, the order within its process."""

    t: float
    who: str
    name: str
    place: int
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str | None:
        return self.data.get("id")

    @property
    def key(self) -> str | None:
        """What the message's effects are counted by, where that is not its id."""
        return self.data.get("key")

    @property
    def delivery(self) -> str | None:
        return self.data.get("delivery")


@dataclass(frozen=True)
class Journal:
    """The events of one process; `torn` says what could not be read, None if all could."""

    name: str
    events: tuple[Event, ...]
    torn: str | None = None


@dataclass(frozen=True)
class Child:
    """How a process of this run ended; code None means that nobody saw it end."""

    name: str
    code: int | None
    allowed: tuple[int, ...]
    tail: tuple[str, ...] = ()

    @property
    def killed(self) -> bool:
        return self.code is None or self.code < 0

    @property
    def killed_oddly(self) -> bool:
        """A kill that is part of the scenario is on record: see `deliveries.with_deaths`."""
        return self.killed and self.code not in self.allowed


@dataclass(frozen=True)
class Held:
    """A message of this run that the runner itself received from a queue."""

    id: str
    sqs_id: str
    receive_count: int
    source_arn: str | None = None


@dataclass(frozen=True)
class Sample:
    """Approximate counts at one moment (quirk 5: they lag, so they never decide alone)."""

    t: float
    visible: int
    in_flight: int
    delayed: int
    dlq: int

    @property
    def backlog(self) -> int:
        return self.visible + self.in_flight + self.delayed


@dataclass(frozen=True)
class Signalled:
    """A signal that the runner sent to a process, by the process's name and the signal's."""

    t: float
    name: str
    signal: str

    @property
    def fatal(self) -> bool:
        """Whether the process could not do anything more."""
        return self.signal == "SIGKILL"


@dataclass(frozen=True)
class Tick:
    """One decision of the scaling rule: seconds since the flood began, and what it saw."""

    t: float
    backlog: int
    consumers: int
    desired: int
    phase: str


Row = Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """Everything that one scenario left behind; None where a witness is missing."""

    folder: str = "."
    messages: int = 0  # asked of the producer, 0 = until stopped
    queue_arn: str | None = None
    quiet_seconds: float = 1.0
    target_latency: float | None = None  # of a flood: seconds that a message may wait
    producer: Journal | None = None
    consumers: tuple[Journal, ...] = ()
    children: tuple[Child, ...] | None = None
    status: Mapping[str, Row] | None = None
    completed: Mapping[str, Row] | None = None
    dlq: tuple[Held, ...] | None = None
    left: tuple[Held, ...] | None = None
    samples: tuple[Sample, ...] = ()
    scaling: tuple[Tick, ...] = ()
    signals: tuple[Signalled, ...] = ()
    services: tuple[Journal, ...] = ()  # the ledgers of the services outside
    scripts: tuple[Journal, ...] = ()  # what programs of scripts/ wrote that were a step
    refuses_stale_handles: bool = False
    """Whether the queue refuses a delete with the receipt handle of an earlier receive. AWS may
    accept it (quirk 3); the local stack was seen to refuse it."""
    problems: tuple[str, ...] | None = None  # what the runner waited for or asked in vain

    @property
    def cut_short(self) -> bool:
        """Whether the run ended before its end: what did not happen then proves nothing."""
        return self.problems is None or INTERRUPTED in self.problems or self.children is None

    @property
    def sent(self) -> tuple[Event, ...]:
        events = self.producer.events if self.producer else ()
        return tuple(event for event in events if event.name == "sent")

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(event.data["id"] for event in self.sent)

    @property
    def arms(self) -> dict[str, str]:
        """The arm of the scenario that each message was sent for."""
        return {event.data["id"]: event.data.get("arm", "") for event in self.sent}

    @cached_property
    def keys(self) -> dict[str, str]:
        """What the effects of each message sent are counted by: its id, or a key of more than one.

        A key is what the consumers say that it is; the tables are then asked whether that holds.
        """
        found = {key: key for key in self.ids}
        told = [event for journal in self.consumers for event in journal.events]
        return found | {e.data["id"]: e.data["key"] for e in told if e.id in found and e.key}

    @cached_property
    def messages_of(self) -> dict[str, list[str]]:
        """The messages of each key."""
        found: dict[str, list[str]] = {}
        for message, key in self.keys.items():
            found.setdefault(key, []).append(message)
        return found

    @cached_property
    def _changed(self) -> frozenset[str]:
        """Messages whose key another payload had taken: its rows tell nothing of them."""
        return frozenset(event.id for event in self.events("payload_changed") if event.id)

    def row(self, message: str) -> Row:
        """The status row that tells of a message; empty where none does."""
        return self._row_of(message, self.status) or {}

    def record(self, message: str) -> Row | None:
        """The completion record that tells of a message."""
        return self._row_of(message, self.completed)

    def _row_of(self, message: str, rows: Mapping[str, Row] | None) -> Row | None:
        if message in self._changed:
            return None
        return (rows or {}).get(self.keys.get(message, message))

    @property
    def poison(self) -> frozenset[str]:
        return frozenset(event.data["id"] for event in self.sent if event.data.get("poison"))

    @property
    def dead_lettered(self) -> frozenset[str]:
        return frozenset(held.id for held in self.dlq or ())

    def events(self, *names: str) -> tuple[Event, ...]:
        """This run's consumer events of these names, in order of time."""
        mine = frozenset(self.ids)
        found = [
            event
            for journal in self.consumers
            for event in journal.events
            if event.name in names and (event.id is None or event.id in mine)
        ]
        return tuple(sorted(found, key=lambda event: (event.t, event.place)))

    def scripted(self, *names: str) -> list[Event]:
        """What scripts wrote under these names about this run's messages, in order of time."""
        mine = frozenset(self.ids)
        found = [e for script in self.scripts for e in script.events if e.id in mine]
        return sorted((e for e in found if e.name in names), key=lambda e: (e.t, e.place))

    def served(self, *names: str) -> list[Event]:
        """What the services wrote under these names, in order of time."""
        found = [event for ledger in self.services for event in ledger.events]
        return sorted((e for e in found if e.name in names), key=lambda e: (e.t, e.place))

    def by_id(self, *names: str) -> dict[str, list[Event]]:
        """Those events for each message sent, an empty list where there is none."""
        found: dict[str, list[Event]] = {key: [] for key in self.ids}
        for event in self.events(*names):
            if event.id is not None:
                found[event.id].append(event)
        return found

    def missing(self, witness: Witness) -> str | None:
        """Why this witness cannot be relied on, None if it can."""
        reasons = {
            Witness.PRODUCER: _journal_missing("producer", self.producer),
            Witness.CONSUMERS: self._consumers_missing(),
            Witness.CHILDREN: None if self.children else "no process was recorded",
            Witness.TABLES: _absent("the tables were not read", self.status, self.completed),
            Witness.DLQ: _absent("the queues were not read at the end", self.dlq, self.left),
            Witness.SAMPLES: None if self.samples else "no queue depth was sampled",
            Witness.SERVICES: _one_missing(self.services, "no service left a ledger"),
            Witness.SCRIPTS: _one_missing(self.scripts, "no script left a journal"),
            Witness.SCALING: None if self.scaling else "no scaling decision was recorded",
        }
        return reasons[witness]

    def _consumers_missing(self) -> str | None:
        if not self.consumers:
            return "no consumer left a journal"
        for journal in self.consumers:
            reason = _journal_missing(journal.name, journal)
            if reason:
                return reason
        for child in self.children or ():
            if child.killed_oddly and child.name.startswith("consumer"):
                return f"{child.name} was killed: its journal may lack the last thing it did"
        return None


def _journal_missing(name: str, journal: Journal | None) -> str | None:
    if journal is None or not journal.events:
        return f"{name} left no journal"
    return f"{name}.jsonl: {journal.torn}" if journal.torn else None


def _one_missing(journals: Iterable[Journal], none: str) -> str | None:
    reasons = [_journal_missing(journal.name, journal) for journal in journals]
    return next(filter(None, reasons), None if reasons else none)


def _absent(reason: str, *parts: object) -> str | None:
    return reason if any(part is None for part in parts) else None


def swallowed_ids(events: Iterable[Event]) -> set[str]:
    """Messages finished by a process that then crashed: it may have deleted them and not said so.

    A crash in one thread can come between another's delete and its journal line.
    """
    events = list(events)
    crashed = {event.who for event in events if event.name in ("crash", "killed")}
    return {
        event.id
        for event in events
        if event.name in ("completed", "already_done", "cached")
        and event.who in crashed
        and event.id
    }
