"""While the ledger is down messages stay in hand and hidden, and one caller tries at a time."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from support.doubles import FakeInbox, FakeLedger, FakeStop, FakeTime, Notes, a_message
from worker import outage as module
from worker.holdings import Holdings
from worker.meter import Tally
from worker.outage import HOLD_SECONDS, LONGEST_PAUSE, PROBES, Outage, PatientLedger
from worker.ports import Claim, Completion, LedgerDown

VISIBILITY = 10


class World:
    """An outage with everything it touches, in which waiting costs no time."""

    def __init__(self, clock: FakeTime) -> None:
        self.clock, self.stopping = clock, FakeStop(clock)
        self.inbox, self.notes = FakeInbox(), Notes()
        self.holdings = Holdings(self.inbox, VISIBILITY, self.notes, Tally())  # type: ignore[arg-type]
        self.outage = Outage(self.holdings, self.stopping, self.notes)  # type: ignore[arg-type]
        self.calls = 0

    def failing(self, times: float) -> Callable[[], str]:
        """A call that fails so many times and then answers."""

        def call() -> str:
            self.calls += 1
            if self.calls <= times:
                raise LedgerDown(f"failure {self.calls}")
            return "answer"

        return call

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
    monkeypatch.setattr("worker.outage.time", clock)
    monkeypatch.setattr("worker.holdings.time", clock)
    monkeypatch.setattr("worker.outage.random.uniform", lambda _, most: most)
    return World(clock)


class TestOutlast:
    def test_an_answer_is_passed_on_at_once(self, world: World) -> None:
        assert world.outage.outlast(world.failing(0)) == "answer"
        assert world.calls == 1
        assert world.stopping.waits == []
        assert world.notes.lines == []

    def test_a_failure_is_tried_again_after_a_pause_and_is_an_outage(self, world: World) -> None:
        assert world.outage.outlast(world.failing(1)) == "answer"
        assert world.calls == 2
        assert sum(world.stopping.waits) > 0
        assert world.states == ["down", "up"]
        assert not world.outage.is_down
        assert world.is_free

    def test_an_outage_is_said_once_however_long_it_is(self, world: World) -> None:
        world.outage.outlast(world.failing(6))
        assert world.states == ["down", "up"]
        assert world.notes.lines[0][2]["reason"] == "failure 1"

    def test_pauses_grow_up_to_a_limit(self, world: World) -> None:
        starts: list[float] = []
        call = world.failing(7)

        def timed() -> str:
            starts.append(world.clock.now)
            return call()

        world.outage.outlast(timed)
        pauses = [round(b - a, 3) for a, b in pairwise(starts)]
        assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]
        assert max(pauses) == LONGEST_PAUSE

    def test_it_gives_up_after_the_holding_time(self, world: World) -> None:
        began = world.clock.now
        with pytest.raises(LedgerDown):
            world.outage.outlast(world.failing(1e9))
        assert HOLD_SECONDS <= world.clock.now - began <= HOLD_SECONDS + LONGEST_PAUSE
        assert world.outage.is_down
        assert world.is_free

    def test_a_stop_ends_it_and_leaves_the_turn_to_others(self, world: World) -> None:
        world.stopping.stop_after = world.clock.now + 3
        with pytest.raises(LedgerDown):
            world.outage.outlast(world.failing(1e9))
        assert world.clock.now < 104
        assert world.is_free

    def test_a_known_outage_is_waited_for_before_the_first_try(self, world: World) -> None:
        with pytest.raises(LedgerDown):
            world.outage.outlast(world.failing(1e9))
        world.calls = 0
        before = world.clock.now
        assert world.outage.outlast(world.failing(0)) == "answer"
        assert world.clock.now > before
        assert world.states == ["down", "up"]

    def test_another_error_is_no_outage_and_keeps_no_turn(self, world: World) -> None:
        calls: list[int] = []

        def call() -> str:
            calls.append(1)
            raise LedgerDown("down") if len(calls) == 1 else KeyError("bug")

        with pytest.raises(KeyError):
            world.outage.outlast(call)
        assert world.is_free

    def test_messages_in_hand_stay_hidden(self, world: World) -> None:
        message = a_message("a", visibility=VISIBILITY, now=world.clock.now)
        world.holdings.hold([message])
        late: list[float] = []
        call = world.failing(12)

        def watched() -> str:
            late.append(world.holdings.overdue(message))
            return call()

        world.outage.outlast(watched)
        assert max(late) < 0
        assert len(world.inbox.extended) >= 40 / VISIBILITY

    def test_who_waits_for_a_turn_keeps_its_messages_hidden_and_gives_up_too(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.holdings.hold([a_message("a", visibility=VISIBILITY, now=world.clock.now)])
        monkeypatch.setattr(world.outage, "_trial", Taken(world.clock))
        began = world.clock.now
        with pytest.raises(LedgerDown, match="in vain"):
            world.outage.outlast(world.failing(1e9))
        assert world.calls == 1
        assert world.clock.now - began == pytest.approx(HOLD_SECONDS, abs=1)
        assert len(world.inbox.extended) >= HOLD_SECONDS / VISIBILITY
        assert world.outage._trial.released == 0  # type: ignore[attr-defined]

    def test_who_waited_while_another_brought_it_up_goes_on_at_once(self, world: World) -> None:
        world.outage._down.set()
        down = iter([True, False])  # by the time that the turn comes, it is up
        world.outage.__class__ = type(
            "Recovered", (Outage,), {"is_down": property(lambda _: next(down, False))}
        )
        assert world.outage.outlast(world.failing(0)) == "answer"
        assert world.stopping.waits == []
        assert world.is_free


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
        assert not world.outage.await_up(world.failing(0))  # type: ignore[arg-type]
        assert world.calls == 0

    def test_it_takes_several_probes_in_a_row(self, world: World) -> None:
        world.outage._note_down(LedgerDown("down"))
        assert world.outage.await_up(world.failing(0))  # type: ignore[arg-type]
        assert world.calls == PROBES
        assert world.states == ["down", "up"]
        assert world.is_free

    def test_a_failed_probe_starts_the_row_again(self, world: World) -> None:
        world.outage._note_down(LedgerDown("down"))
        results = iter([True, True, False, True, True, True])
        used: list[bool] = []

        def probe() -> None:
            used.append(next(results))
            if not used[-1]:
                raise LedgerDown("down")

        assert world.outage.await_up(probe)
        assert used == [True, True, False, True, True, True]
        assert world.states == ["down", "up"]

    def test_it_waits_before_each_probe(self, world: World) -> None:
        world.outage._note_down(LedgerDown("down"))
        before = world.clock.now
        world.outage.await_up(world.failing(0))  # type: ignore[arg-type]
        assert world.clock.now - before >= PROBES * module.FIRST_PAUSE

    def test_it_is_patient_beyond_the_holding_time(self, world: World) -> None:
        world.outage._note_down(LedgerDown("down"))
        began = world.clock.now
        assert world.outage.await_up(world.failing(100))  # type: ignore[arg-type]
        assert world.clock.now - began > 5 * HOLD_SECONDS

    def test_a_stop_ends_it(self, world: World) -> None:
        world.outage._note_down(LedgerDown("down"))
        world.stopping.stop_after = world.clock.now + 7
        assert world.outage.await_up(world.failing(1e9))  # type: ignore[arg-type]
        assert world.outage.is_down
        assert world.is_free


class TestPatientLedger:
    def test_claims_and_completions_outlast_an_outage(self, world: World) -> None:
        class Flaky(FakeLedger):
            def _called(self, name: str, messages: list) -> None:
                super()._called(name, messages)
                if len(self.asked(name)) == 1:
                    raise LedgerDown(name)

        ledger = Flaky()
        patient = PatientLedger(ledger, world.outage)
        batch = [a_message("a"), a_message("b")]
        assert patient.claim(batch) == [Claim.CLAIMED] * 2
        assert patient.complete(batch) == [Completion.EFFECT] * 2
        assert ledger.asked("claim") == [["a", "b"]] * 2
        assert ledger.asked("complete") == [["a", "b"]] * 2
        assert world.states == ["down", "up", "down", "up"]

    @pytest.mark.parametrize("operation", ["fail", "probe"])
    def test_failures_and_probes_do_not_wait(self, world: World, operation: str) -> None:
        ledger = FakeLedger()
        ledger.down = {operation}
        patient = PatientLedger(ledger, world.outage)
        with pytest.raises(LedgerDown):
            patient.fail([(a_message(), "no")]) if operation == "fail" else patient.probe()
        assert world.stopping.waits == []
        assert not world.outage.is_down
