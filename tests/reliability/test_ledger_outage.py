"""The ledger cannot be reached for 15 s in a run of 500 messages; no receive is spent on that."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from reliability.gate import Gate
from reliability.runs import Network, verdict, watch
from support.children import Nursery
from support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.integration]

OUTAGE = 15.0
MESSAGES = 500
CALLS_A_SECOND = 3
"""5 are asked for. The SDK's own pauses nearly give that, so 5 would not miss ours (1.7 here)."""

HOW = {
    "gone": None,
    "reset": {"reset": True},
    "silent": {"timeout_ms": 60_000},
    "500": {"error": {"code": "InternalServerError", "status": 500}},
}
LANES = {"MAX_MESSAGES": "10", "CONCURRENCY": "4"}
SHAPES = {
    "2 consumers, one message at a time": (2, {"MAX_MESSAGES": "1"}),
    "1 consumer, 4 lanes of 10": (1, LANES),
    "1 consumer, 4 lanes of 10, statements": (1, {**LANES, "USE_PARTIQL_STATEMENTS": "1"}),
}


@dataclass
class Case:
    how: str
    shape: str
    problems: list[str] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    twice: int = 0

    def __str__(self) -> str:
        rates = ", ".join(f"{rate:.1f}" for rate in self.rates)
        return f"{self.how}, {self.shape}: {rates} calls/s, {self.twice} received twice; " + str(
            self.problems
        )


@dataclass(frozen=True)
class Way:
    """The way to the ledger."""

    env: dict[str, str]
    shut: Callable[[], None]
    open: Callable[[], None]


def _way(case: Case, name: str, endpoint: str, network: Network) -> Way:
    rule = HOW[case.how]
    if rule is None:
        gate = Gate(endpoint)
        return Way({"AWS_ENDPOINT_URL_DYNAMODB": gate.endpoint}, gate.shut, gate.open)
    return Way(
        network.env(name, "dynamodb"),
        lambda: network.rules(name, {"service": "dynamodb", **rule}),
        lambda: network.rules(name),
    )


def _run(case: Case, made, way: Way, folder) -> None:
    folder.mkdir()
    count, settings = SHAPES[case.shape]
    nursery = Nursery(folder)
    env = {
        **made.env,
        **way.env,
        "WAIT_TIME_SECONDS": "5",
        "SLEEP_MIN_SECONDS": "0.01",
        "SLEEP_MAX_SECONDS": "0.03",
        **settings,
    }
    try:
        ids = made.send_many(MESSAGES)
        watched = [watch(nursery, folder, env) for _ in range(count)]
        for one in watched:
            wait_for(lambda one=one: len(one.events("deleted")) > 20, 30, "the run under way")
        way.shut()
        begin = time.time()
        wait_for(lambda: time.time() > begin + OUTAGE, OUTAGE + 5)
        way.open()
        end = begin + OUTAGE
        case.rates = [len(one.calls_between(begin, end)) / OUTAGE for one in watched]
        left = len(ids) - len(made.completed_rows())
        case.problems += verdict(made, ids, watched, 90)
        case.problems += [] if left > MESSAGES / 4 else [f"only {left} messages saw the outage"]
        case.problems += [f"{rate} calls/s" for rate in case.rates if rate > CALLS_A_SECOND]
        case.problems += [f"{len(made.dlq_messages())} in the DLQ"] if made.dlq_messages() else []
        received = [event for one in watched for event in one.events("received")]
        case.twice = sum(event.data["receive_count"] > 1 for event in received)
        case.problems += [f"{case.twice} receives spent"] if case.twice else []
    except AssertionError as error:
        case.problems.append(str(error))
    finally:
        nursery.reap()


@pytest.mark.timeout(240)
def test_500_messages_at_2_receives(stack, network, queue_set, tmp_path) -> None:
    cases = [Case(how, shape) for how in HOW for shape in SHAPES]

    def run(numbered: tuple[int, Case]) -> None:
        number, case = numbered
        made = queue_set(visibility=10, max_receive_count=2)
        way = _way(case, f"outage-{number}-", stack.endpoint, network)
        _run(case, made, way, tmp_path / f"case-{number}")

    with ThreadPoolExecutor(len(cases)) as pool:
        list(pool.map(run, enumerate(cases)))
    print(*cases, sep="\n")  # noqa: T201 - the rates, for who asks with -s
    bad = [str(case) for case in cases if case.problems]
    assert not bad, "\n".join(bad)


@pytest.mark.timeout(90)
def test_a_last_receive_is_not_given_back_to_the_dlq(stack, queue_set, tmp_path) -> None:
    """An outage three times as long as messages are held for others, where one receive is all."""
    made, gate = queue_set(visibility=2, max_receive_count=1), Gate(stack.endpoint)
    nursery = Nursery(tmp_path)
    env = {
        **made.env,
        "AWS_ENDPOINT_URL_DYNAMODB": gate.endpoint,
        "WAIT_TIME_SECONDS": "1",
        "CONCURRENCY": "2",
        "SLEEP_MIN_SECONDS": "0.1",
        "SLEEP_MAX_SECONDS": "0.1",
    }
    try:
        ids = made.send_many(40)
        consumer = watch(nursery, tmp_path, env, hand="clock,hasty")
        wait_for(lambda: len(consumer.events("deleted")) >= 5, 30, "the run under way")
        gate.shut()
        wait_for(lambda: consumer.events("outage"), 10, "the outage seen")
        begin = time.time()
        wait_for(lambda: time.time() > begin + 6, 10)
        gate.open()
        assert not verdict(made, ids, [consumer], 30)
        assert made.dlq_messages() == []
        assert not [one for one in consumer.events("released") if one.data["reason"] == "outage"]
    finally:
        nursery.reap()
