"""SQS delivers a message twice by itself, or fewer and others than were hoped for (quirks 1, 21).

That is no fault of the consumer, so it must not be FAIL; where it could be one, it is UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cases import duplicates, redrive
from checks.delivery import (
    deliveries,
    dlq_holds,
    poison_dead_lettered,
    queue_empty,
    redelivered_after_visibility,
    worked_by,
)
from checks.heartbeat import extended_to_the_limit, receives
from checks.invariants import ALWAYS, conservation
from checks.shutdown import hidden_until_it_ran_out
from harness import steps
from harness.deliveries import early
from harness.findings import ask, worst
from harness.history import Child, Event, Held, History, Signalled
from harness.journals import used_up_ids
from harness.scenario import CRASHED, DONE_AND_USED_UP, Check, Consume, Verdict

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
FIRST, SECOND = 1.0, 3.1  # when both consumers receive; the visibility timeout is 2 s
SOON = 1.4  # before that of the first has run out
DEAD = Held("a", "m-a", 3, "arn:q")


def delivered(
    tell: Any, second: Mapping[str, float], dead: tuple[Held, ...] = (), effects: int = 1
) -> History:
    """consumer-1 has a, b and c; consumer-2 gets those of `second` at these times, as well."""

    def told(name: str, times: Mapping[str, float], count: int, *, first: bool) -> Any:
        lines = []
        for key, at in sorted(times.items(), key=lambda item: item[1]):
            for event, one, t, data in tell.done(key, at, receive_count=count):
                late = 0.0 if event in ("received", "claimed") else 2.5
                effect = {"effect": first or effects > 1} if event == "completed" else {}
                lines.append((event, one, t + late, data | effect))
        return tell.journal(name, *lines)

    rows = {
        key: tell.row(FIRST + 2.8, attempts=2 if key in second else 1, effects=1) for key in "abc"
    }
    rows["a"]["effects"] = effects
    return tell.good(
        messages=3,
        producer=tell.producer("abc"),
        consumers=(
            told("consumer-1", dict.fromkeys("abc", FIRST), 1, first=True),
            told("consumer-2", second, 2, first=False),
        ),
        children=tuple(Child(f"consumer-{n}", 0, (0,)) for n in (1, 2)),
        status=rows,
        completed={key: {"completed_at": FIRST + 2.8} for key in "abc"},
        dlq=dead,
    )


def verdict(history: History) -> Verdict:
    """Of the whole scenario `duplicates`."""
    checks = [*ALWAYS, *duplicates.SCENARIO.then]
    return worst(ask(check, history).verdict for check in checks)


def test_both_deliveries_of_each_pass(tell: Any) -> None:
    history = delivered(tell, dict.fromkeys("abc", SECOND))
    assert early(history) == []
    assert verdict(history) is PASS


@pytest.mark.parametrize("soon", ["a", "ab", "abc"])
def test_what_sqs_delivers_twice_by_itself_passes(tell: Any, soon: str) -> None:
    times = {key: SOON if key in soon else SECOND for key in "abc"}
    history = delivered(tell, times)
    assert {second.id for _, second in early(history)} == set(soon)
    assert verdict(history) is PASS


def test_a_receive_that_sqs_used_up_itself_passes(tell: Any) -> None:
    """`a` is received no third time: the next receive moves it to the DLQ, though it is done."""
    history = delivered(tell, {"a": SOON, "b": SECOND, "c": SECOND}, dead=(DEAD,))
    assert verdict(history) is PASS
    assert "of the completed 1 also in the DLQ" in ask(conservation(), history).seen
    assert "and 1 completed" in ask(dlq_holds(0), history).seen


def test_in_the_dlq_though_nothing_came_early_fails(tell: Any) -> None:
    history = delivered(tell, dict.fromkeys("abc", SECOND), dead=(DEAD,))
    for check in (conservation(), dlq_holds(0)):
        assert ask(check, history).verdict is FAIL
    open_ = {**(history.status or {}), "a": {"status": "FAILED", "attempts": 2, "effects": 0}}
    lost = delivered(tell, {"a": SOON, "b": SECOND, "c": SECOND}, dead=(DEAD,))
    assert ask(dlq_holds(0), replace(lost, status=open_)).verdict is FAIL


@pytest.mark.parametrize("at", [SOON, SECOND])
def test_a_doubled_effect_fails_whoever_delivered_twice(tell: Any, at: float) -> None:
    history = delivered(tell, {"a": at, "b": SECOND, "c": SECOND}, effects=2)
    assert verdict(history) is FAIL


@pytest.mark.parametrize("check", [worked_by(consumers=2), deliveries(at_least=2)])
def test_a_place_that_an_early_delivery_took_is_unknown(tell: Any, check: Check) -> None:
    assert ask(check, delivered(tell, {"a": SOON, "b": SECOND})).verdict is UNKNOWN
    assert ask(check, delivered(tell, {"a": SECOND, "b": SECOND})).verdict is FAIL


def test_one_early_of_many_is_unknown_and_most_of_them_fail(tell: Any) -> None:
    check = redelivered_after_visibility(at_least=1)
    found = ask(check, delivered(tell, {"a": SOON, "b": SECOND, "c": SECOND}))
    assert found.verdict is UNKNOWN
    assert "a: received again 1.6 s before its time: SQS may" in found.seen
    assert found.look_at
    assert ask(check, delivered(tell, {"a": SOON, "b": SOON, "c": SECOND})).verdict is FAIL


def test_what_was_deleted_and_comes_back_is_unknown_where_sqs_repeats(tell: Any) -> None:
    left = (Held("a", "m-a", 2),)
    repeats = delivered(tell, {"a": SOON, "b": SECOND, "c": SECOND})
    assert ask(queue_empty(), replace(repeats, left=left)).verdict is UNKNOWN
    usual = delivered(tell, dict.fromkeys("abc", SECOND))
    assert ask(queue_empty(), replace(usual, left=left)).verdict is FAIL


@pytest.mark.parametrize(("third", "expected"), [(3.5, PASS), (5.2, FAIL)])
def test_a_poison_message_that_sqs_repeats_was_received_often_enough(
    tell: Any, third: float, expected: Verdict
) -> None:
    """Its third receive came early; SQS need not count it. One that came in time, it counts."""
    told = [*tell.done("a")]
    for count, at in enumerate((1.0, 3.1, third), start=1):
        told += tell.rejected("p", at=at, count=count)
    history = tell.told(
        *told,
        messages=2,
        producer=tell.producer(["a", "p"], poison=["p"]),
        status={"a": tell.row(), "p": {"status": "FAILED", "attempts": 3, "effects": 0}},
        dlq=(Held("p", "m-p", 3, "arn:q"),),
    )
    assert ask(poison_dead_lettered(after=2), history).verdict is expected


def beaten(tell: Any, *soon: str) -> History:
    """Each of four messages is extended and received by another, those of `soon` too early."""
    first, second = [], []
    for key in "abcd":
        first += [
            *tell.done(key)[:2],
            ("extended", key, 2.0, {"visible_at": 4.0}),
            ("extend_ended", key, 2.5, {}),
        ]
        second += tell.done(key, 2.4 if key in soon else 4.1, receive_count=2)
    producer = tell.producer("abcd")
    events = tuple(replace(event, data={**event.data, "arm": "x"}) for event in producer.events)
    return tell.good(
        messages=4,
        producer=replace(producer, events=events),
        consumers=(tell.journal("consumer-1", *first), tell.journal("consumer-2", *second)),
    )


def test_what_a_heartbeat_held_and_sqs_repeats_is_unknown(tell: Any) -> None:
    checks = (receives(x=1), extended_to_the_limit("x"))
    one, most = beaten(tell, "a"), beaten(tell, "a", "b", "c")
    assert ask(checks[1], beaten(tell)).verdict is PASS
    assert [ask(check, one).verdict for check in checks] == [FAIL, UNKNOWN], "b, c, d came in time"
    assert [ask(check, most).verdict for check in checks] == [FAIL, FAIL]
    held = replace(one, consumers=(one.consumers[0], _only(one, "a")))
    rest = replace(beaten(tell), consumers=(beaten(tell).consumers[0], _only(one, "a")))
    assert ask(receives(x=1), held).verdict is FAIL, "every redelivery came early"
    other = tell.journal("consumer-3", *tell.done("e"), *tell.done("e", 4.0))
    both = replace(rest, consumers=(*rest.consumers, other))
    sent = (*both.sent, Event(0.1, "producer", "sent", 9, {"id": "e", "index": 4, "arm": "y"}))
    assert both.producer
    both = replace(both, producer=replace(both.producer, events=sent))
    assert ask(receives(x=1), both).verdict is UNKNOWN, "one of two"


def _only(history: History, key: str) -> Any:
    journal = history.consumers[1]
    return replace(journal, events=tuple(e for e in journal.events if e.id == key))


def test_what_a_killed_consumer_held_and_sqs_repeats_is_unknown(tell: Any) -> None:
    def killed(*soon: str) -> History:
        history = beaten(tell, *soon)
        return replace(history, signals=(Signalled(2.1, "consumer-1", "SIGKILL"),))

    check = hidden_until_it_ran_out("x")
    assert ask(check, killed()).verdict is PASS
    assert ask(check, killed("a")).verdict is UNKNOWN
    assert ask(check, killed("a", "b", "c")).verdict is FAIL


# A receive brings fewer messages than asked for, and others: the step goes on until it has one that
# it needs.


class Dying:
    """A consumer that has told its crash, and is a process for two looks more."""

    def __init__(self) -> None:
        self.allowed: tuple[int, ...] = (CRASHED,)
        self._looks = iter([None, None])

    @property
    def code(self) -> int | None:
        return next(self._looks, CRASHED)

    @property
    def as_declared(self) -> bool:
        return CRASHED in self.allowed


class Rounds:
    """A stage whose consumers all crash soon; each tells the events of its round."""

    def __init__(self, before: list[Event], *rounds: list[Event]) -> None:
        self.told, self.rounds, self.started = list(before), list(rounds), 0

    def start_consumer(self, _settings: Any, _exits: int) -> Any:
        self.told += self.rounds.pop(0)
        self.started += 1
        return Dying()

    def events(self) -> list[Event]:
        return self.told

    def wait_until(self, _what: str, pending: Any) -> bool:
        return any(not pending() for _ in range(30))

    def unsettled(self) -> set[str]:
        return {"a"}

    def await_start(self, _child: Any) -> None:
        """It is up."""

    def stop(self, _running: Any) -> None:
        """They have all ended."""


def line(name: str, key: str, count: int = 1) -> Event:
    return Event(1.0, "consumer", name, 1, {"id": key, "receive_count": count})


def test_a_step_that_needs_a_message_goes_on_until_it_has_it() -> None:
    (step,) = [
        s
        for s in redrive.SCENARIO.when
        if isinstance(s, Consume) and s.restarts is DONE_AND_USED_UP
    ]
    stage = Rounds(
        [line("received", "a"), line("completed", "a"), line("received", "b")],
        [line("received", "c")],
        [line("received", "b", 2)],
        [line("received", "a", 2), line("received", "d")],
        [line("received", "d", 2)],
    )
    running = [stage.start_consumer({}, CRASHED)]
    steps._consume(stage, step, running)  # type: ignore[arg-type] - a double
    assert stage.started == 3
    assert running[0].as_declared
    assert used_up_ids(stage.told, 2) == {"a"}


def test_what_was_deleted_is_not_used_up() -> None:
    told = [line("completed", "a"), line("received", "a", 2), line("deleted", "a")]
    assert used_up_ids(told, 2) == set()
    assert used_up_ids(told[:2], 2) == {"a"}
    assert used_up_ids(told[:2], 3) == set()
