"""Plays the backpressure step: a producer that does not stop, and consumers under the rule."""

from __future__ import annotations

import signal
import time

from harness.history import Tick
from harness.processes import Running
from harness.scaling import Rule, Told, change, difference, in_equilibrium, told_at
from harness.scenario import OK, KeepUp, Setting
from harness.scenario_run import Stage

TICK_SECONDS = 1.0
FLOOD_PATIENCE = 150.0  # seconds to reach equilibrium, and again to drain
STOPPED_BY_USER = 128 + signal.SIGINT  # how the producer ends on Ctrl-C


def keep_up(stage: Stage, step: KeepUp) -> None:
    """Flood until equilibrium, stop the producer, drain."""
    producer = stage.start_producer(rate=step.rate, allowed=STOPPED_BY_USER)
    stage.await_start(producer)
    flood = Flood(stage, step)
    flood.watch(step.head_start)
    flood.until_steady()
    stage.stop([producer], signal.SIGINT)
    flood.until_drained()


class Flood:
    """The consumers of one flood, tick by tick."""

    def __init__(self, stage: Stage, step: KeepUp) -> None:
        self._stage = stage
        self._rule = Rule(step.target_latency, step.work_seconds, step.max_consumers)
        self._settings: dict[str, Setting] = {
            "SLEEP_MIN_SECONDS": step.work_seconds,
            "SLEEP_MAX_SECONDS": step.work_seconds,
        }
        self._running: list[Running] = []
        self._ticks: list[Tick] = []
        self._told: list[Told] = []
        self._began = time.monotonic()

    def watch(self, seconds: float) -> None:
        """Let the backlog grow."""
        while time.monotonic() < self._began + seconds:
            self._look("head start")
            self._stage.pause(TICK_SECONDS)

    def until_steady(self) -> None:
        def pending() -> str:
            tick = self._tick("flood")
            if in_equilibrium(self._rule, self._ticks, self._told):
                return ""
            differing = difference(self._ticks[-1:], self._told[-1:])
            return "; ".join(filter(None, (_told(tick), differing)))

        patience = self._stage.shared.options.timeout or FLOOD_PATIENCE
        if self._stage.wait_until("equilibrium", pending, patience, TICK_SECONDS):
            self._look("equilibrium")

    def until_drained(self) -> None:
        def pending() -> str:
            tick = self._tick("drain")
            return _told(tick) if self._stage.unsettled() else ""

        patience = self._stage.shared.options.timeout or FLOOD_PATIENCE
        self._stage.wait_until("the backlog to drain", pending, patience, TICK_SECONDS)
        self._stage.stop(self._running)

    def _tick(self, phase: str) -> Tick:
        """Look, decide, act."""
        tick = self._look(phase)
        wanted = change(self._ticks)
        if wanted > 0:
            self._add(wanted)
        elif wanted < 0:
            self._stage.ask(self._running.pop(), signal.SIGTERM)  # it finishes what it holds
        return tick

    def _look(self, phase: str) -> Tick:
        backlog = self._stage.queues.sample().backlog
        seconds = time.monotonic() - self._began
        desired = self._rule.desired(backlog)
        tick = Tick(round(seconds, 2), backlog, len(self._running), desired, phase)
        self._ticks.append(tick)
        self._told += told_at([time.time()], self._stage.sent(), self._stage.events())
        self._stage.record(tick)
        return tick

    def _add(self, count: int) -> None:
        self._running += [self._stage.start_consumer(self._settings, OK) for _ in range(count)]


def _told(tick: Tick) -> str:
    return f"backlog {tick.backlog}, {tick.consumers} consumers"
