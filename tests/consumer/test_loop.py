"""Lanes go on whatever happens, end for a reason that is told, and a stop forgets no message."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from sqs_worker.deletes import BACKLOG, Deletes
from sqs_worker.events import Tally
from sqs_worker.in_flight import Bounds, InFlight
from sqs_worker.loop import (
    LAST_CALLS,
    LONGEST_PAUSE,
    MOST_ERRORS,
    SHORT_POLL_PAUSE,
    Lane,
    Loop,
    Parts,
)
from sqs_worker.message import Message
from sqs_worker.outage import Outage, RetryingLedger
from sqs_worker.pipeline import FinishedIds, Pipeline
from sqs_worker.ports import Deletion, InboxDown, LedgerDown
from sqs_worker.receive_limiter import Permit, ReceiveLimiter
from support.fakes import FakeLedger, FakeQueue, FakeStop, FakeTime, Notes, a_message

SECONDS = 5
"""The longest that any of these may take; nothing waits for it where all is well."""


class Pauses(threading.Event):
    """A stop flag whose waiting takes no time, unless somebody really waits for a stop."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return self.is_set()


class Consumer:
    """All parts of a consumer around fakes; `work` is what a test gives for a message id."""

    def __init__(self, *receives: Sequence[Message] | Exception, **limiter: float) -> None:
        self.inbox, self.ledger = FakeQueue(*receives), FakeLedger()
        self.notes, self.tally, self.stopping = Notes(), Tally(), Pauses()
        bounds = Bounds(30)
        self.in_flight = InFlight(self.inbox, bounds, self.notes, self.tally)  # type: ignore[arg-type]
        self.deletes = Deletes(self.inbox, self.in_flight, self.notes, self.tally)  # type: ignore[arg-type]
        self.work: dict[str, Callable[[], object]] = {}
        settings = {"lanes": 1, "batch": 10, "wait": 10, "limit": 0, "idle_timeout": 0, **limiter}
        self.limiter = ReceiveLimiter(**settings)  # type: ignore[arg-type]
        self.outage = Outage(self.stopping, self.notes, self.limiter.slow_start)  # type: ignore[arg-type]
        patient = RetryingLedger(self.ledger, self.outage, bounds)
        pipeline = Pipeline(
            ledger=patient,
            work=lambda message: self.work.get(message.id, lambda: None)(),  # type: ignore[arg-type,return-value]
            in_flight=self.in_flight,
            deletes=self.deletes,
            finished=FinishedIds(100),
            journal=self.notes,  # type: ignore[arg-type]
            tally=self.tally,
            commit_batch=1,
        )
        self.parts = Parts(
            inbox=self.inbox,
            ledger=patient,
            pipeline=pipeline,
            in_flight=self.in_flight,
            limiter=self.limiter,
            outage=self.outage,
            journal=self.notes,  # type: ignore[arg-type]
            tally=self.tally,
            stopping=self.stopping,
        )

    def loop(self, lanes: int = 1, beat: float = 0, grace: float = SECONDS) -> Loop:
        return Loop(self.parts, lanes=lanes, beat=beat, grace=grace)

    def lane(self) -> Lane:
        return Lane(self.parts)


class TestTurn:
    def test_it_receives_and_sees_through(self) -> None:
        consumer = Consumer([a_message("a"), a_message("b")])
        assert consumer.lane().turn()
        assert consumer.inbox.asked == [(10, 10)]
        assert consumer.inbox.deleted == ["a", "b"]
        assert consumer.tally["received"] == 2
        assert consumer.notes.of("a")[0] == "received"
        received = consumer.notes.lines[0][2]
        assert received == {"receive_count": 1, "sent": 1000.0, "visible_at": 2000.0}

    def test_an_empty_receive_is_counted(self) -> None:
        consumer = Consumer()
        assert consumer.lane().turn()
        assert consumer.tally["empty_receives"] == 1
        assert consumer.stopping.waits == []

    def test_empty_short_polls_pause_or_they_would_cost_a_request_each(self) -> None:
        consumer = Consumer([], [a_message()], wait=0)
        lane = consumer.lane()
        lane.turn()
        assert consumer.stopping.waits == [SHORT_POLL_PAUSE]
        lane.turn()
        assert consumer.stopping.waits == [SHORT_POLL_PAUSE]

    def test_long_polls_that_end_early_pause_from_the_second_on(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each at its own time, of 10 s; the pauses of the lane take no time here."""
        clock = FakeTime()
        monkeypatch.setattr("sqs_worker.loop.time", clock)
        seconds = [0, 0, 4.9, 5, 0, 0, 0, 0, 0]
        empty: list[Message] = []
        consumer = Consumer(*[empty] * 6, [a_message()], empty, empty)
        took = iter(seconds)
        consumer.inbox.on_receive = lambda: clock.sleep(next(took))
        lane, pauses = consumer.lane(), []
        for _ in seconds:
            lane.turn()
            pauses.append(len(consumer.stopping.waits))
        assert pauses == [0, 1, 2, 2, 2, 3, 3, 3, 4]
        assert set(consumer.stopping.waits) == {SHORT_POLL_PAUSE}
        first = caplog.records[0].getMessage()
        assert "WaitTimeSeconds=10 returned empty after 0.0 s" in first
        assert len(caplog.records) == 3

    def test_once_receiving_has_ended_it_is_over(self) -> None:
        consumer = Consumer([a_message()])
        consumer.limiter.close("signal")
        assert not consumer.lane().turn()
        assert consumer.inbox.asked == []

    def test_a_queue_that_is_down_is_tried_again_ever_more_slowly(self) -> None:
        consumer = Consumer(*[InboxDown("down")] * 9, [a_message("a")], InboxDown("again"))
        lane = consumer.lane()
        for _ in range(11):
            assert lane.turn()
        pauses = consumer.stopping.waits
        assert len(pauses) == 10
        for number, pause in enumerate(pauses[:9], 1):
            longest = min(LONGEST_PAUSE, 2.0**number)
            assert longest / 2 <= pause <= longest
        assert pauses[9] <= 2
        assert consumer.inbox.deleted == ["a"]
        assert consumer.tally["empty_receives"] == 0

    def test_a_bug_in_a_receive_gives_the_turn_back(self) -> None:
        consumer = Consumer(RuntimeError("bug"), [a_message("a")], limit=1)
        lane = consumer.lane()
        with pytest.raises(RuntimeError):
            lane.turn()
        assert lane.turn()
        assert consumer.inbox.deleted == ["a"]

    def test_what_arrives_after_a_stop_is_given_back(self) -> None:
        consumer = Consumer([a_message("a"), a_message("b")])
        consumer.inbox.on_receive = consumer.in_flight.close
        assert consumer.lane().turn()
        assert consumer.inbox.released == ["a", "b"]
        assert consumer.ledger.calls == []
        assert consumer.notes.of("a") == ["received", "released"]

    def test_a_ledger_that_stays_down_gives_the_rest_back(self) -> None:
        consumer = Consumer([a_message(name) for name in "abc"])

        def go_down() -> None:
            consumer.ledger.down = {"complete"}
            consumer.outage.hurry(0)  # so that nobody waits for it

        consumer.work["b"] = go_down
        assert consumer.lane().turn()
        assert consumer.inbox.deleted == ["a"]
        assert sorted(consumer.inbox.released) == ["b", "c"]
        assert ("released", "c", {"reason": "outage"}) in consumer.notes.lines
        assert consumer.in_flight.held() == []

    def test_a_bug_in_the_path_leaves_its_messages_to_their_time(self) -> None:
        consumer = Consumer([a_message("a")], idle_timeout=0)
        consumer.ledger.claim = lambda _: {}["bug"]  # type: ignore[method-assign,assignment]
        with pytest.raises(KeyError):
            consumer.lane().turn()
        assert consumer.in_flight.held() == []
        assert consumer.inbox.deleted == consumer.inbox.released == []
        assert consumer.limiter._busy == 0

    def test_after_an_outage_it_starts_with_one_message(self) -> None:
        consumer = Consumer([a_message("a")])
        consumer.outage._note_down(LedgerDown("down"))
        consumer.outage._pause = lambda *_: None  # type: ignore[method-assign]
        assert consumer.lane().turn()
        assert consumer.inbox.asked[0][0] == 1
        assert len(consumer.ledger.asked("probe")) == 3

    def test_no_receive_begins_where_the_ledger_went_down_while_it_waited(self) -> None:
        consumer = Consumer([a_message("a")], limit=10)
        enter = consumer.limiter.enter

        def wait_for_a_turn() -> Permit | None:
            permit = enter()
            consumer.outage._note_down(LedgerDown("down"))
            return permit

        consumer.limiter.enter = wait_for_a_turn  # type: ignore[method-assign]
        lane = consumer.lane()
        assert lane.turn()
        assert consumer.inbox.asked == []
        consumer.outage._note_up()
        consumer.limiter.enter = enter  # type: ignore[method-assign]
        assert lane.turn()
        assert consumer.inbox.asked == [(1, 10)]  # every outage ends in a slow start
        assert consumer.limiter._left == 9  # the permit was given back

    def test_while_the_ledger_is_down_the_end_of_receiving_ends_a_lane(self) -> None:
        consumer = Consumer([a_message("a")])
        consumer.ledger.down = {"probe"}
        consumer.outage._note_down(LedgerDown("down"))
        consumer.outage._pause = lambda *_: consumer.limiter.close("signal")  # type: ignore[method-assign]
        assert not consumer.lane().turn()
        assert consumer.ledger.calls == []
        assert consumer.inbox.asked == []


class TestLane:
    def test_no_error_ends_it_and_none_makes_it_spin(self) -> None:
        consumer = Consumer(RuntimeError("bug"), RuntimeError("bug"), [a_message("a")], limit=1)
        consumer.lane().run()
        assert consumer.tally["errors"] == 2
        assert consumer.stopping.waits == [1, 1]
        assert consumer.inbox.deleted == ["a"]

    def test_an_error_that_repeats_ends_it_before_it_costs_every_receive(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        consumer = Consumer(*[RuntimeError("bug")] * 99)
        assert consumer.loop().run() == "error"
        assert len(consumer.inbox.asked) == consumer.tally["errors"] == MOST_ERRORS
        assert consumer.stopping.waits == [1] * MOST_ERRORS
        assert caplog.records[-1].getMessage() == (
            f"{MOST_ERRORS} unexpected errors in a row: the consumer ends"
        )

    def test_a_turn_without_an_error_resets_the_count(self) -> None:
        errors = [RuntimeError("bug")] * (MOST_ERRORS - 1)
        consumer = Consumer(*errors, [a_message("a")], *errors, [], *errors, [a_message("b")])
        consumer.limiter._left = 2
        assert consumer.loop().run() == "limit"
        assert consumer.inbox.deleted == ["a", "b"]
        assert consumer.tally["errors"] == 3 * (MOST_ERRORS - 1)

    def test_one_lane_that_ends_so_ends_the_consumer(self) -> None:
        consumer = Consumer(*[[a_message(str(n))] for n in range(9)], lanes=2, batch=1)
        working, closed = threading.Event(), consumer.limiter.close

        def close(reason: str) -> None:
            closed(reason)
            working.set()

        def bug() -> None:
            raise SystemError

        consumer.limiter.close = close  # type: ignore[method-assign]
        consumer.work["0"] = lambda: wait_for(working)
        real = consumer.ledger.claim
        consumer.ledger.claim = lambda batch: real(batch) if batch[0].id == "0" else bug()  # type: ignore[method-assign,assignment,return-value]
        assert consumer.loop(2).run() == "error"
        assert consumer.inbox.deleted == ["0"]  # what the other lane had begun is finished
        assert consumer.tally["errors"] == MOST_ERRORS


class TestLoop:
    def test_a_limit_ends_it(self) -> None:
        consumer = Consumer(*[[a_message(str(n))] for n in range(9)], limit=5, batch=1)
        assert consumer.loop().run() == "limit"
        assert len(consumer.inbox.deleted) == 5

    def test_an_idle_time_ends_it(self) -> None:
        consumer = Consumer([a_message("a")], idle_timeout=0.001, wait=1)
        assert consumer.loop().run() == "idle"
        assert consumer.inbox.deleted == ["a"]

    @pytest.mark.parametrize("lanes", [1, 4])
    def test_lanes_share_the_limit(self, lanes: int) -> None:
        batches = [[a_message(f"{n}-{m}") for m in range(10)] for n in range(20)]
        consumer = Consumer(*batches, lanes=lanes, limit=100)
        assert consumer.loop(lanes).run() == "limit"
        assert len(consumer.inbox.deleted) == len(set(consumer.inbox.deleted)) == 100
        assert consumer.tally["completed"] == 100

    def test_lanes_work_at_the_same_time(self) -> None:
        consumer = Consumer([a_message("a")], [a_message("b")], lanes=2, limit=2, batch=1)
        together = threading.Barrier(2)
        consumer.work = dict.fromkeys("ab", lambda: together.wait(SECONDS))
        assert consumer.loop(2).run() == "limit"
        assert sorted(consumer.inbox.deleted) == ["a", "b"]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_finishes_what_is_begun_and_gives_back_the_rest(self, number: int) -> None:
        consumer = Consumer([a_message("a"), a_message("b")])
        loop = consumer.loop()

        def work() -> None:
            loop.on_signal(number, None)
            assert wait_until(lambda: consumer.inbox.released)

        consumer.work["a"] = work
        assert loop.run() == "signal"
        assert loop.signal_name == signal.Signals(number).name
        assert consumer.inbox.deleted == ["a"]
        assert consumer.inbox.released == ["b"]
        assert consumer.tally["abandoned"] == 0

    def test_a_lost_journal_stops_it_as_a_signal_does(self) -> None:
        consumer = Consumer([a_message("a"), a_message("b")], [a_message("c")])

        def work() -> None:
            consumer.notes.lost = True
            assert wait_until(lambda: consumer.inbox.released)

        consumer.work["a"] = work
        assert consumer.loop().run() == "journal"
        assert consumer.inbox.deleted == ["a"]
        assert consumer.inbox.released == ["b"]
        assert len(consumer.inbox.asked) == 1

    def test_what_follows_a_stop_has_what_is_left_of_the_grace(self) -> None:
        consumer = Consumer([a_message("a")])
        loop = consumer.loop(grace=SECONDS)
        assert loop.grace_left() == SECONDS
        consumer.work["a"] = lambda: (loop.on_signal(signal.SIGTERM, None), time.sleep(0.3))
        loop.run()
        assert 0 < loop.grace_left() < SECONDS - 0.1
        loop = Consumer().loop(grace=0.05)
        loop.on_signal(signal.SIGTERM, None)
        loop.run()
        assert wait_until(lambda: loop.grace_left() == 0)

    def test_work_that_outlasts_the_grace_is_abandoned_and_named(self) -> None:
        consumer = Consumer([a_message("a")])
        loop = consumer.loop(grace=0.05)
        over = threading.Event()

        def work() -> None:
            loop.on_signal(signal.SIGTERM, None)
            over.wait(SECONDS)

        consumer.work["a"] = work
        try:
            assert loop.run() == "signal"
            assert consumer.notes.of("a") == ["received", "claimed", "work_started", "abandoned"]
            assert consumer.tally["abandoned"] == 1
            assert consumer.inbox.deleted == consumer.inbox.released == []
        finally:
            over.set()

    @pytest.mark.parametrize(
        ("hanging", "said"),
        [
            ("work", "message a was still in work after"),
            ("complete", "the work of message a is done, but the ledger did not confirm"),
            ("delete", "message a is completed, but SQS did not confirm its delete"),
        ],
    )
    def test_what_outlasts_the_grace_is_told_by_how_far_it_came(
        self, caplog: pytest.LogCaptureFixture, hanging: str, said: str
    ) -> None:
        consumer = Consumer([a_message("a"), a_message("b")])
        loop = consumer.loop(grace=0.2)
        over = threading.Event()

        def hang() -> None:
            loop.on_signal(signal.SIGTERM, None)
            over.wait(SECONDS)

        part = {"complete": consumer.ledger, "delete": consumer.inbox}.get(hanging)
        if part:
            real = getattr(part, hanging)
            setattr(part, hanging, lambda messages: (hang(), real(messages))[1])
        else:
            consumer.work["a"] = hang
        consumer.inbox.refusing = {"b"}
        try:
            assert loop.run() == "signal"
        finally:
            over.set()
        (line,) = [text for text in caplog.messages if "message a " in text]
        assert said in line
        assert ("shorten the work" in line) == (hanging == "work")
        (line,) = [text for text in caplog.messages if "message b " in text]
        begun = hanging == "delete"  # the delete is of both
        assert ("not completed, and SQS did not confirm its release" in line) != begun

    def test_an_idle_consumer_stops_at_once(self) -> None:
        consumer = Consumer()
        loop = consumer.loop()
        consumer.inbox.on_receive = lambda: loop.signal_name or loop.on_signal(signal.SIGTERM, None)
        assert loop.run() == "signal"
        assert consumer.inbox.released == []

    def test_a_second_signal_exits_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        codes: list[int] = []
        monkeypatch.setattr(os, "_exit", codes.append)
        loop = Consumer().loop()
        loop.on_signal(signal.SIGTERM, None)
        assert codes == []
        loop.on_signal(signal.SIGINT, None)
        assert codes == [130]

    def test_a_signal_before_the_start_starts_no_lane(self) -> None:
        consumer = Consumer([a_message("a")])
        loop = consumer.loop(3)
        loop.on_signal(signal.SIGTERM, None)
        assert loop.run() == "signal"
        assert consumer.inbox.asked == []
        assert [lane.ident for lane in loop._lanes] == [None] * 3

    def test_a_queue_that_does_not_answer_cannot_outlast_the_grace(self) -> None:
        consumer = Consumer([a_message("a"), a_message("b")])
        loop = consumer.loop(grace=0.05)
        answered = threading.Event()
        consumer.inbox.on_release = lambda: wait_for(answered)

        def work() -> None:
            loop.on_signal(signal.SIGTERM, None)
            wait_for(answered)

        consumer.work["a"] = work
        try:
            assert loop.run() == "signal"
            assert consumer.inbox.released == []
            assert consumer.notes.of("a")[-1] == "abandoned"
            assert consumer.tally["abandoned"] == 1  # b is no longer in hand, though not released
        finally:
            answered.set()

    def test_nobody_waits_for_the_ledger_into_the_last_calls_of_a_stop(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        consumer = Consumer()
        loop = consumer.loop(grace=25)
        deadlines: list[float] = []
        monkeypatch.setattr(consumer.outage, "hurry", deadlines.append)
        loop.on_signal(signal.SIGTERM, None)
        before = time.monotonic()
        loop.run()
        (deadline,) = deadlines
        assert before + 25 - LAST_CALLS <= deadline <= time.monotonic() + 25 - LAST_CALLS
        assert consumer.stopping.is_set()

    def test_work_that_is_done_is_completed_where_the_ledger_comes_back_in_time(self) -> None:
        consumer = Consumer([a_message("a"), a_message("b")])
        loop = consumer.loop()

        def work() -> None:
            consumer.ledger.down = {"complete"}
            loop.on_signal(signal.SIGTERM, None)
            assert wait_until(lambda: consumer.inbox.released)

        consumer.work["a"] = work
        consumer.outage._pause = lambda *_: consumer.ledger.down.clear()  # type: ignore[method-assign]
        assert loop.run() == "signal"
        assert consumer.inbox.deleted == ["a"]
        assert consumer.inbox.released == ["b"]
        assert consumer.tally["abandoned"] == 0


class TestBesideTheLanes:
    def test_what_is_due_is_deleted_while_its_lane_works(self) -> None:
        """15 of its 30 s are over: its neighbor waits for the delete, and would for ever."""
        consumer = Consumer([a_message("a", visibility=14), a_message("b", visibility=14)], limit=2)
        consumer.work["b"] = lambda: wait_for_it(lambda: consumer.inbox.deleted == ["a"])
        assert consumer.loop().run() == "limit"
        assert consumer.inbox.deleted == ["a", "b"]

    def test_a_delete_that_fails_is_tried_again_and_the_end_waits_for_it(self) -> None:
        consumer = Consumer([a_message("a")], [a_message("b")], limit=2)
        consumer.inbox.deletions = {"a": Deletion.UNKNOWN}

        def work() -> None:
            wait_for_it(lambda: consumer.inbox.deleted.count("a") > 1)
            consumer.inbox.deletions = {}

        consumer.work["b"] = work
        assert consumer.loop().run() == "limit"
        assert consumer.notes.of("a")[-1] == consumer.notes.of("b")[-1] == "deleted"
        assert consumer.deletes.open == 0

    def test_a_stop_waits_for_it_within_the_grace(self) -> None:
        consumer = Consumer([a_message("a")])
        consumer.inbox.deletions = {"a": Deletion.UNKNOWN}
        loop = consumer.loop(grace=LAST_CALLS + 0.5)
        consumer.work["a"] = lambda: loop.on_signal(signal.SIGTERM, None)
        before = time.monotonic()
        assert loop.run() == "signal"
        assert time.monotonic() - before < LAST_CALLS + 0.5 + SECONDS
        assert consumer.inbox.deleted.count("a") > 1
        assert consumer.notes.of("a")[-1] == "delete_unknown"
        assert consumer.tally["abandoned"] == 0

    def test_with_many_deletes_open_nothing_is_received(self) -> None:
        batch = [a_message(str(number)) for number in range(BACKLOG + 1)]
        consumer = Consumer(batch, [a_message("next")])
        consumer.inbox.deletions = {message.id: Deletion.UNKNOWN for message in batch}
        lane = consumer.lane()
        assert lane.turn()
        assert lane.turn()
        assert len(consumer.inbox.asked) == 1
        consumer.deletes._open.popitem()
        assert lane.turn()
        assert len(consumer.inbox.asked) == 2
        assert consumer.deletes.open == BACKLOG

    def test_an_error_beside_the_lanes_is_counted_and_does_not_end_it(self) -> None:
        consumer = Consumer([a_message("a")], limit=1)
        consumer.deletes.retry = lambda: {}["bug"]  # type: ignore[method-assign]
        consumer.work["a"] = lambda: wait_for_it(lambda: consumer.tally["errors"] > 1)
        assert consumer.loop().run() == "limit"


class TestHeartbeat:
    def test_it_extends_what_is_in_work_and_stops_with_the_loop(self) -> None:
        consumer = Consumer([a_message("a")], limit=1)
        beaten = threading.Event()
        consumer.inbox.on_extend = beaten.set
        consumer.work["a"] = lambda: beaten.wait(SECONDS)
        assert consumer.loop(beat=0.01).run() == "limit"
        assert consumer.inbox.extended[0] == (["a"], 30)
        assert wait_until(lambda: "heartbeat" not in threads())

    def test_an_error_does_not_end_it(self) -> None:
        consumer = Consumer([a_message("a")], limit=1)
        beaten = threading.Event()
        beats: list[int] = []

        def beat() -> None:
            beats.append(1)
            if len(beats) == 1:
                raise RuntimeError("bug")
            beaten.set()

        consumer.inbox.on_extend = beat
        consumer.work["a"] = lambda: beaten.wait(SECONDS)
        consumer.loop(beat=0.01).run()
        assert beaten.is_set()

    def test_it_goes_on_through_a_stop(self) -> None:
        consumer = Consumer([a_message("a")])
        loop = consumer.loop(beat=0.01)

        def work() -> None:
            loop.on_signal(signal.SIGTERM, None)
            assert wait_for(consumer.stopping)
            before = len(consumer.inbox.extended)
            assert wait_until(lambda: len(consumer.inbox.extended) > before)

        consumer.work["a"] = work
        loop.run()
        assert consumer.inbox.deleted == ["a"]


class Beats:
    """A heartbeat that is run to its end on a clock that only moves when it waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, visibility: int) -> None:
        self.clock = FakeTime()
        monkeypatch.setattr("sqs_worker.loop.time", self.clock)
        monkeypatch.setattr("sqs_worker.in_flight.time", self.clock)
        self.consumer = Consumer()
        self.consumer.in_flight._visibility = visibility
        self.message = a_message("a", visibility=visibility, now=self.clock.now)
        self.consumer.in_flight.hold([self.message])
        self.extended_at: list[float] = []
        self.latest = -math.inf  # how long after its time the message was extended
        self.consumer.inbox.on_extend = self._note

    def run(self, seconds: float, *, beat: float = 0) -> list[float]:
        """The times at which visibility was extended."""
        over = FakeStop(self.clock)
        over.stop_after = self.clock.now + seconds
        began = self.clock.now
        self.consumer.loop(beat=beat)._heartbeat(over)  # type: ignore[arg-type]
        return [round(at - began, 3) for at in self.extended_at]

    def down(self) -> None:
        self.consumer.outage._note_down(LedgerDown("down"))

    def _note(self) -> None:
        self.extended_at.append(self.clock.now)
        self.latest = max(self.latest, self.consumer.in_flight.overdue(self.message))


class TestKeepingHidden:
    def test_a_beat_that_fails_is_counted_and_made_up_for_before_the_next_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beats = Beats(monkeypatch, 30)
        note, failures = beats._note, iter([RuntimeError("once")])

        def fail_once() -> None:
            note()
            if failure := next(failures, None):
                raise failure

        beats.consumer.inbox.on_extend = fail_once
        assert beats.run(25, beat=10) == [10, 15.5, 20]
        assert beats.consumer.tally["errors"] == 1

    @pytest.mark.parametrize("visibility", [2, 10, 30])
    def test_in_an_outage_what_is_in_hand_stays_hidden_without_a_beat(
        self, monkeypatch: pytest.MonkeyPatch, visibility: int
    ) -> None:
        beats = Beats(monkeypatch, visibility)
        beats.down()
        extended = beats.run(90)
        assert 90 / visibility <= len(extended) <= 90 / (visibility / 2)
        assert beats.latest < 0

    def test_without_an_outage_and_without_a_beat_nothing_is_extended(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beats = Beats(monkeypatch, 10)
        assert beats.run(60) == []

    def test_after_an_outage_nothing_more_is_extended(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beats = Beats(monkeypatch, 10)
        beats.down()
        count = len(beats.run(30))
        beats.consumer.outage._note_up()
        assert len(beats.run(30)) == count > 0

    @pytest.mark.parametrize("is_down", [False, True])
    def test_each_beat_extends_whether_it_is_due_or_not(
        self, monkeypatch: pytest.MonkeyPatch, is_down: bool
    ) -> None:
        beats = Beats(monkeypatch, 30)
        if is_down:
            beats.down()
        assert beats.run(21, beat=4) == [4, 8, 12, 16, 20]

    def test_a_beat_too_slow_for_an_outage_is_helped_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beats = Beats(monkeypatch, 4)
        beats.down()
        assert len(beats.run(20, beat=3.9)) > 20 / 4
        assert beats.latest < 0

    def test_what_arrived_late_does_not_wait_for_the_beat(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beats = Beats(monkeypatch, 6)
        beats.consumer.in_flight.drop([beats.message])
        beats.message = a_message("late", visibility=6, now=beats.clock.now - 4)
        beats.consumer.in_flight.hold([beats.message])
        assert beats.run(7, beat=2.9)[0] < 2
        assert beats.latest < 0

    def test_with_empty_hands_it_asks_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        beats = Beats(monkeypatch, 4)
        beats.down()
        beats.consumer.in_flight.drop([beats.message])
        assert beats.run(20, beat=1) == []


def wait_for_it(holds: Callable[[], object]) -> None:
    assert wait_until(holds)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def wait_for(event: threading.Event) -> bool:
    """Whether it comes in time; the fakes make its own `wait` return at once."""
    return wait_until(event.is_set)


def wait_until(holds: Callable[[], object]) -> bool:
    """Whether something comes true in time."""
    with ThreadPoolExecutor(1) as watch:
        return bool(watch.submit(_watch, holds).result(SECONDS))


def _watch(holds: Callable[[], object]) -> bool:
    pause = threading.Event()
    for _ in range(SECONDS * 200):
        if holds():
            return True
        pause.wait(0.005)
    return False
