"""One delivery of a message, and the marks on it that no consumer writes; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.history import Event, Row, Signalled

# After these the consumer holds the delivery no longer, so its death cannot strike it.
CLOSING = frozenset(
    [
        "deleted",
        "delete_stale",
        "delete_unknown",
        "released",
        "abandoned",
        "failed",
        "claim_unknown",
        "complete_unknown",
    ]
)
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
