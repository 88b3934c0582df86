"""The data that the page's script draws from: compact, and safe to stand in a page."""

from __future__ import annotations

import json
from typing import Any

from harness.history import History
from report.costs import REFERENCE, Cost
from report.message_timeline import Delivery, MessageTimeline, message_timelines, moments

MOST_MESSAGES = 20_000  # that one scenario's timeline holds; the interesting ones come first
DIGITS = 4  # of seconds


def drawn(history: History, cost: Cost | None) -> dict[str, Any]:
    """Everything that is drawn of one scenario; times are seconds since its first moment."""
    start, end = moments(history)
    told = message_timelines(history)
    return {
        "start": start,
        "end": _since(start, end),
        "sent": len(told),
        "consumers": [journal.name for journal in history.consumers],
        **_messages(told[:MOST_MESSAGES], start, [j.name for j in history.consumers]),
        "samples": [[_since(start, s.t), s.visible, s.in_flight, s.dlq] for s in history.samples],
        "alive": _alive(history, start),
        "cost": None if cost is None else cost.calls,
        "untold": bool(cost and cost.untold),
        "reference": REFERENCE.calls,
    }


def as_text(data: Any) -> str:
    """JSON that no HTML parser mistakes for markup, whatever the ids and reasons hold."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _since(start: float, t: float) -> float:
    return round(t - start, DIGITS)


class _Numbers(dict[str, int]):
    """Names by number, in the order in which they were first met."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self)
        return self[name]


def _messages(told: list[MessageTimeline], start: float, consumers: list[str]) -> dict[str, Any]:
    """Rows instead of objects, names by number: 5,000 messages stay below a megabyte."""
    people = {name: number for number, name in enumerate(consumers)}
    marks, notes = _Numbers(), _Numbers()

    def row(delivery: Delivery) -> list[Any]:
        flat: list[Any] = []
        for mark in delivery.marks:
            flat += [marks[mark.name], _since(start, mark.t), notes[mark.note]]
        until = _since(start, delivery.hidden_until)
        return [people[delivery.consumer], delivery.receive_count, delivery.digest, until, flat]

    rows = [
        [
            timeline.id,
            timeline.arm,
            timeline.fate.value,
            int(timeline.poison),
            timeline.effects,
            _since(start, timeline.sent),
            [row(delivery) for delivery in timeline.deliveries],
        ]
        for timeline in told
    ]
    return {"messages": rows, "marks": list(marks), "notes": list(notes)}


def _alive(history: History, start: float) -> list[list[float]]:
    """How many consumers ran, at each moment that the number changed."""
    changes = []
    for journal in history.consumers:
        if journal.events:
            changes += [(journal.events[0].t, 1), (journal.events[-1].t, -1)]
    running, steps = 0, [[0.0, 0.0]]
    for t, change in sorted(changes):
        running += change
        steps.append([_since(start, t), float(running)])
    return steps
