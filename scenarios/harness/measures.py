"""The numbers that a verdict carries beside its findings; pure, from a history."""

from __future__ import annotations

from typing import Any

from checks.invariants import completed_ids
from harness.history import History


def measures(history: History) -> dict[str, Any]:
    """Counts of what happened; for a flood also how it was kept up with."""
    received = history.events("received")
    found = {
        "sent": len(history.ids),
        "completed": len(completed_ids(history)),
        "in_dlq": len(history.dead_lettered),
        "deliveries": len(received),
        "crashes": len(history.events("crash")),
        "stale_deletes": len(history.events("delete_stale")),
        "consumers": len(history.consumers),
    }
    return found | (_flood(history) if history.scaling else {})


def _flood(history: History) -> dict[str, Any]:
    """`oldest_wait_seconds`: the longest from sending to the first receive of a message."""
    first: dict[str, float] = {}
    for event in history.events("received"):
        if event.id is not None:
            first.setdefault(event.id, event.t - event.data["sent"])
    steady = next((tick for tick in history.scaling if tick.phase == "equilibrium"), None)
    steps = [history.scaling[0]]
    for tick in history.scaling:
        if tick.consumers != steps[-1].consumers:
            steps.append(tick)
    return {
        "peak_backlog": max(tick.backlog for tick in history.scaling),
        "oldest_wait_seconds": round(max(first.values(), default=0.0), 1),
        "peak_consumers": max(tick.consumers for tick in history.scaling),
        "seconds_to_equilibrium": None if steady is None else steady.t,
        "consumers_over_time": [[tick.t, tick.consumers] for tick in steps],
    }
