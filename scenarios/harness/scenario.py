"""The frozen words that a case is written in; it knows no process, queue, clock or AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum

from harness.history import History, Witness

# Exit codes of the consumer that a case can declare (consumer/sqs_worker/exits.py names them).
OK = 0
CRASHED = 86

# The redrive policy of every set (terraform/main.tf): received twice, then the dead-letter queue.
MAX_RECEIVES = 2


class Amount(Enum):
    """A setting whose value is known only when the scenario runs."""

    ALL_MESSAGES = "as many as are sent"
    PAST_VISIBILITY = "seconds of work that end well after the visibility timeout"


ALL_MESSAGES = Amount.ALL_MESSAGES
PAST_VISIBILITY = Amount.PAST_VISIBILITY


@dataclass(frozen=True)
class Service:
    """A program of scenarios/services/ that runs from the first step to the last.

    It writes a journal, whose first line says at which `url` it answers. Only one that `calls_aws`
    gets the endpoint and the credentials of the run.
    """

    name: str
    program: str
    options: tuple[str, ...] = ()
    calls_aws: bool = False


@dataclass(frozen=True)
class Address:
    """A setting: where a service of this scenario answers."""

    service: str
    path: str = ""


@dataclass(frozen=True)
class Visibilities:
    """A setting in seconds: so many visibility timeouts."""

    times: float


@dataclass(frozen=True, init=False)
class Each:
    """A setting in which the consumers of a step differ: one consumer for each value."""

    values: tuple[str | int | float, ...]

    def __init__(self, *values: str | int | float) -> None:
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class Fresh:
    """A value of the fields that are sent: NAME-xxxxxxxx, in each arm of each run another one."""

    name: str


Setting = str | int | float | Amount | Address | Visibilities | Each
Settings = Mapping[str, Setting]


@dataclass(frozen=True)
class Given:
    """What the producer sends before the first step."""

    messages: int
    batch_size: int = 10
    rate: float = 0.0  # messages per second, 0 = as fast as possible
    poison_every: int = 0  # every Nth message is poison, 0 = none
    fields: Sequence[Mapping[str, str | int | float | Fresh]] = ()  # one for each message, if any


class Goal(Enum):
    """What a crashed consumer is replaced for, instead of every message being settled."""

    DONE_AND_USED_UP = "a completed message that nobody deleted has had its last receive"


DONE_AND_USED_UP = Goal.DONE_AND_USED_UP


@dataclass(frozen=True, init=False)
class Consume:
    """Run consumers with these settings until every message is settled.

    A consumer with MESSAGE_LIMIT, or one that is to crash, is awaited; any other is stopped
    with SIGTERM. With `restarts`, a crashed one is replaced until every message is settled, or
    until a goal is reached: which messages a receive brings, and how many, is up to SQS (quirk 21).
    `before_sending` has them polling before the first message is sent. One that `stays` is not
    waited for: the next steps go on beside it. `interrupts` names a signal for each arm: once these
    are up, each one that stays gets it, and these take over. One that is `stopped_before_sending`
    gets SIGTERM while it waits in a long poll, before the first message is sent.
    """

    consumers: int
    exits: int
    restarts: bool | Goal
    before_sending: bool
    stays: bool
    stopped_before_sending: bool
    interrupts: Mapping[str, str]
    settings: tuple[tuple[str, Setting], ...]

    def __init__(  # noqa: PLR0913 - each is a word that a case may use
        self,
        consumers: int = 1,
        *,
        exits: int = OK,
        restarts: bool | Goal = False,
        before_sending: bool = False,
        stays: bool = False,
        stopped_before_sending: bool = False,
        interrupts: Mapping[str, str] | None = None,
        **settings: Setting,
    ) -> None:
        differing = [name for name, value in settings.items() if isinstance(value, Each)]
        if len(differing) > 1:
            raise ValueError(f"Each in {' and '.join(differing)}: one setting can differ, not two")
        object.__setattr__(self, "consumers", consumers)
        object.__setattr__(self, "exits", exits)
        object.__setattr__(self, "restarts", restarts)
        object.__setattr__(self, "before_sending", before_sending)
        object.__setattr__(self, "stays", stays)
        object.__setattr__(self, "stopped_before_sending", stopped_before_sending)
        object.__setattr__(self, "interrupts", interrupts or {})
        object.__setattr__(self, "settings", tuple(settings.items()))

    def of_each(self) -> list[dict[str, Setting]]:
        """The settings of each consumer that the step starts."""
        named = dict(self.settings)
        name, each = next(((k, v) for k, v in named.items() if isinstance(v, Each)), ("", None))
        kinds = [named | {name: value} for value in each.values] if each else [named]
        return kinds * self.consumers

    def leaves_by_itself(self) -> bool:
        return "MESSAGE_LIMIT" in dict(self.settings)


@dataclass(frozen=True)
class AwaitRedelivery:
    """Wait until the visibility timeout of everything that a dead consumer held has expired."""


@dataclass(frozen=True)
class AwaitWork:
    """Wait until so many messages are in work at once, at consumers that run."""

    messages: int | Amount


@dataclass(frozen=True)
class AwaitDelivery:
    """Wait until every message of the arm is settled, and its outbox has delivered each intent."""

    arm: str


@dataclass(frozen=True)
class LeaveExpiredRecords:
    """Give each message of the arm the rows of a completion whose `expires_at` has passed.

    DynamoDB deletes such rows up to a few days later (quirk 12), so a consumer can meet them.
    """

    arm: str


@dataclass(frozen=True)
class KeepUp:
    """Flood the queue, add consumers by the backlog rule (harness/scaling.py), then drain."""

    rate: float  # messages per second
    work_seconds: float  # of one message
    target_latency: float  # seconds that a message may wait
    max_consumers: int
    head_start: float = (
        6.0  # seconds of flood before the first consumer, so that a backlog is there
    )


@dataclass(frozen=True, init=False)
class RunScript:
    """Run a program of scripts/ to its end; its output and its journal are among the evidence.

    It gets the names of the set as a consumer does. What it did to the queues is looked at anew.
    """

    script: str
    arguments: tuple[str, ...]
    exits: int

    def __init__(self, script: str, *arguments: str, exits: int = OK) -> None:
        object.__setattr__(self, "script", script)
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "exits", exits)


Step = (
    Consume | AwaitDelivery | AwaitRedelivery | AwaitWork | KeepUp | LeaveExpiredRecords | RunScript
)


class Verdict(StrEnum):
    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Finding:
    """One check's answer: what was expected, what was seen, and where to look."""

    check: str
    verdict: Verdict
    expected: str
    seen: str
    look_at: str = ""
    shows: str = ""  # what is worth seeing whatever the verdict, such as a table


@dataclass(frozen=True)
class Check:
    """A pure question to a history; `reads` names the witnesses it cannot do without."""

    name: str
    reads: tuple[Witness, ...]
    answer: Callable[[History], Finding]


@dataclass(frozen=True)
class Scenario:
    name: str
    proves: str
    runs_on: str  # the set of queue and tables, as in terraform/variables.tf
    given: Given
    when: Sequence[Step]
    then: Sequence[Check]
    slow: bool = False  # not among the six that take seconds
    services: Sequence[Service] = ()
    arms: Mapping[str, Settings] = field(default_factory=lambda: {"": {}})
    """All steps are played once for each arm, with messages of its own and these settings."""


@dataclass(frozen=True)
class Options:
    """What the command line may change; None leaves what the case says."""

    count: int | None = None
    batch_size: int | None = None
    rate: float | None = None
    poison_every: int | None = None
    work_seconds: float | None = None
    max_consumers: int | None = None
    target_latency: float | None = None
    visibility: int | None = None
    timeout: float | None = None

    def given(self) -> dict[str, int | float]:
        values = {
            "messages": self.count,
            "batch_size": self.batch_size,
            "rate": self.rate,
            "poison_every": self.poison_every,
        }
        return {name: value for name, value in values.items() if value is not None}

    def keep_up(self) -> dict[str, int | float]:
        values = {
            "rate": self.rate,
            "work_seconds": self.work_seconds,
            "max_consumers": self.max_consumers,
            "target_latency": self.target_latency,
        }
        return {name: value for name, value in values.items() if value is not None}


def tuned(scenario: Scenario, options: Options) -> Scenario:
    """The scenario with the options in place; ValueError names one that it has no use for."""
    scales = any(isinstance(step, KeepUp) for step in scenario.when)
    useless = {"messages", "poison_every"} if scales else {"work_seconds"}
    useless |= set() if scales else {"max_consumers", "target_latency"}
    if not scenario.given.poison_every:
        useless.add("poison_every")
    if scenario.given.fields:
        useless.add("messages")
    refused = sorted(useless & (options.given().keys() | options.keep_up().keys()))
    if refused:
        named = ", ".join("count" if name == "messages" else name for name in refused)
        raise ValueError(f"scenario {scenario.name} has no use for: {named.replace('_', '-')}")
    when = [
        replace(step, **options.keep_up()) if isinstance(step, KeepUp) else step  # type: ignore[arg-type]
        for step in scenario.when
    ]
    given = replace(scenario.given, **options.given())  # type: ignore[arg-type]
    crowd = sum(_ready_for_one(step) for step in scenario.when)
    if given.messages < crowd:
        raise ValueError(f"scenario {scenario.name} needs at least {crowd} messages")
    return replace(scenario, given=given, when=when)


def _ready_for_one(step: Step) -> int:
    """How many messages the step takes at once: its consumers stand ready for one each, or wait."""
    if isinstance(step, AwaitWork):
        return step.messages if isinstance(step.messages, int) else 1
    if not isinstance(step, Consume) or not step.before_sending:
        return 0
    return len(step.of_each()) if step.exits != OK or step.stays else 0
