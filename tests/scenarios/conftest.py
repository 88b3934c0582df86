"""Hand-written histories for the tests of checks: one good message, and ways to change its fate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.history import Child, Event, History, Journal, Sample

Told = tuple[str, str | None, float, dict[str, Any]]
EMPTY = tuple(Sample(20.0 + n, 0, 0, 0, 0) for n in range(3))


class Teller:
    """Makes events and histories; ids are single letters, times are seconds."""

    def journal(self, name: str, *told: Told) -> Journal:
        """Each told: (event, id, time, further fields)."""
        events = []
        for place, (event, key, t, data) in enumerate(told, start=1):
            names = {} if key is None else {"id": key, "delivery": f"{name}-{key}"}
            events.append(Event(t, name, event, place, {**names, **data}))
        return Journal(name, tuple(events))

    def producer(self, ids: Sequence[str], poison: Sequence[str] = ()) -> Journal:
        sent = [
            ("sent", key, 0.1, {"index": index, "poison": key in poison})
            for index, key in enumerate(ids)
        ]
        return self.journal("producer", ("start", None, 0.0, {}), *sent)

    def done(self, key: str, at: float = 1.0, **changes: Any) -> list[Told]:
        """What a consumer writes of a message that goes well, received at this time."""
        received = {"receive_count": 1, "visible_at": at + 2, "sent": 0.1} | changes
        return [
            ("received", key, at, received),
            ("claimed", key, at + 0.1, {}),
            ("worked", key, at + 0.2, {}),
            ("completed", key, at + 0.3, {"effect": True}),
            ("deleted", key, at + 0.5, {}),
        ]

    def rejected(self, key: str, at: float = 1.0, count: int = 1) -> list[Told]:
        received = {"receive_count": count, "visible_at": at + 2, "sent": 0.1}
        delivery = {"delivery": f"{key}-{count}"}
        return [
            ("received", key, at, received | delivery),
            ("claimed", key, at + 0.1, delivery),
            ("rejected", key, at + 0.2, delivery),
            ("failed", key, at + 0.3, delivery),
        ]

    def row(self, at: float = 1.3, **changes: Any) -> dict[str, Any]:
        return {"status": "COMPLETED", "attempts": 1, "effects": 1, "completed_at": at} | changes

    def good(self, **changes: Any) -> History:
        """One message, `a`, sent, received, completed, deleted."""
        history = History(
            folder="reports/x",
            messages=1,
            queue_arn="arn:q",
            quiet_seconds=1.0,
            producer=self.producer(["a"]),
            consumers=(self.journal("consumer-1", *self.done("a")),),
            children=(Child("producer", 0, (0,)), Child("consumer-1", 0, (0,))),
            status={"a": self.row()},
            completed={"a": {"completed_at": 1.3}},
            dlq=(),
            left=(),
            samples=EMPTY,
            problems=(),
        )
        return replace(history, **changes)

    def told(self, *told: Told, **changes: Any) -> History:
        """The good history, but consumer-1 tells this."""
        return self.good(consumers=(self.journal("consumer-1", *told),), **changes)


@pytest.fixture
def tell() -> Teller:
    return Teller()


Make = Callable[[Teller], History]
