"""What the events of a delivery say: who holds it or works on it, and until when it is hidden."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from harness.history import Event, History, Journal, Signalled

CLOSING = frozenset(
    (
        *("deleted", "delete_stale", "delete_unknown", "released", "abandoned", "failed"),
        *("claim_unknown", "complete_unknown", "payload_changed"),
    )
)
"""Events after which a consumer no longer holds the delivery, so its death does not concern it."""
WORK_ENDS = frozenset(("worked", "rejected", "work_failed", "crash", "killed"))
# A receive is stamped when its answer is read, the hiding begins a little before that.
RECEIVE_SLACK = 0.5
SQS_OR_CONSUMER = "SQS may redeliver early (quirk 1), or the consumer made it visible"


def hidden_until(history: History, delivery: Event) -> float:
    """When the message of this delivery may return; at once where it was given back."""
    changes = [
        event
        for event in history.events("extended", "released")
        if (event.who, event.delivery) == (delivery.who, delivery.delivery)
    ]
    last = changes[-1] if changes else delivery
    return last.t if last.name == "released" else float(last.data["visible_at"])


def redeliveries(history: History) -> list[tuple[Event, Event]]:
    """Of each message, each two receives in a row."""
    return [pair for events in history.by_id("received").values() for pair in pairwise(events)]


def early(history: History) -> list[tuple[Event, Event]]:
    """Redeliveries that came while the receive before them should have hidden the message.

    SQS may do this by itself, now and then (quirk 1). A consumer that makes a message visible and
    does not say so looks the same.
    """
    return [
        (a, b) for a, b in redeliveries(history) if b.t < hidden_until(history, a) - RECEIVE_SLACK
    ]


def repeated(history: History) -> frozenset[str]:
    """Messages that were delivered early: each such delivery takes a receive of theirs."""
    return frozenset(second.id for _, second in early(history) if second.id)


def rare(few: Sequence[object], all_of_them: Sequence[object]) -> bool:
    """Whether what is early can be SQS's doing; of most, it is the consumer's."""
    return 2 * len(few) <= len(all_of_them)


def in_hand(events: Iterable[Event]) -> list[Event]:
    """The receives of one process that nothing closed: what it held when this ended."""
    return _open(events, "received", CLOSING)


def in_work(events: Iterable[Event]) -> list[Event]:
    """The pieces of work of one process that were begun and not ended."""
    return _open(events, "work_started", WORK_ENDS)


def _open(events: Iterable[Event], begin: str, ends: frozenset[str]) -> list[Event]:
    found: dict[str | None, Event] = {}
    for event in events:
        if event.name == begin:
            found[event.delivery] = event
        elif event.name in ends:
            found.pop(event.delivery, None)
    return list(found.values())


def with_deaths(journal: Journal, signals: Iterable[Signalled]) -> Journal:
    """With what a process could not write any more: one `killed` for each message in its hands."""
    kills = [sent.t for sent in signals if sent.fatal and sent.name == journal.name]
    if not kills or not journal.events:
        return journal
    last = journal.events[-1]
    t, reason = max(kills[0], last.t), {"reason": "by the runner, with SIGKILL"}
    deaths = [
        Event(t, last.who, "killed", last.place + 1, {**_names(held), **reason})
        for held in in_hand(journal.events)
    ]
    return replace(journal, events=(*journal.events, *deaths))


def _names(event: Event) -> dict[str, str]:
    return {name: event.data[name] for name in ("id", "sqs_id", "delivery") if name in event.data}
