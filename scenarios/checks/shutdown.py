"""The questions that cases ask about a consumer that gets a signal, and who gets its messages then.

Pure, from a history to a finding. Who receives next what the signalled one held is called its heir.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.deliveries import (
    CLOSING,
    RECEIVE_SLACK,
    SQS_OR_CONSUMER,
    WORK_ENDS,
    rare,
    repeated,
)
from harness.findings import Asked, numbers, question, some, span, table, trace
from harness.history import Event, History, Signalled, Witness
from harness.scenario import MAX_RECEIVES, Finding

__all__ = ["given_back_at_once", "given_back_on_arrival", "hidden_until_it_ran_out", "sooner"]

JOURNALS = (Witness.PRODUCER, Witness.CONSUMERS)


@dataclass(frozen=True)
class Held:
    """A message in the hands of a process when a signal came; `after` is what it did with it then,
    `heir` the next receive of it by anyone."""

    delivery: Event
    signal: Signalled
    in_work: bool
    before: tuple[Event, ...]
    after: tuple[Event, ...]
    heir: Event | None

    @property
    def id(self) -> str:
        return self.delivery.id or ""

    @property
    def finished(self) -> bool:
        return any(event.name == "deleted" for event in self.after)

    @property
    def released(self) -> Event | None:
        return next((event for event in self.after if event.name == "released"), None)

    @property
    def away(self) -> float | None:
        """Seconds from the signal to the next receive."""
        return None if self.heir is None else self.heir.t - self.signal.t


@question(
    "given back at once",
    "what was in work finished, the rest received again within {within} s of its release, "
    "nothing abandoned",
    *JOURNALS,
    Witness.CHILDREN,
)
def given_back_at_once(asked: Asked, history: History, arm: str, within: float = 1.0) -> Finding:
    """The clock runs from the release's own line to the receive's: what the stop itself takes
    before, or the start of an heir, is not in it."""
    held = _held(history, arm)
    if not any(one.in_work for one in held) or all(one.in_work for one in held):
        seen = f"{sum(one.in_work for one in held)} of {len(held)} in hand were in work"
        return asked.unknown(f"{seen}: a stop needs both kinds", history.folder)
    faults = {one.id: fault for one in held if (fault := _kept(history, one, within))}
    wrong = [f"{key}: {fault}" for key, fault in faults.items()]
    delays = [_delay(one) for one in held if one.released]
    good = f"{len(held) - len(delays)} finished, {len(delays)} given back"
    if delays:
        good += f", received again {max(delays):.2f} s later at most"
    return asked.judged(wrong, history, list(faults), good)


def _kept(history: History, one: Held, within: float) -> str:
    """What the stop did wrong with this message."""
    names = {event.name for event in one.after}
    if "abandoned" in names:
        return "abandoned at the stop"
    if one.released is None:
        return "" if one.finished else f"neither finished nor given back by {one.delivery.who}"
    if one.heir is None:
        return "given back, and never received again"
    if _delay(one) > within:
        return f"given back, received again only {_delay(one):.2f} s later"
    if one.heir.t > _visible_at(one.before) + RECEIVE_SLACK:
        return "given back after its visibility timeout had expired"
    return ""


def _delay(one: Held) -> float:
    """Seconds from the release to the next receive; less than none where the answer was late."""
    if one.released is None or one.heir is None:
        return float("inf")
    return max(0.0, one.heir.t - one.released.t)


def _visible_at(events: Sequence[Event]) -> float:
    return max(float(e.data["visible_at"]) for e in events if "visible_at" in e.data)


@question(
    "given back on arrival",
    "what a stopping consumer's open long poll still brings is given back and not worked on",
    *JOURNALS,
    Witness.CHILDREN,
)
def given_back_on_arrival(asked: Asked, history: History) -> Finding:
    """But for a final receive: given back, the message would go to the DLQ (quirk 4)."""
    arrived = [
        (event, journal)
        for stop in history.signals
        for journal in history.consumers
        if journal.name == stop.name
        for event in journal.events
        if event.name == "received" and event.t > stop.t and event.id in history.keys
    ]
    spare = [(e, j) for e, j in arrived if e.data["receive_count"] < MAX_RECEIVES]
    if not spare:
        return asked.unknown("nothing arrived after the signal", history.folder)
    faults = {e.id or "": fault for e, j in spare if (fault := _kept_on_arrival(e, j.events))}
    wrong = [f"{key}: {fault}" for key, fault in faults.items()]
    return asked.judged(wrong, history, list(faults), f"{len(spare)} arrived, all given back")


def _kept_on_arrival(received: Event, events: Sequence[Event]) -> str:
    names = [event.name for event in events if event.delivery == received.delivery]
    if "work_started" in names or "claimed" in names:
        return f"received by {received.who} after the signal, and taken into work"
    return "" if "released" in names else f"kept by {received.who} though it was to stop"


@question(
    "hidden until it ran out",
    "whatever a killed consumer held is received next by another, not before its time",
    *JOURNALS,
    Witness.CHILDREN,
)
def hidden_until_it_ran_out(asked: Asked, history: History, arm: str) -> Finding:
    held = [one for one in _held(history, arm) if not one.finished]
    if not held:
        return asked.unknown("the killed consumer held nothing", history.folder)
    faults = {one.id: fault for one in held if (fault := _early(one))}
    wrong = [f"{key}: {fault}" for key, fault in faults.items()]
    if faults and faults.keys() <= repeated(history) and rare(list(faults), held):
        return asked.unknown(f"{some(wrong)}: {SQS_OR_CONSUMER}", trace(history, list(faults)[:3]))
    away = [one.away for one in held if one.away is not None]
    good = f"{len(held)} held, received again after {span(away)} s"
    return asked.judged(wrong, history, list(faults), good)


def _early(one: Held) -> str:
    if one.heir is None:
        return f"never received again after {one.delivery.who} was killed with it"
    if one.heir.who == one.delivery.who:
        return "received again by the killed consumer itself"
    left = _visible_at(one.before) - one.heir.t
    return f"received again {left:.1f} s before its time" if left > RECEIVE_SLACK else ""


@question(
    "sooner",
    "what was in hand comes back sooner when its consumer is {sooner} than when it is {later}",
    *JOURNALS,
    Witness.CHILDREN,
)
def sooner(asked: Asked, history: History, sooner: str, later: str) -> Finding:
    """The slowest of the one against the quickest of the other, and a table of what each cost."""
    arms = {arm: _held(history, arm) for arm in (sooner, later)}
    shows = _costs(history, arms)
    slow, quick = (
        [(one.away, one.id) for one in arms[arm] if one.away is not None] for arm in arms
    )
    if not slow or not quick:
        return asked.unknown("nothing in hand came back", history.folder, shows)
    (most, slowest), (least, quickest) = max(slow), min(quick)
    seen = f"{most:.2f} s at most against {least:.2f} s at least"
    if most >= least:
        wrong = f"{slowest} ({sooner}), {quickest} ({later}): {seen}"
        return asked.failed(wrong, trace(history, [slowest, quickest]), shows)
    return asked.passed(seen, shows)


def _costs(history: History, arms: dict[str, list[Held]]) -> str:
    received = history.by_id("received")
    rows = {
        arm: (
            str(len(held)),
            str(sum(one.finished for one in held)),
            str(sum(one.released is not None for one in held)),
            span([one.away for one in held if one.away is not None]),
            numbers([len(received[one.id]) for one in held]),
        )
        for arm, held in arms.items()
    }
    heads = ("in hand", "finished", "given back", "back after, s", "receives spent")
    return table("consumer", heads, rows)


def _held(history: History, arm: str) -> list[Held]:
    """What the processes that a signal met held in this arm, in order of receiving."""
    return [
        one
        for signal in history.signals
        for journal in history.consumers
        if journal.name == signal.name
        for one in _held_by(history, journal.events, signal)
        if history.arms.get(one.id) == arm
    ]


def _held_by(history: History, events: Sequence[Event], signal: Signalled) -> Iterator[Held]:
    received = history.by_id("received")
    for delivery in events:
        if delivery.name != "received" or delivery.id not in received or delivery.t > signal.t:
            continue
        own = [event for event in events if event.delivery == delivery.delivery]
        before = tuple(event for event in own if event.t <= signal.t)
        names = {event.name for event in before}
        if names & CLOSING:
            continue
        yield Held(
            delivery,
            signal,
            in_work="work_started" in names and not names & WORK_ENDS,
            before=before,
            after=tuple(event for event in own if event.t > signal.t),
            heir=next((e for e in received[delivery.id] if e.t > signal.t), None),
        )
