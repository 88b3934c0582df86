"""The rule of the flood: how many are wanted, who joins, who leaves, when it is steady."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checks.delivery import backlog_came_down, scaled_out
from harness.findings import ask
from harness.history import History, Tick
from harness.scaling import (
    CALM_TICKS,
    LATE,
    STEADY_TICKS,
    Rule,
    Told,
    change,
    in_equilibrium,
    told_at,
)
from harness.scenario import Verdict
from support.floods import RULE, Flood

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
PEAK = Tick(0.0, 60, 4, 8, "flood")


@pytest.mark.parametrize(
    ("backlog", "wanted"), [(0, 1), (1, 1), (8, 1), (9, 2), (32, 4), (33, 5), (10_000, 8)]
)
def test_backlog_per_consumer_within_bounds(backlog: int, wanted: int) -> None:
    assert RULE.desired(backlog) == wanted


def test_work_longer_than_the_latency_wants_one_consumer_a_message() -> None:
    assert Rule(target_latency=1, work_seconds=5, max_consumers=9).desired(7) == 7


def ticks(*pairs: tuple[int, int], backlog: int = 20) -> list[Tick]:
    """Each pair: (consumers, desired)."""
    return [Tick(float(n), backlog, have, want, "flood") for n, (have, want) in enumerate(pairs)]


def test_consumers_join_at_once() -> None:
    assert change(ticks((1, 1), (1, 4))) == 3


def test_one_leaves_after_a_calm_only() -> None:
    assert change(ticks(*[(4, 2)] * (CALM_TICKS - 1))) == 0
    assert change(ticks(*[(4, 2)] * CALM_TICKS)) == -1
    assert change(ticks((4, 2), (4, 4), (4, 2))) == 0


def test_one_more_leaves_a_tick_later_while_it_stays_calm() -> None:
    assert change(ticks((4, 2), (4, 2), (4, 2), (3, 2))) == -1
    assert change(ticks((3, 2), (3, 2), (3, 2), (2, 2))) == 0


def as_told(found: list[Tick]) -> list[Told]:
    """What the journals say where the queue's counts are right."""
    return [Told(tick.backlog, tick.backlog / 8) for tick in found]


def steady_after(*found: Tick) -> bool:
    return in_equilibrium(RULE, [PEAK, *found], as_told([PEAK, *found]))


def test_equilibrium_is_a_window_within_the_latency_without_growth_or_fall() -> None:
    steady = ticks(*[(4, 4)] * STEADY_TICKS)
    assert steady_after(*steady)
    assert not steady_after(*steady[1:])
    assert not steady_after(*steady[1:], *ticks((4, 5), backlog=33))
    for later in (31, 5):
        half = STEADY_TICKS // 2
        moved = [*steady[:half], *ticks(*[(4, 4)] * half, backlog=later)]
        assert not steady_after(*moved)


def test_a_steady_backlog_that_the_most_consumers_cannot_keep_to_the_latency_is_none() -> None:
    assert not in_equilibrium(RULE, [replace(PEAK, backlog=90), *over()], as_told([PEAK, *over()]))


def over() -> list[Tick]:
    return ticks(*[(8, 8)] * STEADY_TICKS, backlog=70)


def test_without_a_higher_backlog_before_it_there_is_no_equilibrium() -> None:
    """Ten zeros before the flood has begun, or a queue that nothing ever waits in."""
    for backlog in (0, 20):
        flat = ticks(*[(4, 4)] * 3 * STEADY_TICKS, backlog=backlog)
        assert not in_equilibrium(RULE, flat, as_told(flat))


def test_counts_that_the_journals_do_not_bear_out_are_no_equilibrium() -> None:
    found = [PEAK, *ticks(*[(4, 4)] * STEADY_TICKS)]
    told = as_told(found)
    for wrong in (Told(78, 2.0), Told(20, LATE * RULE.target_latency + 0.1)):
        assert in_equilibrium(RULE, found, told)
        assert not in_equilibrium(RULE, found, [*told[:-3], wrong, *told[-2:]])
        assert in_equilibrium(RULE, found, [wrong, *told[1:]]), "before the window"


def test_the_journals_tell_what_is_open_and_how_long_it_waits() -> None:
    flood = Flood(0, lambda *_: True)
    flood.run()
    first = flood.sent[0]
    began = next(e.t for e in flood.done if e.name == "received")
    for now, open_, oldest in (
        (first.t - 0.01, 0, 0.0),
        (first.t, 1, 0.0),
        (began - 0.01, round(began * 8), began - 0.01 - first.t),
        (1e6, 0, 0.0),
    ):
        (told,) = told_at([now], flood.sent, flood.done)
        assert told.open == pytest.approx(open_, abs=1)
        assert told.oldest == pytest.approx(oldest, abs=0.01)


def ten_alike(found: list[Tick], _told: list[Told]) -> bool:
    """What an earlier version called an equilibrium: it believed the counts."""
    window = found[-STEADY_TICKS:]
    return len(window) == STEADY_TICKS and max(t.backlog for t in window) < 10


def decided(found: list[Tick], told: list[Told]) -> bool:
    return in_equilibrium(RULE, found, told)


def verdicts(history: History) -> tuple[Verdict, Verdict]:
    return ask(scaled_out(), history).verdict, ask(backlog_came_down(), history).verdict


def test_counts_that_do_not_lag_bring_a_flood_to_equilibrium() -> None:
    assert verdicts(Flood(0, decided).run()) == (PASS, PASS)


@pytest.mark.parametrize("lag", [15, 45])
def test_zeros_of_counts_that_lag_are_unknown(lag: float) -> None:
    history = Flood(lag, ten_alike).run()
    found = ask(scaled_out(at_least=1), history)
    assert found.verdict is UNKNOWN
    assert "the queue counted 0 messages, while the journals have" in found.seen
    assert "the oldest waiting for" in found.seen
    assert ask(scaled_out(), history).verdict is UNKNOWN
    assert ask(scaled_out(), replace(history, target_latency=None)).verdict is UNKNOWN, "an old run"


@pytest.mark.parametrize("lag", [0, 2, 5, 15, 30, 45])
def test_an_equilibrium_is_never_called_while_the_messages_pile_up(lag: float) -> None:
    flood = Flood(lag, decided)
    verdict, _ = verdicts(flood.run())
    steady = [n for n, tick in enumerate(flood.ticks) if tick.phase == "equilibrium"]
    assert verdict is (PASS if steady else UNKNOWN)
    for place in steady:
        window = flood.told[place - STEADY_TICKS : place]
        assert max(told.oldest for told in window) <= LATE * RULE.target_latency
        most = RULE.max_consumers * RULE.backlog_per_consumer
        assert max(told.open for told in window) <= most


def test_without_equilibrium_counts_that_are_right_make_a_failure() -> None:
    assert verdicts(Flood(0, lambda *_: False).run())[0] is FAIL


def test_a_flood_that_never_was_is_a_failure() -> None:
    history = Flood(0, lambda *_: False).run()
    flat = tuple(replace(tick, backlog=1, consumers=2) for tick in history.scaling[:30])
    sent = history.sent[:1]
    assert history.producer
    producer = replace(history.producer, events=(history.producer.events[0], *sent))
    quiet = replace(history, scaling=flat, producer=producer, consumers=history.consumers)
    steady = (*flat, replace(flat[-1], phase="equilibrium"))
    assert ask(scaled_out(), replace(quiet, scaling=steady)).verdict is FAIL
    assert ask(backlog_came_down(), quiet).verdict is FAIL


def test_a_count_at_the_end_that_the_journals_contradict_is_unknown() -> None:
    history = Flood(0, decided).run()
    *others, last = history.samples
    stale = replace(history, samples=(*others, replace(last, visible=3)))
    found = ask(backlog_came_down(), stale)
    assert (found.verdict, "3 at the end, the journals" in found.seen) == (UNKNOWN, True)
    events = tuple(e for e in history.consumers[0].events if e.id != "m-7")
    lost = replace(history, consumers=(replace(history.consumers[0], events=events),))
    assert ask(backlog_came_down(), lost).verdict is UNKNOWN
    assert ask(backlog_came_down(), replace(lost, samples=stale.samples)).verdict is FAIL
