"""Reads journals and turns them into what they tell of a consumer's last runs on one queue.

A journal may be torn, forged or of another queue, so every field is checked before it is used. The
system is asked which of the consumers still run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from doctor.evidence import COMPARED, Delivery, End, Evidence, Run, number
from doctor.facts import Unknown
from harness.history import Event, Journal
from harness.journals import read_journal
from local_stack.holders import command_line

_ENDS = {
    "deleted": End.DELETED,
    "delete_stale": End.STALE,
    "delete_unknown": End.LEFT,
    "claim_unknown": End.LEFT,
    "complete_unknown": End.LEFT,
    "payload_changed": End.CHANGED,
    "rejected": End.FAILED,
    "work_failed": End.FAILED,
    "abandoned": End.ABANDONED,
    "crash": End.DIED,
}
_DELETES = (End.DELETED, End.STALE)
_DONE = ("completed", "already_done", "cached")


def gather(journals: Sequence[Journal], queue_url: str, alive: AbstractSet[str]) -> Evidence | str:
    """What the journals tell of this queue; a reason where they tell nothing of it.

    `alive` are the processes of these names that still run.
    """
    events = [event for journal in journals for event in journal.events if _is_sound(event)]
    torn = tuple(f"{journal.name}: {journal.torn}" for journal in journals if journal.torn)
    runs = _split(events)
    mine = [run for run in runs if run[0].data.get("queue") == queue_url]
    if not mine:
        return _nothing(runs)
    last = _changed(max(mine, key=lambda run: run[0].t))
    kept = [run for run in mine if _changed(run) == last]
    deliveries = [one for run in kept for one in _deliveries(run, alive)]
    return Evidence(
        files=tuple(journal.name for journal in journals),
        torn=torn,
        runs=tuple(_run(run, alive) for run in kept),
        deliveries=tuple(deliveries),
        settings=dict(last),
        left_out=len(mine) - len(kept),
    )


def _is_sound(event: Event) -> bool:
    names = (event.name, event.who, event.data.get("id", ""), event.data.get("delivery", ""))
    return number(event.t) is not None and all(isinstance(name, str) for name in names)


def _split(events: Iterable[Event]) -> list[list[Event]]:
    """The events of each run, from its start on; a pid may come back, so a start begins anew."""
    open_runs: dict[str, list[Event]] = {}
    runs = []
    for event in events:
        if event.name == "start":
            open_runs[event.who] = []
            runs.append(open_runs[event.who])
        if event.who in open_runs:
            open_runs[event.who].append(event)
    return runs


def _nothing(runs: Sequence[Sequence[Event]]) -> str:
    if not runs:
        return "no consumer began in the journal"
    return f"the journal is of another queue, {runs[-1][0].data.get('queue')}"


def _changed(run: Sequence[Event]) -> tuple[tuple[str, Any], ...]:
    chosen = run[0].data.get("settings")
    settings = chosen if isinstance(chosen, Mapping) else {}
    return tuple((name, settings[name]) for name in COMPARED if name in settings)


def _run(events: Sequence[Event], alive: AbstractSet[str]) -> Run:
    def last(name: str) -> Mapping[str, Any]:
        return next((event.data for event in reversed(events) if event.name == name), {})

    reason, point = last("stop").get("reason"), last("crash").get("point")
    down = [e for e in events if e.name == "outage" and e.data.get("state") == "down"]
    return Run(
        who=events[0].who,
        reason=None if reason is None else str(reason),
        crashed=None if point is None else str(point),
        alive=events[0].who in alive,
        peak=_peak(events),
        outages=tuple(str(event.data.get("reason")) for event in down),
        refused=sum(event.name == "extend_refused" for event in events),
        ended=sum(event.name == "extend_ended" for event in events),
        summary=last("summary"),
    )


def _peak(events: Iterable[Event]) -> int:
    """The most works at a time."""
    working: set[str] = set()
    most = 0
    for event in events:
        if event.delivery and event.name == "work_started":
            working.add(event.delivery)
        elif event.delivery and event.name in ("worked", "rejected", "work_failed"):
            working.discard(event.delivery)
        most = max(most, len(working))
    return most


def _deliveries(run: Sequence[Event], alive: AbstractSet[str]) -> list[Delivery]:
    told: dict[str, list[Event]] = {}
    for event in run:
        if event.delivery and event.id:
            told.setdefault(event.delivery, []).append(event)
    over = any(event.name == "stop" for event in run)
    rest = End.LEFT if over else End.IN_HAND if run[0].who in alive else End.DIED
    return [_delivery(events, rest) for events in told.values() if events[0].name in _BEGINS]


def _delivery(events: Sequence[Event], rest: End) -> Delivery:
    ends = [(event, _end(event)) for event in events]
    last, end = next(((e, end) for e, end in reversed(ends) if end), (events[-1], rest))
    hidden = [number(e.data.get("visible_at")) for e in events if e.name in _HIDING]
    until = max((t for t in hidden if t is not None), default=math.inf)
    first = events[0]
    return Delivery(
        id=str(first.id),
        sqs_id=str(first.data.get("sqs_id")),
        receive_count=int(number(first.data.get("receive_count")) or 1),
        end=end,
        work=_work(events),
        late=round(last.t - until, 3) if end in _DELETES and until < math.inf else 0.0,
        done=any(event.name in _DONE for event in events),
    )


_HIDING = ("received", "extended")
_BEGINS = ("received", "crash")
"""A crash right after the receive comes before anybody could write that something was received."""


def _end(event: Event) -> End | None:
    if event.name == "released":
        others = {"outage": End.OUTAGE, "limit": End.LIMIT}
        return others.get(str(event.data.get("reason")), End.SHUTDOWN)
    return _ENDS.get(event.name)


def _work(events: Sequence[Event]) -> float | None:
    begun = next((event.t for event in events if event.name == "work_started"), None)
    names = ("worked", "rejected", "work_failed")
    ended = next((event.t for event in events if event.name in names), None)
    return None if begun is None or ended is None else max(0.0, ended - begun)


NO_JOURNAL = "no journal: run the consumer with JOURNAL_PATH, or pass --journal FILE"


def evidence(paths: Sequence[Path], queue_url: str) -> Evidence | Unknown:
    """What the journals tell of this queue."""
    journals = []
    for path in paths:
        try:
            path.stat()
            journals.append(read_journal(path))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            return Unknown(f"journal {path}: {getattr(error, 'strerror', None) or error}")
    if not journals:
        return Unknown(NO_JOURNAL)
    told = gather(journals, queue_url, _alive(journals))
    return Unknown(told) if isinstance(told, str) else told


def _alive(journals: Iterable[Journal]) -> frozenset[str]:
    """A pid is given to others later, so the process must also be a consumer."""
    starts = [event for one in journals for event in one.events if event.name == "start"]
    return frozenset(
        event.who
        for event in starts
        if isinstance(event.who, str)
        and (pid := number(event.data.get("pid")))
        and "consume.py" in command_line(int(pid))
    )
