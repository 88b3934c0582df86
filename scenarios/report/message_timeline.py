"""What happened to each message, delivery by delivery, with the marks of the timeline; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.deliveries import CLOSING
from harness.history import Event, History, Journal, Row, Signalled

GONE = frozenset(("deleted", "released"))  # what ends the visibility window early


@dataclass(frozen=True)
class Mark:
    """One thing that happened to a delivery.

    The name is an event's, or one of those that no consumer writes: expired, dead_lettered, killed,
    moved_back, signalled, and found_completed for a completion that found the effect made.
    """

    name: str
    t: float
    note: str = ""


@dataclass(frozen=True)
class Delivery:
    """`visible_at`: when its window was to end, first as received, then as extended."""

    consumer: str
    digest: str
    receive_count: int
    received: float
    visible_at: tuple[float, ...]
    marks: tuple[Mark, ...]

    @property
    def hidden_until(self) -> float:
        """When the window ended: by running out, or by a delete or a release before that."""
        gone = [mark.t for mark in self.marks if mark.name in GONE]
        return min([self.visible_at[-1], *gone])

    def has(self, *names: str) -> bool:
        return any(mark.name in names for mark in self.marks)


def ended(
    deliveries: Sequence[Delivery],
    row: Row,
    end: float,
    signals: Sequence[Signalled],
    *,
    dead: bool,
) -> list[Delivery]:
    """With the marks that no process writes: what tables, clock, DLQ and runner tell."""
    told = []
    for delivery in deliveries:
        marks = [*delivery.marks, *_signalled(delivery, signals)]
        if row.get("claim") == delivery.digest and delivery.has("crash", "killed"):
            marks += _unspoken(delivery, row)
        out = delivery.visible_at[-1]
        if delivery.hidden_until == out and out <= end:
            marks.append(Mark("expired", out))
        if dead and delivery is deliveries[-1]:
            note = "by the first receive after its last window; SQS does not tell when"
            marks.append(Mark("dead_lettered", max(mark.t for mark in marks), note))
        told.append(replace(delivery, marks=tuple(sorted(marks, key=lambda mark: mark.t))))
    return told


def _signalled(delivery: Delivery, signals: Iterable[Signalled]) -> list[Mark]:
    """What its consumer was told while it held the delivery."""
    closed = min((m.t for m in delivery.marks if m.name in CLOSING), default=float("inf"))
    return [
        Mark("signalled", sent.t, sent.signal)
        for sent in signals
        if sent.name == delivery.consumer and delivery.received <= sent.t <= closed
    ]


def moved(deliveries: Sequence[Delivery], moves: Sequence[Event]) -> Iterable[Delivery]:
    """With each move out of the DLQ marked on the delivery before it."""
    nexts = [delivery.received for delivery in deliveries[1:]] + [float("inf")]
    for delivery, following in zip(deliveries, nexts, strict=False):
        back = [
            Mark("moved_back", event.t, f"as {event.data.get('new_sqs_id')}, a new message")
            for event in moves
            if delivery.received < event.t < following
        ]
        yield replace(delivery, marks=(*delivery.marks, *back))


def _unspoken(delivery: Delivery, row: Row) -> list[Mark]:
    """The completion that a consumer made and did not live to write down."""
    if "completed_at" not in row or delivery.has("completed", "found_completed"):
        return []
    death = next(mark.t for mark in delivery.marks if mark.name in ("crash", "killed"))
    note = "as the status row tells; its consumer did not live to say so"
    return [Mark("completed", min(float(row["completed_at"]), death), note)]


TOLD = (
    "reason",
    "point",
    "code",
    "seconds",
    "log",
)  # fields of an event that a reader wants to see
NOTE_LENGTH = 300  # characters; a reason may carry a whole hostile body


class Fate(StrEnum):
    """Where a message was at the end; in the order of a reader's interest."""

    MANIFOLD = "more than one effect"
    UNSETTLED = "unsettled"
    DEAD = "in the DLQ"
    COMPLETED = "completed"


@dataclass(frozen=True)
class MessageTimeline:
    """One message; `arm` is the part of the scenario that sent it; `effects` None: no row tells."""

    id: str
    arm: str
    fate: Fate
    poison: bool
    effects: int | None
    sent: float
    deliveries: tuple[Delivery, ...]

    @property
    def consumers(self) -> int:
        """How many had it in their hands."""
        return len({delivery.consumer for delivery in self.deliveries})

    @property
    def interest(self) -> int:
        """The lower, the earlier a reader should see it."""
        if self.fate in (Fate.MANIFOLD, Fate.UNSETTLED):
            return 0
        if any(delivery.has("crash", "killed") for delivery in self.deliveries):
            return 1
        if self.fate is Fate.DEAD:
            return 2
        return 3 if len(self.deliveries) > 1 else 4


@dataclass(frozen=True)
class _World:
    """What others than the consumers saw; `rows` is None where the tables were not read.

    `moves`: by message, when a script moved it out of the DLQ.
    """

    rows: Mapping[str, Row] | None
    moves: Mapping[str | None, Sequence[Event]]
    poison: frozenset[str]
    dead: frozenset[str]
    end: float
    signals: tuple[Signalled, ...]


def message_timelines(history: History) -> list[MessageTimeline]:
    """Every message that was sent, the interesting ones first, else in order of sending."""
    found = _deliveries(history)
    rows = None if history.status is None else {key: history.row(key) for key in history.ids}
    told_to_stop = tuple(sent for sent in history.signals if not sent.fatal)
    end = moments(history)[1]
    moves: dict[str | None, list[Event]] = {}
    for event in history.scripted("sent"):
        moves.setdefault(event.id, []).append(event)
    world = _World(rows, moves, history.poison, history.dead_lettered, end, told_to_stop)
    timelines = [_timeline(one, found.get(one.data["id"], []), world) for one in history.sent]
    return sorted(timelines, key=lambda one: (one.interest, -one.consumers, one.sent))


def _timeline(sent: Event, deliveries: list[Delivery], world: _World) -> MessageTimeline:
    key = str(sent.data["id"])
    row = (world.rows or {}).get(key, {})
    effects = int(row["effects"]) if "effects" in row else None
    if world.rows is None:
        done = any(delivery.has("completed", "already_done", "cached") for delivery in deliveries)
    else:
        done = row.get("status") == "COMPLETED"
    dead = key in world.dead
    fate = Fate.DEAD if dead else Fate.COMPLETED if done else Fate.UNSETTLED
    return MessageTimeline(
        id=key,
        arm=str(sent.data.get("arm", "")),
        fate=Fate.MANIFOLD if (effects or 0) > 1 else fate,
        poison=key in world.poison,
        effects=effects,
        sent=sent.t,
        deliveries=tuple(
            moved(
                ended(deliveries, row, world.end, world.signals, dead=dead),
                world.moves.get(key, ()),
            )
        ),
    )


def moments(history: History) -> tuple[float, float]:
    """First and last second that anything is known of."""
    known = [event.t for journal in _journals(history) for event in journal.events]
    known += [sample.t for sample in history.samples]
    return (min(known), max(known)) if known else (0.0, 0.0)


def _journals(history: History) -> Iterable[Journal]:
    return (*((history.producer,) if history.producer else ()), *history.consumers)


def _deliveries(history: History) -> dict[str, list[Delivery]]:
    """By message, in order of receiving."""
    mine = frozenset(history.ids)
    killed = {child.name for child in history.children or () if child.killed}
    found: dict[str, list[Delivery]] = {}
    for journal in history.consumers:
        for events in _grouped(journal, mine, died=journal.name in killed).values():
            delivery = _delivery(journal.name, events)
            if delivery:
                found.setdefault(events[0].data["id"], []).append(delivery)
    for deliveries in found.values():
        deliveries.sort(key=lambda delivery: delivery.received)
    return found


def _grouped(
    journal: Journal, mine: frozenset[str], *, died: bool
) -> dict[tuple[str, str], list[Event]]:
    """The events of each delivery; the death of the process strikes every one that it held."""
    groups: dict[tuple[str, str], list[Event]] = {}
    deaths = [event for event in journal.events if event.name == "crash"][:1]
    for event in journal.events:
        if event.id in mine and event.delivery:
            groups.setdefault((str(event.id), event.delivery), []).append(event)
    if died and not deaths and journal.events:
        last = journal.events[-1]
        note = {"reason": "by a signal, at or after this last sign of life"}
        deaths = [Event(last.t, last.who, "killed", last.place + 1, note)]
    for death in deaths:
        for events in groups.values():
            names = {event.name for event in events}
            if not names & CLOSING and death.name not in names:
                events.append(Event(death.t, death.who, death.name, death.place, death.data))
    return groups


def _delivery(consumer: str, events: list[Event]) -> Delivery | None:
    """None where the receive itself is not in the journal."""
    first = next((event for event in events if event.name == "received"), None)
    if first is None:
        return None
    ends = [event.data["visible_at"] for event in events if "visible_at" in event.data]
    return Delivery(
        consumer=consumer,
        digest=str(first.delivery),
        receive_count=int(first.data["receive_count"]),
        received=first.t,
        visible_at=tuple(float(end) for end in ends),
        marks=tuple(_mark(event) for event in events),
    )


def _mark(event: Event) -> Mark:
    told = [f"{name} {event.data[name]}" for name in TOLD if event.data.get(name) is not None]
    found = event.name == "completed" and event.data.get("effect") is False
    name = "found_completed" if found else event.name
    return Mark(name, event.t, ", ".join(told)[:NOTE_LENGTH])
