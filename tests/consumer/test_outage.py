"""While the ledger is down one caller tries at a time, and a stop is not held up by it."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from sqs_worker import outage as module
from sqs_worker.in_flight import Bounds
from sqs_worker.message import Message
from sqs_worker.outage import (
    HOLD_SECONDS,
    LONGEST_PAUSE,
    PROBES,
    TRIES_ALONE,
    NotDown,
    Outage,
    RetryingLedger,
)
from sqs_worker.ports import Claim, Completion, LedgerDown
from support.fakes import FakeLedger, FakeStop, FakeTime, Notes, a_message


class World:
    """An outage with everything it touches, in which waiting costs no time.

    What `probe` does is a test's to say; by itself it says what the last call said.
    """

    def __init__(self, clock: FakeTime) -> None:
        self.clock, self.stopping = clock, FakeStop(clock)
        self.notes = Notes()
        self.slow_starts: list[bool] = []
        self.outage = Outage(
            self.stopping,  # type: ignore[arg-type]
            self.notes,
            lambda *, throttled: self.slow_starts.append(throttled),
        )
        self.calls = 0
        self.probe: Callable[[], object] = lambda: None
        self.probes = 0

    def failing(self, times: float, error: LedgerDown | None = None) -> Callable[[], str]:
        """A call that fails so many times and then answers; so does the probe, where the whole
        ledger fails."""

        def call() -> str:
            self.calls += 1
            if self.calls <= times:
                raise error or LedgerDown(f"failure {self.calls}")
            return "answer"

        if error is None:
            self.probe = call
        return call

    def outlast(
        self,
        call: Callable[[], str],
        *,
        until_the_end: bool,
        tries: int = 1,
        seconds: float = HOLD_SECONDS,
    ) -> str:
        return self.outage.outlast(
            call,
            self._probe,
            tries=tries,
            give_up=self.clock.now + seconds,
            until_the_end=until_the_end,
        )

    def _probe(self) -> None:
        self.probes += 1
        self.probe()

    def claim(self, call: Callable[[], str]) -> str:
        return self.outlast(call, until_the_end=False)

    def complete(self, call: Callable[[], str]) -> str:
        return self.outlast(call, until_the_end=True)

    def await_up(
        self, probe: Callable[[], object], over: Callable[[], bool] = lambda: False
    ) -> None:
        self.outage.await_up(probe, over)  # type: ignore[arg-type]

    def down(self) -> None:
        self.outage._note_down(LedgerDown("down"))

    @property
    def states(self) -> list[str]:
        return [fields["state"] for event, _, fields in self.notes.lines if event == "outage"]

    @property
    def is_free(self) -> bool:
        """Whether the next caller may try."""
        free = self.outage._trial.acquire(blocking=False)
        if free:
            self.outage._trial.release()
        return free


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    clock = FakeTime()
    monkeypatch.setattr("sqs_worker.outage.time", clock)
    monkeypatch.setattr("sqs_worker.outage.random.uniform", lambda _, most: most)
    return World(clock)


BOUNDS = Bounds(visibility=30, max_receives=2)
BOTH = pytest.mark.parametrize("until_the_end", [False, True], ids=["claim", "complete"])


class TestOutlast:
    @BOTH
    def test_an_answer_is_passed_on_at_once(self, world: World, until_the_end: bool) -> None:
        answer = world.outlast(world.failing(0), until_the_end=until_the_end)
        assert answer == "answer"
        assert world.calls == 1
        assert world.clock.sleeps == []
        assert world.notes.lines == []

    @BOTH
    def test_a_failure_is_tried_again_after_a_pause_and_is_an_outage(
        self, world: World, until_the_end: bool
    ) -> None:
        answer = world.outlast(world.failing(2), until_the_end=until_the_end)
        assert answer == "answer"
        assert world.calls == 4  # the first, two probes, and the call again after the good one
        assert sum(world.clock.sleeps) > 0
        assert world.states == ["down", "up"]
        assert not world.outage.is_down
        assert world.is_free

    def test_an_outage_is_said_once_however_long_it_is(self, world: World) -> None:
        world.claim(world.failing(6))
        assert world.states == ["down", "up"]
        reason = {"state": "down", "reason": "failure 2", "throttled": False}
        assert world.notes.lines[0] == ("outage", None, reason)
        assert world.slow_starts == [False]

    def test_pauses_grow_up_to_a_limit(self, world: World) -> None:
        starts: list[float] = []
        call = world.failing(7)

        def timed() -> str:
            starts.append(world.clock.now)
            return call()

        world.probe = timed
        world.claim(timed)
        pauses = [round(b - a, 3) for a, b in pairwise(starts)]
        assert pauses == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 0.0]
        assert max(pauses) == LONGEST_PAUSE

    @BOTH
    def test_it_gives_up_after_the_holding_time(self, world: World, until_the_end: bool) -> None:
        began = world.clock.now
        with pytest.raises(LedgerDown):
            world.outlast(world.failing(1e9), until_the_end=until_the_end)
        assert HOLD_SECONDS <= world.clock.now - began <= HOLD_SECONDS + 1
        assert world.outage.is_down
        assert world.is_free

    def test_a_stop_ends_a_claim_and_leaves_the_turn_to_others(self, world: World) -> None:
        world.stopping.stop_after = world.clock.now + 3
        with pytest.raises(LedgerDown):
            world.claim(world.failing(1e9))
        assert world.clock.now < 104
        assert world.is_free

    def test_a_stop_lets_a_completion_go_on_until_its_time_is_up(self, world: World) -> None:
        world.stopping.set()
        world.outage.hurry(world.clock.now + 20)
        with pytest.raises(LedgerDown):
            world.complete(world.failing(1e9))
        assert 120 <= world.clock.now <= 121
        assert world.calls >= 5
        assert world.is_free

    def test_a_completion_during_a_stop_is_answered_where_the_ledger_comes_back(
        self, world: World
    ) -> None:
        world.stopping.set()
        world.outage.hurry(world.clock.now + 20)
        assert world.complete(world.failing(3)) == "answer"
        assert world.states == ["down", "up"]

    def test_a_stop_does_not_keep_anything_from_being_tried_once(self, world: World) -> None:
        world.stopping.set()
        world.outage.hurry(world.clock.now)
        assert world.claim(world.failing(0)) == "answer"
        assert world.complete(world.failing(0)) == "answer"

    @BOTH
    def test_no_waiting_of_whatever_kind_goes_past_the_end_of_a_stop(
        self, world: World, until_the_end: bool
    ) -> None:
        world.outage.hurry(world.clock.now + 2)  # the flag itself is set a moment later
        with pytest.raises(LedgerDown):
            world.outlast(world.failing(1e9), until_the_end=until_the_end)
        assert world.clock.now <= 103

    def test_a_known_outage_is_waited_for_before_the_first_try(self, world: World) -> None:
        with pytest.raises(LedgerDown):
            world.claim(world.failing(1e9))
        world.calls = 0
        before = world.clock.now
        assert world.claim(world.failing(0)) == "answer"
        assert world.clock.now > before
        assert world.states == ["down", "up"]

    def test_another_error_is_no_outage_and_keeps_no_turn(self, world: World) -> None:
        calls: list[int] = []

        def call() -> str:
            calls.append(1)
            raise LedgerDown("down") if len(calls) == 1 else KeyError("bug")

        with pytest.raises(KeyError):
            world.claim(call)
        assert world.is_free

    @BOTH
    def test_who_waits_for_a_turn_gives_up_too(
        self, world: World, monkeypatch: pytest.MonkeyPatch, until_the_end: bool
    ) -> None:
        monkeypatch.setattr(world.outage, "_trial", Taken(world.clock))
        began = world.clock.now
        with pytest.raises(LedgerDown, match="gave up waiting"):
            world.outlast(world.failing(1e9), until_the_end=until_the_end)
        assert world.calls == 1
        assert world.clock.now - began == pytest.approx(HOLD_SECONDS, abs=1)
        assert world.outage._trial.released == 0  # type: ignore[attr-defined]

    def test_who_waits_for_a_turn_with_a_claim_gives_up_at_a_stop(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(world.outage, "_trial", Taken(world.clock))
        world.stopping.stop_after = world.clock.now + 3
        with pytest.raises(LedgerDown, match="gave up waiting"):
            world.claim(world.failing(1e9))
        assert world.clock.now <= 104
        assert world.outage._trial.released == 0  # type: ignore[attr-defined]

    def test_who_waited_while_another_brought_it_up_goes_on_at_once(self, world: World) -> None:
        world.outage._down.set()
        down = iter([True, False])  # by the time that the turn comes, it is up
        world.outage.__class__ = type(
            "Recovered", (Outage,), {"is_down": property(lambda _: next(down, False))}
        )
        assert world.claim(world.failing(0)) == "answer"
        assert world.clock.sleeps == []
        assert world.is_free


class TestThrottled:
    """A ledger that is asked too fast is held out like an outage, and told by its name."""

    THROTTLED = LedgerDown("ThrottlingError after 6 tries", throttled=True)

    @BOTH
    def test_messages_are_held_and_no_probe_takes_capacity_from_them(
        self, world: World, until_the_end: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        call = world.failing(8, self.THROTTLED)
        assert world.outlast(call, until_the_end=until_the_end) == "answer"
        assert (world.calls, world.probes) == (9, 0)
        assert sum(world.clock.sleeps) > 10
        down, up = world.notes.lines
        told = {"state": "down", "reason": str(self.THROTTLED), "throttled": True}
        assert down == ("outage", None, told)
        assert up[2]["state"] == "up"
        assert caplog.messages[0].startswith("the ledger is throttled: ThrottlingError")

    def test_nothing_is_received_meanwhile_and_more_slowly_afterwards(self, world: World) -> None:
        states: list[tuple[bool, list[bool]]] = []

        def call() -> str:
            states.append((world.outage.is_down, list(world.slow_starts)))
            if len(states) < 4:
                raise self.THROTTLED
            return "answer"

        world.claim(call)
        assert states == [(False, []), (True, []), (True, []), (True, [])]
        assert not world.outage.is_down
        assert world.slow_starts == [True]

    def test_the_pace_is_cut_once_for_all_lanes(self, world: World) -> None:
        for _ in range(4):
            world.outage._note_failure(self.THROTTLED)
        for _ in range(4):
            world.claim(world.failing(0))
        assert world.slow_starts == [True]

    def test_it_never_counts_as_the_failure_of_a_message(self, world: World) -> None:
        with pytest.raises(LedgerDown):
            world.claim(world.failing(1e9, self.THROTTLED))
        assert world.clock.now >= 100 + HOLD_SECONDS

    def test_an_outage_that_follows_is_probed_again(self, world: World) -> None:
        errors = iter([self.THROTTLED, self.THROTTLED, LedgerDown("no answer")])

        def call() -> str:
            error = next(errors, None)
            if error:
                raise error
            return "answer"

        assert world.claim(call) == "answer"
        assert world.probes == 1
        assert world.slow_starts == [False]


class TestNotDown:
    """The ledger answers its probe, and yet a call fails."""

    def test_one_failure_that_passes_is_no_outage(self, world: World) -> None:
        call = world.failing(1, LedgerDown("500"))
        assert world.claim(call) == "answer"
        assert world.probes == 1
        assert world.notes.lines == world.slow_starts == []
        assert not world.outage.is_down

    @pytest.mark.parametrize("tries", [1, 3])
    def test_it_is_said_after_so_many_tries_each_right_after_a_good_probe(
        self, world: World, tries: int
    ) -> None:
        call = world.failing(1e9, LedgerDown("500"))
        with pytest.raises(NotDown, match="500"):
            world.outlast(call, until_the_end=False, tries=tries)
        assert (world.calls, world.probes) == (1 + tries, tries)
        assert world.notes.lines == []
        assert world.is_free

    def test_a_failed_probe_between_makes_it_an_outage_and_starts_the_count_again(
        self, world: World
    ) -> None:
        good = iter([True, True, False, True, True, True])

        def probe() -> None:
            if not next(good):
                raise LedgerDown("no answer")

        world.probe = probe
        with pytest.raises(NotDown):
            world.outlast(
                world.failing(1e9, LedgerDown("500")), until_the_end=False, tries=TRIES_ALONE
            )
        assert world.probes == 6
        assert world.notes.lines[0][2]["reason"] == "no answer"

    @pytest.mark.parametrize(
        "error",
        [
            LedgerDown("the answer lacks what was asked for", passing=False),
            LedgerDown("throttled", throttled=True),
        ],
        ids=str,
    )
    def test_an_answer_of_something_else_or_throttling_is_never_a_messages_own(
        self, world: World, error: LedgerDown
    ) -> None:
        with pytest.raises(LedgerDown):
            world.claim(world.failing(1e9, error))
        assert world.clock.now >= 100 + HOLD_SECONDS
        assert world.states == ["down"]
        assert world.calls <= 20  # though each probe is good

    def test_answers_to_others_are_as_good_as_a_probe(self, world: World) -> None:
        sleep = world.clock.sleep

        def meanwhile(seconds: float) -> None:
            sleep(seconds)
            world.complete(lambda: "another's answer")

        world.clock.sleep = meanwhile  # type: ignore[method-assign]
        with pytest.raises(NotDown):
            world.outlast(
                world.failing(1e9, LedgerDown("500")), until_the_end=False, tries=TRIES_ALONE
            )
        assert world.calls == 1 + TRIES_ALONE
        assert world.probes == 1  # before the first of the tries, when nobody had been answered

    def test_others_go_on_between_its_tries_and_what_is_in_hand_stays_hidden(
        self, world: World
    ) -> None:
        seen: list[tuple[bool, bool]] = []
        sleep = world.clock.sleep

        def meanwhile(seconds: float) -> None:
            seen.append((world.outage.is_down, world.outage.is_holding))
            sleep(seconds)

        world.clock.sleep = meanwhile  # type: ignore[method-assign]
        with pytest.raises(NotDown):
            world.outlast(
                world.failing(1e9, LedgerDown("500")), until_the_end=False, tries=TRIES_ALONE
            )
        assert set(seen) == {(False, True)}
        assert not world.outage.is_holding

    def test_receiving_goes_on_after_it(self, world: World) -> None:
        with pytest.raises(NotDown):
            world.outlast(
                world.failing(1e9, LedgerDown("500")), until_the_end=False, tries=TRIES_ALONE
            )
        assert not world.outage.is_down
        world.await_up(lambda: pytest.fail("a probe"))


class Taken:
    """A turn that another has; waiting for it moves the clock."""

    def __init__(self, clock: FakeTime) -> None:
        self._clock = clock
        self.released = 0

    def acquire(self, timeout: float) -> bool:
        self._clock.now += timeout
        return False

    def release(self) -> None:
        self.released += 1


class TestAwaitUp:
    def test_where_all_is_well_it_asks_nothing(self, world: World) -> None:
        world.await_up(world.failing(0))
        assert world.calls == 0

    def test_it_takes_several_probes_in_a_row(self, world: World) -> None:
        world.down()
        world.await_up(world.failing(0))
        assert world.calls == PROBES
        assert world.states == ["down", "up"]
        assert world.is_free

    def test_a_failed_probe_starts_the_row_again(self, world: World) -> None:
        world.down()
        results = iter([True, True, False, True, True, True])
        used: list[bool] = []

        def probe() -> None:
            used.append(next(results))
            if not used[-1]:
                raise LedgerDown("down")

        world.await_up(probe)
        assert used == [True, True, False, True, True, True]
        assert world.states == ["down", "up"]

    def test_the_row_is_one_for_all_lanes(self, world: World) -> None:
        world.down()
        for lane in range(PROBES):
            assert world.outage.is_down
            world.await_up(world.failing(0), lambda lane=lane: world.calls > lane)  # type: ignore[misc]
        assert world.calls == PROBES
        assert world.states == ["down", "up"]

    def test_a_failure_of_any_lane_starts_the_row_again(self, world: World) -> None:
        world.down()
        world.await_up(world.failing(0), lambda: world.calls == PROBES - 1)
        world.down()
        world.calls = 0
        world.await_up(world.failing(0))
        assert world.calls == PROBES

    def test_a_new_outage_starts_with_an_empty_row(self, world: World) -> None:
        for _ in range(2):
            world.down()
            world.calls = 0
            world.await_up(world.failing(0))
            assert world.calls == PROBES

    def test_it_waits_before_each_probe(self, world: World) -> None:
        world.down()
        before = world.clock.now
        world.await_up(world.failing(0))
        assert world.clock.now - before >= PROBES * module.FIRST_PAUSE

    def test_a_success_ends_the_growth_of_the_pauses(self, world: World) -> None:
        world.down()
        starts: list[float] = []
        call = world.failing(5)

        def probe() -> None:
            starts.append(world.clock.now)
            call()

        world.await_up(probe)
        pauses = [round(b - a, 3) for a, b in pairwise(starts)]
        assert pauses == [2.0, 4.0, 5.0, 5.0, 5.0, *[module.FIRST_PAUSE] * (PROBES - 1)]

    def test_it_is_patient_beyond_the_holding_time(self, world: World) -> None:
        world.down()
        began = world.clock.now
        world.await_up(world.failing(100))
        assert world.clock.now - began > 5 * HOLD_SECONDS

    def test_the_end_of_receiving_ends_it_without_another_probe(self, world: World) -> None:
        world.down()
        over = FakeStop(world.clock)
        over.stop_after = world.clock.now + 7
        probed: list[float] = []

        def probe() -> None:
            probed.append(world.clock.now)
            raise LedgerDown("down")

        world.await_up(probe, over.is_set)
        assert world.clock.now <= 108
        assert max(probed) < 107
        assert world.outage.is_down
        assert world.is_free

    def test_who_waits_for_a_turn_to_probe_ends_with_receiving_too(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.down()
        monkeypatch.setattr(world.outage, "_trial", Taken(world.clock))
        over = FakeStop(world.clock)
        over.stop_after = world.clock.now + 7
        world.await_up(world.failing(0), over.is_set)
        assert world.clock.now <= 108
        assert world.calls == 0
        assert world.outage._trial.released == 0  # type: ignore[attr-defined]

    def test_a_lane_that_has_a_message_to_try_with_spares_the_others_their_probes(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.down()
        sleep = world.clock.sleep

        def meanwhile(seconds: float) -> None:
            sleep(seconds)
            world.outage._note_up()

        monkeypatch.setattr(world.clock, "sleep", meanwhile)
        world.await_up(world.failing(0))
        assert world.calls == 0
        assert len(world.clock.sleeps) == 1
        assert world.is_free


class TestPatientLedger:
    def test_claims_and_completions_outlast_an_outage(self, world: World) -> None:
        class Flaky(FakeLedger):
            def _called(self, name: str, messages: list) -> None:
                super()._called(name, messages)
                if len(self.asked(name)) == 1:
                    raise LedgerDown(name)

        ledger = Flaky()
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        batch = [a_message("a"), a_message("b")]
        assert patient.claim(batch) == [Claim.CLAIMED] * 2
        assert patient.complete(batch) == [Completion.EFFECT] * 2
        assert ledger.asked("claim") == [["a", "b"]] * 2
        assert ledger.asked("complete") == [["a", "b"]] * 2
        assert world.states == ["down", "up"]  # of the claim, whose first probe failed, too

    def test_a_stop_ends_the_waiting_of_a_claim_but_not_of_a_completion(self, world: World) -> None:
        ledger = FakeLedger()
        ledger.down = {"claim", "complete", "probe"}
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        world.stopping.set()
        world.outage.hurry(world.clock.now + 10)
        with pytest.raises(LedgerDown):
            patient.claim([a_message()])
        assert (len(ledger.asked("claim")), world.clock.now) == (1, 100)
        with pytest.raises(LedgerDown):
            patient.complete([a_message()])
        assert len(ledger.asked("probe")) > 2
        assert 110 <= world.clock.now <= 111

    @pytest.mark.parametrize("operation", ["claim", "complete"])
    def test_a_batch_with_a_last_receive_is_held_as_long_as_sqs_hides_it(
        self, world: World, operation: str
    ) -> None:
        ledger = FakeLedger()
        ledger.down = {operation, "probe"}
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        first, last = a_message("a"), a_message("b", receive_count=2)
        for batch, seconds in (([first], HOLD_SECONDS), ([first, last], BOUNDS.extensible)):
            began = world.clock.now
            with pytest.raises(LedgerDown):
                getattr(patient, operation)(batch)
            assert world.clock.now - began == pytest.approx(seconds, abs=1)

    def test_at_a_stop_the_claim_of_a_last_receive_waits_as_long_as_the_stop_allows(
        self, world: World
    ) -> None:
        ledger = FakeLedger()
        ledger.down = {"claim", "probe"}
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        world.stopping.set()
        world.outage.hurry(world.clock.now + 10)
        with pytest.raises(LedgerDown):
            patient.claim([a_message("a", receive_count=2)])
        assert 110 <= world.clock.now <= 111

    def test_it_says_which_failures_are_recorded(self, world: World) -> None:
        ledger = FakeLedger()
        ledger.unrecorded = {"a"}
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        failed = [(a_message("a"), "no"), (a_message("b"), "no")]
        assert patient.fail(failed) == [False, True]

    @pytest.mark.parametrize("operation", ["fail", "probe"])
    def test_failures_and_probes_do_not_wait(self, world: World, operation: str) -> None:
        ledger = FakeLedger()
        ledger.down = {operation}
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        with pytest.raises(LedgerDown):
            patient.fail([(a_message(), "no")]) if operation == "fail" else patient.probe()
        assert world.clock.sleeps == []
        assert not world.outage.is_down

    def test_a_call_of_the_work_is_repeated_for_a_minute_while_only_it_fails(
        self, world: World
    ) -> None:
        """An outage that only the reads of the work meet must not spend receives either."""
        patient = RetryingLedger(FakeLedger(), world.outage, BOUNDS)
        no_answer = LedgerDown("no answer")
        assert patient.outlast(a_message(), world.failing(5, no_answer)) == "answer"
        began = world.clock.now
        with pytest.raises(NotDown):
            patient.outlast(a_message(receive_count=2), world.failing(math.inf, no_answer))
        assert 50 <= world.clock.now - began <= 70
        assert world.notes.lines == []

    def test_a_call_of_the_work_outlasts_an_outage_as_a_completion_does(self, world: World) -> None:
        ledger = FakeLedger()
        ledger.down = {"probe"}
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        for count, seconds in ((1, HOLD_SECONDS), (2, BOUNDS.extensible)):
            began = world.clock.now
            with pytest.raises(LedgerDown):
                patient.outlast(a_message(receive_count=count), world.failing(math.inf))
            assert world.clock.now - began == pytest.approx(seconds, abs=1)
        world.stopping.set()
        world.outage.hurry(world.clock.now + 10)
        began = world.clock.now
        with pytest.raises(LedgerDown):
            patient.outlast(a_message(), world.failing(math.inf))
        assert world.clock.now - began == pytest.approx(10, abs=1)


class Rows(FakeLedger):
    """A ledger in which the writes of some rows fail, alone or with others."""

    def __init__(self, *bad: str) -> None:
        super().__init__()
        self.bad = set(bad)
        self.done: list[str] = []

    def _called(self, name: str, messages: Sequence[Message]) -> None:
        super()._called(name, messages)
        names = [message.id for message in messages]
        if self.bad.intersection(names):
            raise LedgerDown("InternalServerError")
        self.done += names


CLAIMED, COMPLETED = (
    ("claim", Claim.CLAIMED, Claim.UNKNOWN),
    ("complete", Completion.EFFECT, Completion.UNKNOWN),
)


@pytest.mark.parametrize(("operation", "good", "unknown"), [CLAIMED, COMPLETED])
class TestBadRows:
    """What fails alone while the ledger answers is the failure of that message alone."""

    @pytest.mark.parametrize("bad", ["a", "c", "e", "ae"])
    def test_the_others_of_its_batch_are_settled(
        self, world: World, operation: str, good: object, unknown: object, bad: str
    ) -> None:
        ledger = Rows(*bad)
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        batch = [a_message(name) for name in "abcde"]
        answers = getattr(patient, operation)(batch)
        assert answers == [unknown if message.id in bad else good for message in batch]
        assert sorted(ledger.done) == [m.id for m in batch if m.id not in bad]
        assert world.notes.lines == []

    def test_it_ends_soon_and_costs_few_calls(
        self, world: World, operation: str, good: object, unknown: object
    ) -> None:
        ledger = Rows("c")
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        getattr(patient, operation)([a_message(name) for name in "abcde"])
        alone = ledger.asked(operation).count(["c"])
        assert alone == 1 + TRIES_ALONE
        assert len(ledger.asked(operation)) == 2 + 4 + alone  # the batch, the good ones, the bad
        assert len(ledger.asked("probe")) <= 2 + TRIES_ALONE
        assert world.clock.now <= 106

    def test_the_only_message_in_hand_is_told_apart_by_the_probe(
        self, world: World, operation: str, good: object, unknown: object, caplog: Any
    ) -> None:
        ledger = Rows("a")
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        assert getattr(patient, operation)([a_message("a")]) == [unknown]
        assert world.notes.lines == []
        assert "message a: its rows cannot be written" in caplog.text

    def test_a_last_receive_is_held_in_an_outage_and_not_blamed(
        self, world: World, operation: str, good: object, unknown: object
    ) -> None:
        ledger = Rows("a")
        ledger.down = {operation, "probe"}
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        with pytest.raises(LedgerDown):
            getattr(patient, operation)([a_message("a", receive_count=2)])
        assert world.clock.now >= 100 + BOUNDS.extensible
        assert ledger.asked(operation) == [["a"]]  # in an outage only probes are sent

    def test_an_outage_that_begins_meanwhile_keeps_what_is_settled(
        self, world: World, operation: str, good: object, unknown: object
    ) -> None:
        """They share one time limit; what is not settled by then stays in the queue."""
        ledger = Rows("c")
        called = ledger._called

        def dying(name: str, messages: Sequence[Message]) -> None:
            if len(ledger.done) == 2:
                ledger.down = {operation, "probe"}
            called(name, messages)

        ledger._called = dying  # type: ignore[method-assign]
        patient = RetryingLedger(ledger, world.outage, BOUNDS)
        answers = getattr(patient, operation)([a_message(name) for name in "abcde"])
        assert answers == [good, good, unknown, unknown, unknown]
        assert world.states == ["down"]
        assert HOLD_SECONDS <= world.clock.now - 100 <= HOLD_SECONDS + 5
