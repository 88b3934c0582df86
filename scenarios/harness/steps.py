"""Plays the steps of a case, the flood of `backpressure` included.

It decides when a step is over, and judges nothing.
"""

from __future__ import annotations

import signal
import time
from itertools import chain

from harness import evidence
from harness.deliveries import in_work
from harness.history import Tick
from harness.infra import SetupError
from harness.journals import used_up_ids
from harness.processes import Running
from harness.scaling import Rule, Told, change, difference, in_equilibrium, told_at
from harness.scenario import (
    CRASHED,
    MAX_RECEIVES,
    OK,
    AwaitDelivery,
    AwaitRedelivery,
    AwaitWork,
    Consume,
    Goal,
    KeepUp,
    LeaveExpiredRecords,
    RunScript,
    Setting,
    Step,
)
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


Stay = tuple[Consume, list[Running]]
POLL_OPENS_SECONDS = 1.0
"""From a consumer's first journal line to its first long poll, which no witness shows."""


def play(stage: Stage) -> None:
    """Start the services; then arm by arm: send what is given, and step by step."""
    for service in stage.scenario.services:
        stage.await_start(stage.start_service(service))
    for arm in stage.scenario.arms:
        stage.arm = arm
        _play_arm(stage)


def _play_arm(stage: Stage) -> None:
    steps = list(stage.scenario.when)
    first = {
        place: step
        for place, step in enumerate(steps)
        if isinstance(step, Consume) and step.before_sending
    }
    early = dict(zip(first, _start_consumers(stage, *first.values()), strict=True))
    _stop_early(stage, [early[n] for n, step in first.items() if step.stopped_before_sending])
    if not isinstance(steps[0], KeepUp):
        _send(stage)
    staying: list[Stay] = []
    for place, step in enumerate(steps):
        match step:
            case Consume():
                running = early.get(place) or _start_consumers(stage, step)[0]
                _begin(stage, step, running, staying)
            case _:
                _play_step(stage, step)
    for stays, running in staying:
        _end_stay(stage, stays, running)


def _stop_early(stage: Stage, stopped: list[list[Running]]) -> None:
    if stopped:
        stage.pause(POLL_OPENS_SECONDS)
    for child in chain(*stopped):
        stage.interrupt(child, signal.SIGTERM)


def _begin(stage: Stage, step: Consume, running: list[Running], staying: list[Stay]) -> None:
    """Its consumers are up: leave them beside the next steps, or see them through."""
    if step.interrupts:
        for child in chain(*(before for _, before in staying)):
            stage.interrupt(child, signal.Signals[step.interrupts[stage.arm]])
    if step.stays:
        staying.append((step, running))
    else:
        _consume(stage, step, running)


def _play_step(stage: Stage, step: Step) -> None:
    match step:
        case AwaitWork():
            _await_work(stage, step)
        case AwaitDelivery():
            _await_delivery(stage, step)
        case AwaitRedelivery():
            _await_redelivery(stage)
        case KeepUp():
            keep_up(stage, step)
        case LeaveExpiredRecords():
            if stage.arm == step.arm:
                _leave_expired_records(stage)
        case RunScript():
            _run_script(stage, step)


def _leave_expired_records(stage: Stage) -> None:
    stage.shared.clients.tables(stage.resources).put_expired(sorted(_sent(stage)), time.time())


def _sent(stage: Stage) -> set[str]:
    """The ids of this arm's messages."""
    told = stage.tails[evidence.producer_name(stage.arm)].read()
    return {event.data["id"] for event in told if event.name == "sent"}


def _end_stay(stage: Stage, step: Consume, running: list[Running]) -> None:
    if step.leaves_by_itself():
        stage.wait_until("those that stay to end", lambda: _still_running(running))
    stage.stop(running)


def _await_work(stage: Stage, step: AwaitWork) -> None:
    messages = step.messages
    if not isinstance(messages, int):
        messages = stage.scenario.given.messages

    def pending() -> str:
        alive = [child.name for child in stage.children.all if child.code is None]
        busy = sum(len(in_work(stage.tails[name].read())) for name in alive)
        return f"{busy} are" if busy < messages else ""

    stage.wait_until(f"{messages} messages to be in work", pending)


def _await_delivery(stage: Stage, step: AwaitDelivery) -> None:
    def pending() -> str:
        if open_ := _counted(stage):
            return open_
        if stage.arm != step.arm:
            return ""
        sent = {event.id for event in stage.tails[evidence.producer_name(stage.arm)].read()} - {
            None
        }
        left = sent - {event.id for event in stage.events() if event.name == "delivered"}
        return f"{len(left)} are not delivered" if left else ""

    stage.wait_until("every message to settle and be delivered", pending)


def _still_running(running: list[Running]) -> str:
    left = sum(child.code is None for child in running)
    return f"{left} consumers run" if left else ""


def _send(stage: Stage) -> None:
    producer = stage.start_producer()
    stage.await_start(producer)
    stage.wait_until("the producer to end", lambda: "" if producer.code is not None else "it runs")
    if producer.code not in (None, OK):
        lines = "\n  ".join(producer.tail())
        raise SetupError(f"the producer exited {producer.code}; {producer.log} ends:\n  {lines}")


def _start_consumers(stage: Stage, *steps: Consume) -> list[list[Running]]:
    """Those of each step; all are started before any is waited for."""
    started = [
        [stage.start_consumer(settings, step.exits) for settings in step.of_each()]
        for step in steps
    ]
    for child in chain(*started):
        stage.await_start(child)
    return started


def _consume(stage: Stage, step: Consume, running: list[Running]) -> None:
    awaited = step.leaves_by_itself() or (step.exits == CRASHED and not step.restarts)

    def pending() -> str:
        if step.restarts:
            _restart(stage, step, running)
            ahead = _ahead(stage, step) if _any_as_declared(running) else ""
            return ahead or (_still_running(running) if isinstance(step.restarts, Goal) else "")
        if not any(child.code is None for child in running):
            return ""
        if awaited:
            return _still_running(running)
        return _counted(stage)

    what = "the consumers to end" if awaited else "every message to settle"
    stage.wait_until(step.restarts.value if isinstance(step.restarts, Goal) else what, pending)
    for child in running:
        if child.code is None and step.restarts:
            child.allowed = (OK,)  # the last one finds everything done and is told to go
    stage.stop(running)


def _any_as_declared(running: list[Running]) -> bool:
    return any(child.as_declared for child in running)


def _restart(stage: Stage, step: Consume, running: list[Running]) -> None:
    """Put a new consumer in the place of each that crashed as declared, while it has to go on."""
    for place, child in enumerate(running):
        if child.code == CRASHED and _ahead(stage, step):
            running[place] = stage.start_consumer(step.of_each()[place], step.exits)
            stage.await_start(running[place])


def _ahead(stage: Stage, step: Consume) -> str:
    """What a step with restarts still has ahead of it, "" if nothing."""
    if not isinstance(step.restarts, Goal):
        return _counted(stage)
    reached = used_up_ids(stage.events(), MAX_RECEIVES)
    return "" if reached else "there is none"


def _counted(stage: Stage) -> str:
    open_ = stage.unsettled()
    return f"{len(open_)} are not, such as {min(open_)}" if open_ else ""


def _run_script(stage: Stage, step: RunScript) -> None:
    script = stage.start_script(step)
    stage.wait_until(f"{step.script} to end", lambda: "" if script.code is not None else "it runs")
    if not script.as_declared:
        stage.await_start(script)  # one that wrote nothing was never under way
    stage.dead.clear()  # it may have moved what was seen there


def _await_redelivery(stage: Stage) -> None:
    """A stated delay of SQS: what a dead consumer held is hidden until its timeout expires."""
    hidden = [event.data["visible_at"] for event in stage.events() if event.name == "received"]
    ends = max(hidden, default=0.0)
    stage.wait_until(
        "the visibility timeout to expire",
        lambda: f"{ends - time.time():.1f} s to go" if time.time() < ends else "",
    )
