"""The rule of the flood: how many are wanted, who joins, who leaves, when it is steady."""

from __future__ import annotations

import pytest

from harness.history import Tick
from harness.scaling import CALM_TICKS, STEADY_TICKS, Rule, change, in_equilibrium

RULE = Rule(target_latency=4, work_seconds=0.5, max_consumers=8)


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


def test_equilibrium_is_a_window_within_the_latency_without_growth_or_fall() -> None:
    steady = ticks(*[(4, 4)] * STEADY_TICKS)
    assert in_equilibrium(RULE, steady)
    assert not in_equilibrium(RULE, steady[1:])
    assert not in_equilibrium(RULE, [*steady[1:], *ticks((4, 5), backlog=33)])
    for later in (31, 5):
        half = STEADY_TICKS // 2
        moved = [*steady[:half], *ticks(*[(4, 4)] * half, backlog=later)]
        assert not in_equilibrium(RULE, moved)


def test_a_steady_backlog_that_the_most_consumers_cannot_keep_to_the_latency_is_none() -> None:
    assert not in_equilibrium(RULE, ticks(*[(8, 8)] * STEADY_TICKS, backlog=70))
