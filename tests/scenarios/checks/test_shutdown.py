"""Each question about a consumer that got a signal: histories that pass, fail, are unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from checks import shutdown
from checks.shutdown import (
    given_back_at_once,
    given_back_on_arrival,
    hidden_until_it_ran_out,
    sooner,
)
from harness.deliveries import with_deaths
from harness.findings import ask
from harness.history import Child, Event, History, Journal, Signalled, Witness
from harness.scenario import Check, Verdict

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
Tell = Callable[[Any], History]
SIGNAL_AT = 2.0
VISIBLE_AT = 5.0


def received(key: str, t: float, count: int = 1, until: float = VISIBLE_AT) -> Any:
    return ("received", key, t, {"receive_count": count, "visible_at": until, "sent": 0.1})


def sent(**arms: str) -> Journal:
    """One message for each letter of each arm's value."""
    pairs = [(arm, key) for arm, keys in arms.items() for key in keys]
    events = [
        Event(0.1, "p", "sent", place, {"id": key, "index": place, "arm": arm})
        for place, (arm, key) in enumerate(pairs)
    ]
    return Journal("producer", tuple(events))


def stopped(
    tell: Any, *, work: Any = None, release: float | None = 2.1, again: float = 2.2, **changes: Any
) -> History:
    """consumer-1 works on `a` and has `b` behind it when it is told to stop, at 2 s."""
    ending = work or [("worked", "a", 2.5, {}), ("deleted", "a", 2.6, {})]
    holder = [received("a", 1.0), received("b", 1.0), ("work_started", "a", 1.2, {})]
    holder += ([("released", "b", release, {})] if release else []) + ending
    heir = [received("b", again, 2, until=again + 2), ("deleted", "b", again + 0.1, {})]
    history = tell.good(
        producer=sent(stopped="ab"),
        consumers=(tell.journal("consumer-1", *holder), tell.journal("consumer-2", *heir)),
        signals=(Signalled(SIGNAL_AT, "consumer-1", "SIGTERM"),),
    )
    return replace(history, **changes)


def arriving(tell: Any, *fate: tuple[str, dict[str, Any]], count: int = 1) -> History:
    """`a` arrives at consumer-1 after it was told to stop; this is what becomes of it there."""
    told = [(name, "a", 2.6 + place / 10, data) for place, (name, data) in enumerate(fate)]
    return tell.good(
        consumers=(tell.journal("consumer-1", received("a", 2.5, count), *told),),
        signals=(Signalled(SIGNAL_AT, "consumer-1", "SIGTERM"),),
    )


def killed(tell: Any, again: float = VISIBLE_AT, heir: str = "consumer-4") -> History:
    """consumer-3 is killed at 2 s with `c` in its hands; `heir` receives it next."""
    signals = (Signalled(SIGNAL_AT, "consumer-3", "SIGKILL"),)
    dead = tell.journal("consumer-3", received("c", 1.0), ("work_started", "c", 1.2, {}))
    next_one = tell.journal(heir, received("c", again, 2, until=again + 2))
    children = (Child("producer", 0, (0,)), Child("consumer-3", -9, (-9,)))
    return tell.good(
        producer=sent(killed="c"),
        consumers=(with_deaths(dead, signals), next_one),
        signals=signals,
        children=children,
    )


def both(tell: Any, again: float = VISIBLE_AT) -> History:
    """The two arms of one run."""
    first, second = stopped(tell), killed(tell, again)
    return replace(
        first,
        producer=sent(stopped="ab", killed="c"),
        consumers=(*first.consumers, *second.consumers),
        signals=(*first.signals, *second.signals),
        children=second.children,
    )


CASES: list[tuple[Check, Tell, Tell, Tell]] = [
    (
        given_back_at_once("stopped"),
        stopped,
        lambda tell: stopped(tell, release=None, again=5.0),
        lambda tell: stopped(tell, signals=()),
    ),
    (
        hidden_until_it_ran_out("killed"),
        killed,
        lambda tell: killed(tell, again=3.0),
        lambda tell: replace(killed(tell), signals=()),
    ),
    (
        given_back_on_arrival(),
        lambda tell: arriving(tell, ("released", {})),
        arriving,
        stopped,
    ),
    (
        sooner("stopped", "killed"),
        both,
        lambda tell: both(tell, again=2.15),
        stopped,
    ),
]
NAMES = [case[0].name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_passes_fails_and_is_unknown(case: tuple[Check, Tell, Tell, Tell], tell: Any) -> None:
    check, good, bad, unsure = case
    found = ask(check, good(tell))
    assert found.verdict is PASS, found
    wrong = ask(check, bad(tell))
    assert wrong.verdict is FAIL, wrong
    assert wrong.look_at
    assert ask(check, unsure(tell)).verdict is UNKNOWN


def test_every_question_is_here() -> None:
    assert len(CASES) == len(shutdown.__all__)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_no_check_passes_without_a_witness_it_reads(
    case: tuple[Check, Tell, Tell, Tell], tell: Any
) -> None:
    gone: dict[Witness, dict[str, Any]] = {
        Witness.PRODUCER: {"producer": None},
        Witness.CONSUMERS: {"consumers": ()},
        Witness.CHILDREN: {"children": None},
    }
    for witness in case[0].reads:
        assert ask(case[0], replace(case[1](tell), **gone[witness])).verdict is UNKNOWN, witness


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"again": 3.2}, "b: given back, received again only 1.10 s later"),
        ({"release": None, "again": 5.0}, "b: neither finished nor given back by consumer-1"),
        ({"work": [("abandoned", "a", 2.9, {})]}, "a: abandoned at the stop"),
        ({"work": [("worked", "a", 2.5, {})]}, "a: neither finished nor given back by consumer-1"),
        ({"release": 6.0, "again": 6.1}, "b: given back after its visibility timeout had expired"),
    ],
)
def test_what_a_stop_may_do_wrong(changes: dict[str, Any], said: str, tell: Any) -> None:
    assert ask(given_back_at_once("stopped"), stopped(tell, **changes)).seen == said


def test_a_final_receive_may_be_worked_on_at_a_stop(tell: Any) -> None:
    final = arriving(tell, ("claimed", {}), ("work_started", {}), count=2)
    assert ask(given_back_on_arrival(), final).verdict is UNKNOWN
    early = arriving(tell, ("claimed", {}), ("released", {}))
    assert "taken into work" in ask(given_back_on_arrival(), early).seen


def test_what_nobody_received_again_is_named(tell: Any) -> None:
    history = stopped(tell)
    alone = replace(history, consumers=history.consumers[:1])
    finding = ask(given_back_at_once("stopped"), alone)
    assert finding.seen == "b: given back, and never received again"


def test_the_holder_itself_may_receive_it_again(tell: Any) -> None:
    """Its own open long poll sees what it gives back; SQS has no favourites."""
    history = stopped(tell, again=9.0)
    own = [*history.consumers[0].events, Event(2.2, "consumer-1", "received", 9, again_b())]
    holder = replace(history.consumers[0], events=tuple(own))
    found = ask(
        given_back_at_once("stopped"), replace(history, consumers=(holder, history.consumers[1]))
    )
    assert found.verdict is PASS, found


def again_b() -> dict[str, Any]:
    return {"id": "b", "delivery": "b-2", "receive_count": 2, "visible_at": 9.0, "sent": 0.1}


def test_a_stop_with_all_or_nothing_in_work_proves_nothing(tell: Any) -> None:
    started = [("work_started", "b", 1.3, {}), ("worked", "b", 2.5, {}), ("deleted", "b", 2.6, {})]
    both_at_work = stopped(tell, release=None, work=[*started, ("deleted", "a", 2.6, {})])
    finding = ask(given_back_at_once("stopped"), both_at_work)
    assert (finding.verdict, finding.seen[:6]) == (UNKNOWN, "2 of 2")


def test_what_was_closed_before_the_signal_was_not_in_hand(tell: Any) -> None:
    done = [("worked", "a", 1.5, {}), ("deleted", "a", 1.6, {})]
    finding = ask(given_back_at_once("stopped"), stopped(tell, work=done))
    assert (finding.verdict, finding.seen[:6]) == (UNKNOWN, "0 of 1")


@pytest.mark.parametrize("early", [0.4, 0.6])
def test_a_receive_is_stamped_a_little_after_the_hiding_began(early: float, tell: Any) -> None:
    found = ask(hidden_until_it_ran_out("killed"), killed(tell, again=VISIBLE_AT - early))
    assert found.verdict is (FAIL if early > 0.5 else PASS)


def test_an_extension_counts_for_what_is_hidden(tell: Any) -> None:
    history = killed(tell)
    extended = Event(1.9, "consumer-3", "extended", 2, {**named("c"), "visible_at": 7.0})
    dead = history.consumers[0]
    longer = replace(dead, events=(*dead.events[:2], extended, *dead.events[2:]))
    found = ask(
        hidden_until_it_ran_out("killed"),
        replace(history, consumers=(longer, history.consumers[1])),
    )
    assert (found.verdict, found.seen) == (FAIL, "c: received again 2.0 s before its time")


def named(key: str) -> dict[str, str]:
    return {"id": key, "delivery": f"consumer-3-{key}"}


def test_the_table_tells_what_each_cost_whatever_the_verdict(tell: Any) -> None:
    for again in (VISIBLE_AT, 2.15):
        shown = ask(sooner("stopped", "killed"), both(tell, again)).shows.splitlines()
        assert shown[0].split()[:3] == ["consumer", "in", "hand"]
        assert shown[1].split() == ["stopped", "2", "1", "1", "0.20", "to", "0.20", "1", "or", "2"]
        away = f"{again - SIGNAL_AT:.2f}"
        assert shown[2].split() == f"killed 1 0 0 {away} to {away} 2".split()
