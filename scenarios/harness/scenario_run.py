"""One scenario under way: its children, its messages, and waiting for something to be so."""

from __future__ import annotations

import json
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from checks.delivery import quiet
from harness import evidence
from harness.deliveries import with_deaths
from harness.history import Event, Held, Journal, Sample, Signalled, Tick, swallowed_ids
from harness.infra import ROOT, Clients, Resources, SetupError, Target
from harness.journals import Tail, deleted_ids, exhausted_ids
from harness.processes import Children, Program, Running, Watchdog
from harness.scenario import (
    MAX_RECEIVES,
    OK,
    Address,
    Amount,
    Fresh,
    Options,
    RunScript,
    Scenario,
    Service,
    Setting,
    Settings,
    Visibilities,
)

SERVICES = ROOT / "scenarios" / "services"
LOOK_EVERY = 0.1  # seconds between two looks at a condition
START_SECONDS = 30.0  # for a child to write its first line
OVERRUN_SECONDS = 2.0  # by which work outlasts the visibility timeout
LOCAL_QUIET, REMOTE_QUIET = 0.5, 5.0  # seconds that the counts must stay at zero
LOCAL_VISIBILITY = 2  # seconds; a local run need not wait 10 for each redelivery

# What a consumer gets unless the case says otherwise: short polls and quick work.
BASICS: Settings = {
    "WAIT_TIME_SECONDS": 1,
    "SLEEP_MIN_SECONDS": 0.01,
    "SLEEP_MAX_SECONDS": 0.05,
    "ENV_FILE": "/dev/null",
    "PYTHONUNBUFFERED": "1",
}


class Interrupted(Exception):
    """The user asked the runner to stop."""


@dataclass(frozen=True)
class Shared:
    """What all scenarios of one command share."""

    target: Target
    clients: Clients
    watchdog: Watchdog
    stop: threading.Event
    options: Options
    reports: Path
    say: Callable[[str], None]
    show: Callable[[str, Tick], None]


@dataclass
class Stage:
    """`visibility` is what consumers are told per receive, None leaves it to the queue."""

    shared: Shared
    scenario: Scenario
    folder: Path
    resources: Resources
    children: Children
    visibility: int | None
    hidden_seconds: int  # the visibility timeout in effect
    problems: list[str] = field(default_factory=list)
    dead: dict[str, Held] = field(default_factory=dict)
    arm: str = ""  # the one that is played now
    samples: list[Sample] = field(default_factory=list)
    tails: dict[str, Tail] = field(default_factory=dict)
    signals: list[Signalled] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queues = self.shared.clients.queues(self.resources)

    @property
    def quiet_seconds(self) -> float:
        """For so long the counts must be zero before they are believed (quirk 5)."""
        return LOCAL_QUIET if self.shared.target.local else REMOTE_QUIET

    @property
    def patience(self) -> float:
        """Seconds to wait for anything before giving up."""
        given = self.shared.options.timeout
        return given or 30 + 8 * self.hidden_seconds + 0.5 * self.scenario.given.messages

    def start_producer(self, *, rate: float | None = None, allowed: int = OK) -> Running:
        given = self.scenario.given
        flags = {
            "--n": given.messages,
            "--batch-size": given.batch_size,
            "--rate": given.rate if rate is None else rate,
            "--poison-every": given.poison_every,
            **self._fields(),
        }
        arguments = [str(part) for flag in flags.items() for part in flag]
        program = self._door("producer", "produce.py", arguments, {})
        return self._start(evidence.producer_name(self.arm), program, allowed)

    def _fields(self) -> dict[str, str]:
        """Of each message; what is Fresh in them is told apart from every other run's and arm's."""
        mark = secrets.token_hex(4)
        fields = [
            {name: f"{v.name}-{mark}" if isinstance(v, Fresh) else v for name, v in one.items()}
            for one in self.scenario.given.fields
        ]
        return {"--fields": json.dumps(fields)} if fields else {}

    def start_service(self, service: Service) -> Running:
        """It gets credentials only where the case says that it needs them."""
        reach = self.shared.target.environment
        calls_aws = service.calls_aws
        environment = {k: v for k, v in reach.items() if calls_aws or not k.startswith("AWS_")}
        argv = [sys.executable, f"{service.program}.py", *service.options]
        return self._start(service.name, Program(argv, SERVICES, environment), OK)

    def start_consumer(self, settings: Settings, allowed: int) -> Running:
        override = (
            {} if self.visibility is None else {"VISIBILITY_TIMEOUT_SECONDS": self.visibility}
        )
        merged = {**BASICS, **override, **self.scenario.arms[self.arm], **settings}
        values = {name: str(self._value(value)) for name, value in merged.items()}
        program = self._door("consumer", "consume.py", [], {**self._tables(), **values})
        return self._start(f"consumer-{self._number('consumer')}", program, allowed)

    def start_script(self, step: RunScript) -> Running:
        program = self._door("scripts", step.script, step.arguments, self._tables())
        name = f"script-{self._number('script')}-{step.script.partition('.')[0]}"
        return self._start(name, program, step.exits)

    def _number(self, role: str) -> int:
        return 1 + sum(child.name.startswith(f"{role}-") for child in self.children.all)

    def _tables(self) -> dict[str, str]:
        return {
            "MESSAGE_STATUS_TABLE": self.resources.status_table,
            "MESSAGE_COMPLETED_TABLE": self.resources.completed_table,
        }

    def interrupt(self, child: Running, number: signal.Signals) -> None:
        """Send a signal that the case declares, and put it on record before it can act."""
        sent = Signalled(time.time(), child.name, number.name)
        if sent.fatal:
            child.allowed = (-number,)
        self.signals.append(sent)
        evidence.append(self.folder, "signals.jsonl", sent)
        child.ask(number)

    def ask(self, child: Running, number: signal.Signals) -> None:
        """Ask it to end once its journal has begun: until then it has no handler for the signal,
        and Python itself would end it with an exit code that no case declares."""
        self.await_start(child)
        child.ask(number)

    def stop(self, children: Sequence[Running], number: signal.Signals = signal.SIGTERM) -> None:
        """Ask each to end in that way, and see that it does."""
        for child in children:
            self.ask(child, number)
        self.children.stop(children, number)

    def _door(
        self, name: str, script: str, arguments: Sequence[str], values: Mapping[str, str]
    ) -> Program:
        room = ROOT / name
        own = room / ".venv" / "bin" / "python"
        python = str(own) if own.exists() else sys.executable
        environment = {
            **self.shared.target.environment,
            "QUEUE_URL": self.resources.queue_url,
            "ENV_FILE": "/dev/null",
            **values,
        }
        return Program([python, script, *arguments], room, environment)

    def _start(self, name: str, program: Program, allowed: int) -> Running:
        try:
            child = self.children.start(name, program, [allowed])
        except OSError as error:
            raise SetupError(f"{name} cannot be started: {error}") from error
        self.tails[name] = Tail(child.journal)
        return child

    def _value(self, value: Setting) -> str | int | float:
        if value is Amount.ALL_MESSAGES:
            return self.scenario.given.messages
        if value is Amount.PAST_VISIBILITY:
            return self.hidden_seconds + OVERRUN_SECONDS
        if isinstance(value, Visibilities):
            return self.hidden_seconds * value.times
        if isinstance(value, Address):
            return str(self.tails[value.service].read()[0].data["url"]) + value.path
        assert isinstance(value, str | int | float)  # noqa: S101 - a step resolves every Each
        return value

    def await_start(self, child: Running) -> None:
        """Until its journal begins; SetupError if it never does."""
        tail = self.tails[child.name]
        deadline = time.monotonic() + START_SECONDS
        while not tail.read():
            ended = child.code is not None or time.monotonic() > deadline
            if ended and not tail.read():
                self._never_started(child)
            self.pause()

    def _never_started(self, child: Running) -> None:
        how = "hangs" if child.code is None else f"exited {child.code}"
        lines = "\n  ".join(child.tail()) or "(it wrote nothing)"
        raise SetupError(f"{child.name} did not start: it {how}; {child.log} ends:\n  {lines}")

    def events(self) -> list[Event]:
        """All that consumers have written so far."""
        return self._told_by("consumer")

    def sent(self) -> list[Event]:
        return [event for event in self._told_by("producer") if event.name == "sent"]

    def sent_ids(self) -> set[str]:
        return {event.data["id"] for event in self.sent()}

    def _told_by(self, role: str) -> list[Event]:
        told = [
            with_deaths(Journal(name, tuple(tail.read())), self.signals)
            for name, tail in self.tails.items()
            if name.startswith(role)
        ]
        return [event for journal in told for event in journal.events]

    def unsettled(self) -> set[str]:
        """Messages that no consumer has deleted and that are not seen in the DLQ.

        One that a crashed consumer may have deleted is settled once the queue counts nothing.
        """
        events = self.events()
        open_ = self.sent_ids() - deleted_ids(events) - self.dead.keys()
        if open_ and open_ <= exhausted_ids(events, MAX_RECEIVES, time.time()):
            self.dead |= self.queues.dead_lettered(open_)
            open_ -= self.dead.keys()
        if open_ and open_ <= swallowed_ids(events) and quiet(self.samples, self.quiet_seconds):
            return set()
        return open_

    def pause(self, seconds: float = LOOK_EVERY) -> None:
        """Wait, unless the user asked the runner to stop."""
        if self.shared.stop.wait(seconds):
            raise Interrupted

    def wait_until(
        self,
        what: str,
        condition: Callable[[], str],
        seconds: float | None = None,
        every: float = LOOK_EVERY,
    ) -> bool:
        """Until the condition answers "": anything else is what it still sees.

        It is not waited for once a child has ended otherwise than declared: that is a failure.
        """
        limit = self.patience if seconds is None else seconds
        deadline = time.monotonic() + limit
        while seen := condition():
            if time.monotonic() > deadline:
                self.problems.append(f"waited {limit:g} s for {what}; last: {seen}")
                return False
            if self._unlike_declared():
                return False
            self.pause(every)
        return True

    def _unlike_declared(self) -> bool:
        odd = [child for child in self.children.all if not child.as_declared]
        for child in odd:
            if not self.tails[child.name].read():
                self._never_started(child)
        return bool(odd)

    def record(self, tick: Tick) -> None:
        evidence.append(self.folder, "scaling.jsonl", tick)
        self.shared.show(self.scenario.name, tick)
