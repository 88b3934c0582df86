"""Floods in virtual time: a queue whose counts may lag, consumers under the rule of the scenario.

What comes out is the history that a run would have left, with the times of every message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.history import Child, Event, History, Journal, Sample, Tick
from harness.scaling import Rule, Told, change, told_at

RULE = Rule(target_latency=4, work_seconds=0.5, max_consumers=8)
RATE = 8.0  # messages a second
HEAD_START = 6  # seconds
PATIENCE = 150  # seconds of flood
STEP = 0.05  # seconds

Steady = Callable[[list[Tick], list[Told]], bool]


@dataclass
class Flood:
    """`lag`: seconds by which the queue's counts are late; `steady` calls the equilibrium."""

    lag: float
    steady: Steady
    sent: list[Event] = field(default_factory=list)
    done: list[Event] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    _depths: list[int] = field(default_factory=list)
    _waiting: list[str] = field(default_factory=list)
    _busy: dict[str, float] = field(default_factory=dict)  # until when a message is worked on
    _consumers: int = 0
    _phase: str = "head start"

    def run(self) -> History:
        """Flood until `steady` says so or patience ends, drain, and wait for the counts."""
        now, step = 0.0, 0
        drained = float("inf")
        while now < drained + self.lag + 5:
            now = step * STEP
            self._move(now)
            if step % round(1 / STEP) == 0:
                self._tick(now)
            if drained == float("inf") and self._phase == "drain" and not self._open():
                drained = now
            step += 1
        return self._history()

    def _open(self) -> int:
        return len(self._waiting) + len(self._busy)

    def _move(self, now: float) -> None:
        if self._phase != "drain" and len(self.sent) < now * RATE:
            key = f"m-{len(self.sent)}"
            self._note(self.sent, now, "sent", key)
            self._waiting.append(key)
        for key in [key for key, until in self._busy.items() if until <= now]:
            del self._busy[key]
            self._note(self.done, now, "completed", key)
            self._note(self.done, now, "deleted", key)
        while self._waiting and len(self._busy) < self._consumers:
            key = self._waiting.pop(0)
            self._note(self.done, now, "received", key)
            self._busy[key] = now + RULE.work_seconds
        self._depths.append(self._open())

    def _note(self, events: list[Event], now: float, name: str, key: str) -> None:
        events.append(Event(now, "x", name, len(events), {"id": key, "index": len(self.sent)}))

    def _tick(self, now: float) -> None:
        late = len(self._depths) - 1 - round(self.lag / STEP)
        backlog = self._depths[late] if late >= 0 else 0
        self.samples.append(Sample(now, backlog, 0, 0, 0))
        if self._phase == "drain" and not self._open():
            return
        if self._phase == "head start" and now > HEAD_START:
            self._phase = "flood"
        tick = Tick(now, backlog, self._consumers, RULE.desired(backlog), self._phase)
        self.ticks.append(tick)
        self.told += told_at([now], self.sent, self.done)
        if self._phase == "head start":
            return
        self._consumers += change(self.ticks)
        if self._phase == "flood" and self.steady(self.ticks, self.told):
            self.ticks.append(Tick(now, backlog, self._consumers, tick.desired, "equilibrium"))
            self.told += self.told[-1:]
            self._phase = "drain"
        elif self._phase == "flood" and now > HEAD_START + PATIENCE:
            self._phase = "drain"

    def _history(self) -> History:
        start = Event(0.0, "producer", "start", 0)
        return History(
            producer=Journal("producer", (start, *self.sent)),
            consumers=(Journal("consumer-1", tuple(self.done)),),
            children=(Child("producer", 130, (130,)), Child("consumer-1", 0, (0,))),
            samples=tuple(self.samples),
            scaling=tuple(self.ticks),
            target_latency=RULE.target_latency,
            problems=(),
        )
