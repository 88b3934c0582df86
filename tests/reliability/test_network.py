"""A hostile network between consumer and AWS: nothing lost, one effect, and no hot loop.

Each case sees all its calls fail for a while, then three in ten, then none.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reliability.gate import Gate
from reliability.runs import Network, verdict, watch
from support.children import Nursery
from support.proxy import Rule
from support.queues import QueueSet
from support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.integration]

AT_ONCE = 7
MESSAGES = 60
BLACKOUT, DRIZZLE = 6.0, 3.0  # seconds
GONE = 10.0
CALLS_A_SECOND = 10  # the SDK's own tries included; a loop without pauses makes hundreds
VISIBILITY = 4

FAULTS: dict[str, Rule] = {
    "throttling": {"error": {"code": "ThrottlingException", "status": 400}},
    "500": {"error": {"code": "InternalServerError", "status": 500}},
    "503": {"error": {"code": "ServiceUnavailable", "status": 503}},
    "reset": {"reset": True},
    "time-out": {"timeout_ms": 30_000},
    "lost answer": {"response": {"abort_frac": 0.0}},
    "cut answer": {"response": {"abort_frac": 0.5}},
    "expired credentials": {"error": {"code": "ExpiredTokenException", "status": 403}},
    "spikes": {
        "latency": {"dist": "spike", "min": 10, "max": 80, "spike_ms": 4000, "spike_p": 0.1}
    },
    "gone": {},
}
TARGETS = {"sqs": "sqs", "dynamodb": "dynamodb", "both": "*"}


@dataclass
class Case:
    """One fault on one service, and what came of it."""

    fault: str
    target: str
    problems: list[str] = field(default_factory=list)
    rate: float = 0.0  # calls a second while all failed

    def fails(self, call: str) -> bool:
        """With SQS out of reach the ledger works, and what is in hand is finished in it."""
        return self.target != "sqs" or call.startswith("sqs.")

    def __str__(self) -> str:
        return f"{self.fault} on {self.target}: {self.rate:.1f} calls/s; {self.problems}"


@dataclass(frozen=True)
class Wire:
    """What stands between consumer and stack: how to break it, and to mend it."""

    env: dict[str, str]
    seconds: float  # of the blackout
    blackout: Callable[[], None]
    drizzle: Callable[[], None]
    mend: Callable[[], None]
    close: Callable[[], None]


def _wire(case: Case, name: str, endpoint: str, network: Network) -> Wire:
    if case.fault == "gone":
        gate = Gate(endpoint)
        names = ["SQS", "DYNAMODB"] if case.target == "both" else [case.target.upper()]
        env = {f"AWS_ENDPOINT_URL_{name}": gate.endpoint for name in names}
        return Wire(env, GONE, gate.shut, gate.open, lambda: None, gate.close)
    rule = {"service": TARGETS[case.target], **FAULTS[case.fault]}

    def mend() -> None:
        network.rules(name)

    return Wire(
        network.env(name),
        BLACKOUT,
        lambda: network.rules(name, rule),
        lambda: network.rules(name, {**rule, "probability": 0.3}),
        mend,
        mend,
    )


def _suffer(case: Case, made: QueueSet, wire: Wire, folder: Path) -> None:
    folder.mkdir()
    nursery = Nursery(folder)
    try:
        ids = made.send_many(MESSAGES)
        one = watch(nursery, folder, {**made.env, **wire.env, **SETTINGS})
        wait_for(lambda: one.events("deleted"), 20, "the first messages")
        wire.blackout()
        begin = time.time()
        _pass(wire.seconds)
        calls = one.calls_between(begin, begin + wire.seconds)
        case.rate = sum(map(case.fails, calls)) / wire.seconds
        wire.drizzle()
        _pass(DRIZZLE)
        wire.mend()
        case.problems += verdict(made, ids, [one], 90)
        if case.target == "dynamodb" and (dead := made.dlq_messages()):
            case.problems.append(f"{len(dead)} messages in the DLQ")
        if case.fault != "spikes" and case.rate > CALLS_A_SECOND:
            case.problems.append("a hot loop")
    except AssertionError as error:
        case.problems.append(str(error))
    finally:
        nursery.reap()
        wire.close()


def _pass(seconds: float) -> None:
    """Let the stated time of a fault go by."""
    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > until, seconds + 5)


SETTINGS = {
    "CONCURRENCY": "2",
    "MAX_MESSAGES": "5",
    "WAIT_TIME_SECONDS": "1",
    "SLEEP_MIN_SECONDS": "0.1",
    "SLEEP_MAX_SECONDS": "0.1",
    "USE_TRANSACTIONAL_WRITES": "0",
}


@pytest.mark.timeout(300)
def test_every_fault_on_each_service_and_on_both(stack, network, queue_set, tmp_path) -> None:
    """2 receives before the DLQ where only the ledger fails: an outage must not spend them.

    A receive whose answer is lost is spent on any queue, so 20 where SQS fails. A spike lasts as
    long as the visibility timeout, so that it spends a receive by itself: 20 there, too.
    """
    cases = [Case(fault, target) for fault in FAULTS for target in TARGETS]

    def run(numbered: tuple[int, Case]) -> None:
        number, case = numbered
        receives = 2 if case.target == "dynamodb" and case.fault != "spikes" else 20
        made = queue_set(visibility=VISIBILITY, max_receive_count=receives)
        wire = _wire(case, f"case-{number}-", stack.endpoint, network)
        _suffer(case, made, wire, tmp_path / f"case-{number}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(run, enumerate(cases)))
    print(*cases, sep="\n")  # noqa: T201 - the rates, for who asks with -s
    bad = [str(case) for case in cases if case.problems]
    assert not bad, "\n".join(bad)
