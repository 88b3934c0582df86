"""Who may receive how many, and when it ends; no thread waits here, what would block raises."""

from collections.abc import Callable

import pytest

from sqs_worker.receive_limiter import Permit, ReceiveLimiter
from support.fakes import FakeTime


class WouldBlock(Exception):
    """A lane would wait at the limiter."""


Make = Callable[..., ReceiveLimiter]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    monkeypatch.setattr("sqs_worker.receive_limiter.time", clock)
    return clock


@pytest.fixture
def make(clock: FakeTime, monkeypatch: pytest.MonkeyPatch) -> Make:
    def would_block(pause: float | None) -> None:
        if pause is None:
            raise WouldBlock
        clock.now += pause

    def limiter(**given: float) -> ReceiveLimiter:
        settings = {"lanes": 4, "batch": 10, "wait": 20, "limit": 0, "idle_timeout": 0, **given}
        made = ReceiveLimiter(**settings)  # type: ignore[arg-type]
        monkeypatch.setattr(made._changed, "wait", would_block)
        return made

    return limiter


def enter(limiter: ReceiveLimiter) -> Permit:
    permit = limiter.enter()
    assert permit is not None
    return permit


def blocked(limiter: ReceiveLimiter) -> bool:
    try:
        limiter.enter()
    except WouldBlock:
        return True
    return False


class TestWidth:
    def test_one_lane_polls_until_there_is_something(self, make: Make) -> None:
        limiter = make()
        permit = enter(limiter)
        assert permit == Permit(10, 20)
        assert blocked(limiter)
        limiter.leave(permit, 0)
        assert enter(limiter) == Permit(10, 20)

    def test_each_full_hand_lets_one_more_in_up_to_all_lanes(self, make: Make) -> None:
        limiter = make(lanes=3)
        for width in (1, 2, 3, 3):
            permits = [enter(limiter) for _ in range(width)]
            assert blocked(limiter)
            limiter.leave(permits[0], 10)
            for permit in permits[1:]:
                limiter.leave(permit, 5)

    def test_a_hand_half_full_changes_nothing(self, make: Make) -> None:
        limiter = make()
        limiter.leave(enter(limiter), 10)
        first, _ = enter(limiter), enter(limiter)
        limiter.leave(first, 3)
        enter(limiter)
        assert blocked(limiter)

    def test_an_empty_hand_leaves_one_poll(self, make: Make) -> None:
        limiter = make()
        limiter.leave(enter(limiter), 10)
        first, second = enter(limiter), enter(limiter)
        limiter.leave(first, 0)
        assert blocked(limiter)
        limiter.leave(second, 0)
        enter(limiter)
        assert blocked(limiter)

    def test_a_lane_that_works_holds_no_turn(self, make: Make) -> None:
        limiter = make()
        limiter.leave(enter(limiter), 1)
        enter(limiter)

    def test_a_receive_given_up_gives_its_turn_back(self, make: Make) -> None:
        limiter = make(limit=1)
        permit = enter(limiter)
        limiter.give_up(permit)
        assert enter(limiter) == permit


class TestSlowStart:
    @pytest.mark.parametrize("throttled", [False, True])
    def test_after_an_outage_it_is_one_message_and_doubles(
        self, make: Make, clock: FakeTime, throttled: bool
    ) -> None:
        limiter = make()
        for _ in range(20):
            limiter.leave(enter(limiter), 10)
            clock.now += 0.1
        limiter.slow_start(throttled=throttled)
        limits = []
        for _ in range(6):
            permit = enter(limiter)
            limits.append(permit.limit)
            limiter.leave(permit, permit.limit)
        assert limits == [1, 2, 4, 8, 10, 10]

    def test_an_empty_queue_does_not_raise_it(self, make: Make) -> None:
        limiter = make()
        limiter.slow_start(throttled=False)
        limiter.leave(enter(limiter), 0)
        assert enter(limiter).limit == 1


class TestPace:
    """Messages a second: free until the tables throttle, then halved, then more in equal steps."""

    @staticmethod
    def received_in(limiter: ReceiveLimiter, clock: FakeTime, seconds: float) -> int:
        """How many messages a full queue brings, if nothing but the limiter takes time."""
        until, count = clock.now + seconds, 0
        while True:
            permit = enter(limiter)
            if clock.now >= until:
                limiter.leave(permit, 0)
                return count
            count += permit.limit
            limiter.leave(permit, permit.limit)
            limiter.finished()
            clock.now += 0.001

    @staticmethod
    def at(limiter: ReceiveLimiter, clock: FakeTime, pace: float, seconds: float) -> None:
        """Receive at this pace for so long."""
        for _ in range(round(seconds * pace / 10)):
            limiter.leave(enter(limiter), 10)
            limiter.finished()
            clock.now += 10 / pace

    def test_without_throttling_there_is_none(self, make: Make, clock: FakeTime) -> None:
        limiter = make()
        assert self.received_in(limiter, clock, 1) > 5000
        limiter.slow_start(throttled=False)
        assert self.received_in(limiter, clock, 1) > 5000

    def test_throttling_halves_it_and_it_grows_by_equal_steps(
        self, make: Make, clock: FakeTime
    ) -> None:
        limiter = make()
        self.at(limiter, clock, pace=100, seconds=60)
        limiter.slow_start(throttled=True)
        counts = [self.received_in(limiter, clock, 5) for _ in range(6)]
        #      50 a second at first, 100 after 15 s, 150 after 30 s
        assert counts == pytest.approx([290, 375, 460, 545, 630, 715], rel=0.15)

    def test_time_without_receives_does_not_lower_it(self, make: Make, clock: FakeTime) -> None:
        """Nothing is received while the ledger is throttled, however long that is."""
        limiter = make()
        self.at(limiter, clock, pace=100, seconds=60)
        clock.now += 100
        limiter.slow_start(throttled=True)
        assert self.received_in(limiter, clock, 5) > 200

    def test_throttling_again_and_again_halves_it_each_time(
        self, make: Make, clock: FakeTime
    ) -> None:
        limiter = make()
        self.at(limiter, clock, pace=100, seconds=60)
        counts = []
        for _ in range(3):
            limiter.slow_start(throttled=True)
            counts.append(self.received_in(limiter, clock, 2))
        assert counts[0] > 1.5 * counts[1] > 2 * counts[2] > 0

    def test_it_never_falls_to_nothing(self, make: Make, clock: FakeTime) -> None:
        limiter = make()
        for _ in range(20):
            limiter.slow_start(throttled=True)
        assert self.received_in(limiter, clock, 10) >= 5

    def test_a_receive_asks_for_no_more_than_a_second_of_it(
        self, make: Make, clock: FakeTime
    ) -> None:
        limiter = make()
        for _ in range(20):
            limiter.slow_start(throttled=True)
        for _ in range(4):
            permit = enter(limiter)
            assert permit.limit == 1
            limiter.leave(permit, 1)


class TestLimit:
    def test_no_more_are_asked_for_than_are_left(self, make: Make) -> None:
        limiter = make(limit=12)
        limiter.leave(enter(limiter), 10)
        assert enter(limiter).limit == 2

    def test_what_is_asked_for_is_taken_into_account_at_once(self, make: Make) -> None:
        limiter = make(limit=15)
        limiter.leave(enter(limiter), 10)
        assert enter(limiter).limit == 5
        assert blocked(limiter)

    def test_what_did_not_come_is_left(self, make: Make) -> None:
        limiter = make(limit=10)
        limiter.leave(enter(limiter), 4)
        assert enter(limiter).limit == 6

    def test_at_the_limit_it_ends(self, make: Make) -> None:
        limiter = make(limit=3, batch=2)
        limiter.leave(enter(limiter), 2)
        assert limiter.stopped is None
        limiter.leave(enter(limiter), 1)
        assert limiter.stopped == "limit"
        assert limiter.enter() is None

    def test_while_a_receive_is_open_it_is_not_the_end(self, make: Make) -> None:
        limiter = make(limit=2, batch=1)
        limiter.leave(enter(limiter), 1)
        limiter._left, limiter._width = 2, 2
        first, second = enter(limiter), enter(limiter)
        limiter.leave(first, 1)
        assert limiter.stopped is None
        limiter.leave(second, 1)
        assert limiter.stopped == "limit"


class TestIdle:
    def test_without_a_limit_it_never_ends(self, make: Make, clock: FakeTime) -> None:
        limiter = make()
        for _ in range(3):
            permit = enter(limiter)
            clock.now += 10_000
            limiter.leave(permit, 0)
        assert limiter.stopped is None

    def test_it_ends_after_the_idle_time_and_not_before(self, make: Make, clock: FakeTime) -> None:
        limiter = make(idle_timeout=30, wait=20)
        permit = enter(limiter)
        clock.now += 20
        limiter.leave(permit, 0)
        assert limiter.stopped is None
        permit = enter(limiter)
        assert permit.wait == 10
        clock.now += 10
        limiter.leave(permit, 0)
        assert limiter.stopped == "idle"
        assert limiter.enter() is None

    @pytest.mark.parametrize(
        ("idle_timeout", "wait", "asked"),
        [(2, 20, 2), (0.5, 20, 1), (1.2, 20, 2), (60, 20, 20), (2, 1, 1), (2, 0, 0)],
    )
    def test_a_poll_does_not_last_far_past_it(
        self, make: Make, idle_timeout: float, wait: int, asked: int
    ) -> None:
        assert enter(make(idle_timeout=idle_timeout, wait=wait)).wait == asked

    def test_work_is_not_idleness(self, make: Make, clock: FakeTime) -> None:
        limiter = make(idle_timeout=5, lanes=2)
        limiter.leave(enter(limiter), 1)  # this lane works for long
        permit = enter(limiter)
        clock.now += 60
        limiter.leave(permit, 0)
        assert limiter.stopped is None
        limiter.finished()
        assert limiter.stopped is None
        permit = enter(limiter)
        clock.now += 5
        limiter.leave(permit, 0)
        assert limiter.stopped == "idle"

    def test_a_receive_given_up_is_not_idleness(self, make: Make, clock: FakeTime) -> None:
        limiter = make(idle_timeout=5)
        permit = enter(limiter)
        clock.now += 60
        limiter.give_up(permit)
        assert limiter.stopped is None

    def test_an_outage_is_not_idleness(self, make: Make, clock: FakeTime) -> None:
        limiter = make(idle_timeout=5)
        clock.now += 60
        limiter.slow_start(throttled=False)
        limiter.leave(enter(limiter), 0)
        assert limiter.stopped is None


class TestClose:
    def test_it_ends_for_all(self, make: Make) -> None:
        limiter = make()
        limiter.close("signal")
        assert limiter.stopped == "signal"
        assert limiter.enter() is None

    def test_the_first_reason_stands(self, make: Make, clock: FakeTime) -> None:
        limiter = make(limit=1, idle_timeout=1)
        permit = enter(limiter)
        limiter.close("signal")
        limiter.close("other")
        clock.now += 10
        limiter.leave(permit, 1)
        limiter.finished()
        assert limiter.stopped == "signal"

    def test_every_change_wakes_the_lanes_that_wait(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limiter = make()
        woken: list[int] = []
        monkeypatch.setattr(limiter._changed, "notify_all", lambda: woken.append(1))
        limiter.leave(enter(limiter), 1)
        limiter.finished()
        limiter.give_up(enter(limiter))
        limiter.close("signal")
        assert len(woken) == 4
