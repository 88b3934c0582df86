"""What must hold of each delivery between its receive and its end; pure, asked of every scenario.

The journals say what a consumer did with a delivery. The queue, the DLQ and the tables say whether
that can be true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.deliveries import WORK_ENDS, hidden_until
from harness.findings import Asked, question, trace
from harness.history import Event, History, Row, Witness
from harness.scenario import Finding

LONGEST_LIFE = 42 * 24 * 3600
"""Seconds that a message can live: 14 days in the queue, 14 in the DLQ, 14 after a redrive."""
_ENDED = frozenset(("rejected", "work_failed", "failed", "released", "deleted", "extend_ended"))
_TIMES = ("first_claimed_at", "last_claimed_at", "completed_at", "failed_at")


@question(
    "given back or worked on",
    "no delivery given back during its work, and none worked on after it was given back",
    Witness.PRODUCER,
    Witness.CONSUMERS,
)
def given_back_or_worked_on(asked: Asked, history: History) -> Finding:
    """Whoever receives a released message works on it: a second worker must not be there yet."""
    faults = [
        (event, fault) for event, events in _deliveries(history) if (fault := _shared(events))
    ]
    wrong = [f"{event.id}: {fault} by {event.who}" for event, fault in faults]
    released = len(history.events("released"))
    return asked.judged(wrong, history, _ids(faults), f"{released} given back, none in work")


def _shared(events: Sequence[Event]) -> str:
    in_work = given_back = False
    for event in events:
        if event.name == "work_started":
            if given_back:
                return "worked on after it was given back"
            in_work = True
        elif event.name == "released":
            if in_work:
                return "given back during its work"
            given_back = True
        elif event.name in WORK_ENDS:
            in_work = False
    return ""


@question(
    "extended while held",
    "no visibility extension after the end of a delivery",
    Witness.PRODUCER,
    Witness.CONSUMERS,
)
def extended_while_held(asked: Asked, history: History) -> Finding:
    """One extension may have been on its way when the delivery ended; a second one was not."""
    faults = []
    for received, events in _deliveries(history):
        ends = [place for place, event in enumerate(events) if event.name in _ENDED]
        late = [e for e in events[ends[0] :] if e.name == "extended"] if ends else []
        if len(late) > 1:
            faults.append((received, f"extended {len(late)} times after '{events[ends[0]].name}'"))
    wrong = [f"{event.id}: {fault} by {event.who}" for event, fault in faults]
    extended = len(history.events("extended"))
    return asked.judged(wrong, history, _ids(faults), f"{extended} extensions, none too late")


@question(
    "completed after its work",
    "each effect made by a delivery whose work had ended well",
    Witness.PRODUCER,
    Witness.CONSUMERS,
)
def completed_after_its_work(asked: Asked, history: History) -> Finding:
    """Whether an earlier delivery ended its work is something that no consumer can know."""
    faults = []
    for received, events in _deliveries(history):
        names = [event.name for event in events]
        effect = next(
            (n for n, e in enumerate(events) if e.name == "completed" and e.data.get("effect")),
            None,
        )
        if effect is not None and "worked" not in names[:effect]:
            faults.append((received, "completed without its work"))
    wrong = [f"{event.id}: {fault} by {event.who}" for event, fault in faults]
    return asked.judged(wrong, history, _ids(faults), "every effect after its work")


@question(
    "deletes are true",
    "what a consumer calls deleted is gone, and was still its own to delete",
    Witness.PRODUCER,
    Witness.CONSUMERS,
    Witness.DLQ,
)
def deletes_are_true(asked: Asked, history: History) -> Finding:
    """A journal may lie, so the queue is asked as well.

    On AWS a delete with an expired receipt handle answers success (quirk 3), and a deleted message
    may, rarely, be delivered again (quirk 1). So there the first proves nothing and the second
    leaves the answer open.
    """
    kept = {held.sqs_id for held in (*(history.dlq or ()), *(history.left or ()))}
    superseded, returned = [], []
    for received, events in _deliveries(history):
        deleted = next((event for event in events if event.name == "deleted"), None)
        if deleted is None:
            continue
        sqs_id = received.data.get("sqs_id")
        others = [e for e in _receives(history, received) if e.data.get("sqs_id") == sqs_id]
        if any(received.t < other.t < deleted.t for other in others):
            superseded.append((received, "called deleted after a newer receive of it"))
        elif deleted.t <= hidden_until(history, received) and (
            (sqs_id and sqs_id in kept) or any(other.t > deleted.t for other in others)
        ):
            returned.append((received, "called deleted and still there"))
    faults = returned + (superseded if history.refuses_stale_handles else [])
    wrong = [f"{event.id}: {fault} by {event.who}" for event, fault in faults]
    if wrong and not history.refuses_stale_handles:
        return asked.unknown("; ".join(wrong[:3]), trace(history, _ids(faults)[:3]))
    deletes = len(history.events("deleted"))
    return asked.judged(wrong, history, _ids(faults), f"{deletes} deletes, each of them true")


@question(
    "records outlive messages",
    f"each row kept for {LONGEST_LIFE // 86400} days or more after it was written",
    Witness.PRODUCER,
    Witness.TABLES,
)
def records_outlive_messages(asked: Asked, history: History) -> Finding:
    """A message that is redriven after its record expired has a second effect (quirk 12)."""
    rows = [(key, row) for key in history.ids for row in (history.row(key), history.record(key))]
    short = [(key, days) for key, row in rows if row and (days := _kept_days(row)) is not None]
    short = [(key, days) for key, days in short if days * 86400 < LONGEST_LIFE]
    wrong = [f"{key}: a row expires {days:.1f} days after it was written" for key, days in short]
    return asked.judged(wrong, history, [key for key, _ in short], f"{len(rows)} rows")


def _kept_days(row: Row) -> float | None:
    """None where the row does not expire, or does not say when it was written."""
    written = [row[name] for name in _TIMES if name in row]
    if "expires_at" not in row or not written:
        return None
    return float(row["expires_at"] - max(written)) / 86400


@question(
    "rows name their owner",
    "each status row names the delivery that made the effect, or claimed it last",
    Witness.PRODUCER,
    Witness.CONSUMERS,
    Witness.TABLES,
)
def rows_name_their_owner(asked: Asked, history: History) -> Finding:
    """The owner is what tells a lost answer from another consumer's claim."""
    wrong, ids = [], []
    for key, messages in history.messages_of.items():
        row = (history.status or {}).get(key, {})
        owners = _owners(history, messages, row)
        if owners and "claim" in row and row["claim"] not in owners:
            named = " or ".join(sorted(owners))
            wrong.append(f"{', '.join(messages)}: the row names {row['claim']}, not {named}")
            ids += messages
    return asked.judged(wrong, history, ids, f"{len(history.messages_of)} rows")


def _owners(history: History, messages: Sequence[str], row: Row) -> set[str]:
    """The deliveries that the row may name; empty where the journals leave that open.

    A consumer that dies between a write and its journal line leaves it open.
    """
    told = [
        event
        for journal in history.consumers
        for event in journal.events
        if event.id in messages and event.delivery
    ]
    effects = {e.delivery for e in told if e.name == "completed" and e.data.get("effect")}
    if row.get("status") == "COMPLETED":
        return {delivery for delivery in effects if delivery} if len(effects) == 1 else set()
    received = Counter(e.delivery for e in told if e.name == "received")
    answered = {e.delivery for e in told if e.name in ("claimed", "cached", "already_done")}
    if received.keys() - answered:
        return set()
    claims = sorted((e.t, e.delivery or "") for e in told if e.name == "claimed")
    return {claims[-1][1]} if claims else set()


def _deliveries(history: History) -> Iterator[tuple[Event, list[Event]]]:
    """Each receive of this run's messages with what its process wrote of it afterwards."""
    mine = frozenset(history.ids)
    for journal in history.consumers:
        events: dict[str | None, list[Event]] = {}
        for event in journal.events:
            if event.id in mine:
                events.setdefault(event.delivery, []).append(event)
        for own in events.values():
            if own[0].name == "received":
                yield own[0], own


def _receives(history: History, received: Event) -> list[Event]:
    """Every other receive of the message."""
    return [
        event
        for event in history.by_id("received")[received.id or ""]
        if (event.who, event.delivery) != (received.who, received.delivery)
    ]


def _ids(faults: Sequence[tuple[Event, str]]) -> list[str]:
    return [event.id or "" for event, _ in faults]


DELIVERY_RULES = (
    given_back_or_worked_on(),
    extended_while_held(),
    completed_after_its_work(),
    deletes_are_true(),
    records_outlive_messages(),
    rows_name_their_owner(),
)
