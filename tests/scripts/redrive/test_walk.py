"""A walk meets each message once, ends though counts lie, and gives all back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from redrive.dead_letters import DeadLetter
from redrive.walk import Schedule, Walk
from support.dead_letters import VISIBILITY, World, letter


def walk_of(world: World) -> Walk:
    return Walk(world, VISIBILITY, lambda: 10, lambda: False, lambda: world.now)


def met(walk: Walk) -> list[str]:
    return [one.sqs_id for letters in walk for one in letters]


def test_each_message_once_and_all_given_back() -> None:
    world = World()
    world.put(*({"id": f"id-{n}"} for n in range(35)))
    walk = walk_of(world)
    assert sorted(met(walk)) == sorted(world.dlq)
    assert all(one.visible_at > world.now for one in world.dlq.values())
    assert walk.give_back() == 0
    assert all(one.visible_at <= world.now for one in world.dlq.values())


def test_each_once_though_they_come_back_in_the_middle() -> None:
    """A slow run: what it holds becomes visible again and is held under its newer handle."""
    world = World()
    world.put(*({"id": f"id-{n}"} for n in range(25)))
    walk = walk_of(world)
    seen: list[str] = []
    for letters in walk:
        seen += [one.sqs_id for one in letters]
        world.now += VISIBILITY + 1
    assert sorted(seen) == sorted(world.dlq)
    walk.give_back()
    assert all(one.visible_at <= world.now for one in world.dlq.values())


@dataclass
class Script:
    """Answers as told, one after the other; then nothing."""

    receives: list[list[DeadLetter]]
    counts: Iterator[int] = field(default_factory=lambda: iter(()))
    now: float = 0.0
    asked: int = 0
    given_back: list[str] = field(default_factory=list)

    def receive(self, _: int) -> list[DeadLetter]:
        self.asked += 1
        self.now += 1
        return self.receives.pop(0) if self.receives else []

    def give_back(self, handles: Sequence[str]) -> int:
        self.given_back += handles
        return 0

    def in_flight(self) -> int:
        return next(self.counts, 0)


A, B = letter(sqs_id="m-a", handle="h-a"), letter(sqs_id="m-b", handle="h-b")


def test_one_empty_receive_is_not_the_end() -> None:
    script = Script([[A], [], [B], [], []])
    assert met(Walk(script, 5, lambda: 10, lambda: False, lambda: script.now)) == ["m-a", "m-b"]
    assert script.asked == 5


def test_a_count_of_zero_is_not_the_end_and_one_above_it_makes_it_wait() -> None:
    script = Script([[], [], [], [B]], iter([3, 3, 3, 0, 0]))
    assert met(Walk(script, 5, lambda: 10, lambda: False, lambda: script.now)) == ["m-b"]


def test_a_count_that_never_falls_ends_after_the_visibility() -> None:
    script = Script([], iter([2] * 100))
    walk = Walk(script, 5, lambda: 10, lambda: False, lambda: script.now)
    assert met(walk) == []
    assert walk.in_other_hands == 2
    assert script.asked == 8


def test_messages_that_keep_coming_back_end_it_as_well() -> None:
    script = Script([[A]] * 100)
    assert met(Walk(script, 5, lambda: 10, lambda: False, lambda: script.now)) == ["m-a"]
    assert script.asked == 9


def test_a_stop_during_the_long_poll_gives_back_what_it_still_brought() -> None:
    script = Script([[A], [B]])
    walk = Walk(script, 5, lambda: 10, lambda: script.asked > 1, lambda: script.now)
    assert met(walk) == ["m-a"]
    walk.give_back()
    assert script.given_back == ["h-a", "h-b"]


def test_what_is_gone_is_not_given_back() -> None:
    script = Script([[A, B]])
    walk = Walk(script, 5, lambda: 10, lambda: False, lambda: script.now)
    for _ in walk:
        walk.gone(A)
    walk.give_back()
    assert script.given_back == ["h-b"]


class Clock:
    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def schedule(rate: float, limit: int, clock: Clock) -> Schedule:
    return Schedule(rate, limit, lambda: False, lambda: clock.now, clock.sleep)


def test_a_rate_is_kept() -> None:
    for rate in (0.5, 5, 300):
        clock = Clock()
        plan, sent = schedule(rate, 0, clock), 0
        while sent < 200:
            count = plan.due()
            plan.took(count)
            sent += count
        assert sent / clock.now == pytest.approx(rate, rel=0.1)


def test_a_pause_is_not_caught_up_with() -> None:
    clock = Clock()
    plan = schedule(10, 0, clock)
    plan.took(plan.due())
    clock.now += 60
    plan.took(plan.due())
    before = clock.now
    sent = 0
    while clock.now - before < 2:
        count = plan.due()
        plan.took(count)
        sent += count
    assert sent <= 32


def test_a_limit_ends_it() -> None:
    clock = Clock()
    plan = schedule(0, 13, clock)
    assert plan.due() == 10
    plan.took(10)
    assert plan.due() == 3
    plan.took(3)
    assert plan.due() == 0


def test_what_is_kept_does_not_count() -> None:
    plan = schedule(0, 3, Clock())
    for _ in range(5):
        assert plan.due() == 3
        plan.took(0)
