"""Only what was completed is deleted, one message's trouble is its own, and calls are few."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from sqs_worker.deletes import Deletes
from sqs_worker.events import Tally
from sqs_worker.in_flight import Bounds, InFlight
from sqs_worker.message import Message
from sqs_worker.pipeline import FinishedIds, Pipeline
from sqs_worker.ports import Claim, Completion, Deletion, LedgerDown, Rejected
from support.fakes import FakeLedger, FakeQueue, FakeTime, Notes, a_message
from support.waiting import wait_for

VISIBILITY = 30


class Path:
    """A pipeline with everything it touches; `work` is what a test says for a message id."""

    def __init__(self, clock: FakeTime, commit_batch: int = 1, cache: int = 100) -> None:
        self.clock = clock
        self.inbox, self.ledger = FakeQueue(), FakeLedger()
        self.notes, self.tally = Notes(), Tally()
        self.in_flight = InFlight(self.inbox, Bounds(VISIBILITY), self.notes, self.tally)  # type: ignore[arg-type]
        self.deletes = Deletes(self.inbox, self.in_flight, self.notes, self.tally)  # type: ignore[arg-type]
        self.finished = FinishedIds(cache)
        self.worked: list[str] = []
        self.work: dict[str, Callable[[], object]] = {}
        self.pipeline = Pipeline(
            ledger=self.ledger,
            work=self._work,
            in_flight=self.in_flight,
            deletes=self.deletes,
            finished=self.finished,
            journal=self.notes,  # type: ignore[arg-type]
            tally=self.tally,
            commit_batch=commit_batch,
        )

    def run(self, *names: str) -> list[Message]:
        return self.run_on([self.delivery(name) for name in names])

    def run_on(self, batch: Sequence[Message]) -> list[Message]:
        assert self.in_flight.hold(batch) == batch
        self.pipeline.run(batch)
        return list(batch)

    def delivery(self, name: str, body: str = "{}") -> Message:
        return a_message(name, body=body, visibility=VISIBILITY, now=self.clock.now)

    def knows(self, name: str) -> bool:
        return self.finished.has(name, self.delivery(name).content)

    def _work(self, message: Message) -> None:
        self.worked.append(message.id)
        self.work.get(message.id, lambda: None)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    monkeypatch.setattr("sqs_worker.in_flight.time", clock)
    monkeypatch.setattr("sqs_worker.deletes.time", clock)
    return clock


@pytest.fixture
def path(clock: FakeTime) -> Path:
    return Path(clock)


def raising(error: Exception) -> Callable[[], object]:
    def work() -> None:
        raise error

    return work


class TestGoodCase:
    def test_a_message_is_claimed_worked_completed_and_deleted(self, path: Path) -> None:
        path.run("a")
        assert path.notes.of("a") == [
            "claimed",
            "work_started",
            "worked",
            "completed",
            "deleted",
        ]
        assert ("completed", "a", {"effect": True}) in path.notes.lines
        assert path.tally.items() == {"completed": 1}
        assert path.in_flight.held() == []

    @pytest.mark.parametrize(
        ("commit_batch", "completions"),
        [
            (1, [["a"], ["b"], ["c"], ["d"], ["e"]]),
            (2, [["a", "b"], ["c", "d"], ["e"]]),
            (10, [["a", "b", "c", "d", "e"]]),
        ],
    )
    def test_a_batch_is_one_claim_one_delete_and_completions_as_grouped(
        self, clock: FakeTime, commit_batch: int, completions: list[list[str]]
    ) -> None:
        path = Path(clock, commit_batch)
        path.run(*"abcde")
        assert path.ledger.asked("claim") == [list("abcde")]
        assert path.ledger.asked("complete") == completions
        assert path.ledger.asked("fail") == []
        assert path.inbox.deleted == list("abcde")

    def test_nothing_is_no_call(self, path: Path) -> None:
        path.run()
        assert path.ledger.calls == []


class TestAlreadyDone:
    def test_a_finished_id_is_deleted_without_another_call(self, path: Path) -> None:
        path.run("a")
        path.ledger.calls.clear()
        path.run("a")
        assert path.ledger.calls == []
        assert path.inbox.deleted == ["a", "a"]
        assert path.worked == ["a"]
        assert path.notes.of("a")[-2:] == ["cached", "deleted"]
        assert path.tally["already_done"] == 1

    def test_what_the_ledger_knows_as_done_is_deleted_and_remembered(self, path: Path) -> None:
        path.ledger.claims = {"a": Claim.ALREADY_DONE}
        path.run("a", "b")
        assert path.worked == ["b"]
        assert path.inbox.deleted == ["a", "b"]
        assert path.notes.of("a") == ["already_done", "deleted"]
        assert path.knows("a")

    def test_what_is_already_done_is_deleted_before_the_first_work(self, path: Path) -> None:
        path.run("cached")
        path.ledger.claims = {"done": Claim.ALREADY_DONE}
        deleted: list[list[str]] = []
        path.work["a"] = lambda: deleted.append(list(path.inbox.deleted))
        path.run("a", "done", "cached", "b")
        assert deleted == [["cached", "cached", "done"]]
        assert path.inbox.deleted == ["cached", "cached", "done", "a", "b"]

    def test_without_work_all_is_deleted_in_one_call(self, path: Path) -> None:
        calls: list[int] = []
        delete = path.inbox.delete
        path.inbox.delete = lambda batch: calls.append(len(batch)) or delete(batch)  # type: ignore[method-assign,assignment,func-returns-value]
        path.ledger.claims = dict.fromkeys("abc", Claim.ALREADY_DONE)
        path.run(*"abc")
        assert calls == [3]

    def test_what_was_given_back_meanwhile_is_not_deleted(self, path: Path) -> None:
        def claim(messages: Sequence[Message]) -> list[Claim]:
            path.in_flight.close()
            return [Claim.ALREADY_DONE] * len(messages)

        path.ledger.claim = claim  # type: ignore[method-assign]
        path.run("a", "b")
        assert path.inbox.released == ["a", "b"]
        assert path.inbox.deleted == []
        assert path.in_flight.held() == []

    def test_what_another_completed_first_is_deleted_and_not_an_effect(self, path: Path) -> None:
        path.ledger.completions = {"a": Completion.ALREADY_DONE}
        path.run("a")
        assert ("completed", "a", {"effect": False}) in path.notes.lines
        assert path.inbox.deleted == ["a"]
        assert path.tally.items() == {"already_done": 1}

    @pytest.mark.parametrize("cache", [0, 100])
    def test_two_copies_in_one_batch_are_worked_on_once(self, clock: FakeTime, cache: int) -> None:
        path = Path(clock, commit_batch=10, cache=cache)
        first, second = path.delivery("a"), path.delivery("a")
        path.ledger.claim = Remembering(path.ledger).claim  # type: ignore[method-assign]
        path.run_on([first, path.delivery("b"), second])
        assert path.worked == ["a", "b"]
        assert path.inbox.deleted == ["a", "b", "a"]
        assert path.in_flight.held() == []

    def test_a_second_copy_whose_first_failed_is_tried(self, path: Path) -> None:
        outcomes = iter([Rejected("no"), None])

        def work() -> None:
            error = next(outcomes)
            if error:
                raise error

        path.work["a"] = work
        path.run("a", "a")
        assert path.worked == ["a", "a"]
        assert path.inbox.deleted == ["a"]


class Remembering:
    """Claims as a ledger does that knows what was completed."""

    def __init__(self, ledger: FakeLedger) -> None:
        self._ledger = ledger

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        done = {name for ids in self._ledger.asked("complete") for name in ids}
        return [Claim.ALREADY_DONE if m.id in done else Claim.CLAIMED for m in messages]


class TestChangedPayload:
    """Another body under an id that is completed is another message: deleting it would lose it."""

    def test_one_without_a_business_key_is_counted_as_that(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The remedy is a key; an id of its own would not help it."""
        path.ledger.claims = {"a": Claim.CHANGED}
        path.run_on([replace(path.delivery("a"), unkeyed="order_id is missing")])
        assert path.tally.items() == {"no_key": 1}
        assert path.inbox.deleted == []
        assert "order_id is missing" in caplog.text

    def test_one_that_the_ledger_tells_apart_is_left_in_the_queue(self, path: Path) -> None:
        path.ledger.claims = {"a": Claim.CHANGED}
        path.run("a", "b")
        assert path.notes.of("a") == ["payload_changed"]
        assert path.worked == ["b"]
        assert path.inbox.deleted == ["b"]
        assert path.tally.items() == {"payload_changed": 1, "completed": 1}
        assert path.in_flight.held() == []
        assert path.inbox.released == []
        assert not path.knows("a")

    def test_one_that_was_overtaken_is_found_at_its_completion(self, path: Path) -> None:
        path.ledger.completions = {"a": Completion.CHANGED}
        path.run("a", "b")
        assert path.notes.of("a") == ["claimed", "work_started", "worked", "payload_changed"]
        assert path.inbox.deleted == ["b"]
        assert path.tally.items() == {"payload_changed": 1, "completed": 1}
        assert path.in_flight.held() == []
        assert not path.knows("a")

    def test_the_cache_answers_for_the_same_body_only(self, path: Path) -> None:
        path.run("a")
        path.ledger.claims = {"a": Claim.CHANGED}
        path.run_on([path.delivery("a", body="another"), path.delivery("a")])
        assert path.ledger.asked("claim") == [["a"], ["a"]]
        assert path.inbox.deleted == ["a", "a"]
        assert path.notes.of("a")[5:] == ["payload_changed", "cached", "deleted"]

    def test_the_cache_tells_two_bodies_apart_that_are_one_to_older_versions(
        self, path: Path
    ) -> None:
        path.run_on([path.delivery("a", body='{"a": 1}')])
        path.ledger.claims = {"a": Claim.CHANGED}
        same = path.delivery("a", body='{"a":1.0}')
        changed = replace(path.delivery("a", body='{"a": 2}'), digest=same.digest)
        path.run_on([same, changed])
        assert path.ledger.asked("claim") == [["a"], ["a"]]
        assert path.inbox.deleted == ["a", "a"]

    def test_of_two_bodies_in_one_batch_the_second_is_left(self, path: Path) -> None:
        def claim(messages: Sequence[Message]) -> list[Claim]:
            return [
                Claim.CHANGED if path.knows(m.id) and m.body != "{}" else Claim.CLAIMED
                for m in messages
            ]

        path.ledger.claim = claim  # type: ignore[method-assign]
        path.run_on([path.delivery("a"), path.delivery("a", body="another")])
        assert path.worked == ["a"]
        assert path.inbox.deleted == ["a"]
        assert path.tally.items() == {"payload_changed": 1, "completed": 1}

    @pytest.mark.parametrize("where", ["claims", "completions"])
    def test_the_warning_says_what_what_next_and_what_to_do(
        self, path: Path, caplog: pytest.LogCaptureFixture, where: str
    ) -> None:
        answer = Claim.CHANGED if where == "claims" else Completion.CHANGED
        setattr(path.ledger, where, {"a": answer})
        path.run("a")
        (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        text = record.getMessage()
        assert "message a (MessageId sqs-a)" in text
        assert "another body" in text
        assert "not deleted and ends in the DLQ" in text
        assert "send it again under an id of its own" in text


class TestUnsure:
    def test_a_claim_that_is_not_sure_leaves_the_message_alone(self, path: Path) -> None:
        path.ledger.claims = {"a": Claim.UNKNOWN}
        path.run("a", "b")
        assert path.worked == ["b"]
        assert path.inbox.deleted == ["b"]
        assert path.notes.of("a") == ["claim_unknown"]
        assert path.tally["unknown"] == 1
        assert path.in_flight.held() == []

    def test_a_completion_that_is_not_sure_is_never_deleted(self, path: Path) -> None:
        path.ledger.completions = {"b": Completion.UNKNOWN}
        path.run("a", "b", "c")
        assert path.inbox.deleted == ["a", "c"]
        assert path.notes.of("b")[-1] == "complete_unknown"
        assert path.tally.items() == {"completed": 2, "unknown": 1}
        assert not path.knows("b")
        assert path.in_flight.held() == []

    @pytest.mark.parametrize("operation", ["claim", "complete"])
    def test_a_ledger_that_is_down_deletes_nothing(self, path: Path, operation: str) -> None:
        path.ledger.down = {operation}
        with pytest.raises(LedgerDown):
            path.run("a", "b")
        assert path.inbox.deleted == []
        assert not path.knows("a")

    def test_what_was_done_before_the_ledger_went_down_is_deleted(self, path: Path) -> None:
        path.ledger.claims = {"done": Claim.ALREADY_DONE}
        path.work["b"] = lambda: path.ledger.down.add("complete")
        with pytest.raises(LedgerDown):
            path.run("done", "a", "b", "c")
        assert path.inbox.deleted == ["done", "a"]
        assert sorted(message.id for message in path.in_flight.held()) == ["b", "c"]

    def test_a_delete_that_is_not_sure_stays_open_and_delays_no_other(self, path: Path) -> None:
        path.inbox.deletions = {"a": Deletion.UNKNOWN}
        path.run("a", "b")
        assert path.notes.of("a")[-1] == "completed"
        assert path.notes.of("b")[-1] == "deleted"
        assert path.deletes.open == 1
        assert path.in_flight.held() == []

    def test_an_error_in_the_path_itself_still_deletes_only_what_was_done(self, path: Path) -> None:
        path.work["b"] = lambda: setattr(path.ledger, "complete", None)
        with pytest.raises(TypeError):
            path.run("a", "b")
        assert path.inbox.deleted == ["a"]


class TestFailures:
    def test_a_rejected_message_is_recorded_and_stays(self, path: Path) -> None:
        path.work["a"] = raising(Rejected("poison"))
        path.run("a", "b")
        assert path.notes.of("a") == ["claimed", "work_started", "rejected", "failed"]
        assert ("rejected", "a", {"reason": "poison"}) in path.notes.lines
        assert path.ledger.failed == [("a", "rejected: poison")]
        assert path.inbox.deleted == ["b"]
        assert path.tally.items() == {"completed": 1, "failed": 1}
        assert path.in_flight.held() == []
        assert not path.knows("a")

    @pytest.mark.parametrize(
        "error",
        [ValueError("bad"), KeyError("x"), RecursionError(), MemoryError(), OSError("disk")],
    )
    def test_no_error_of_the_work_stops_the_batch(self, path: Path, error: Exception) -> None:
        path.work["a"] = raising(error)
        path.run("a", "b")
        assert path.notes.of("a")[-2:] == ["work_failed", "failed"]
        ((name, reason),) = path.ledger.failed
        assert name == "a"
        assert reason == f"{type(error).__name__}: {error}"
        assert path.inbox.deleted == ["b"]

    def test_work_that_did_not_outlast_an_outage_of_its_tables_has_not_failed(
        self, path: Path
    ) -> None:
        path.work["a"] = raising(LedgerDown("gave up"))
        path.run("a", "b")
        assert path.notes.of("a") == ["claimed", "work_started", "released"]
        assert path.inbox.released == ["a"]
        assert path.ledger.failed == []
        assert path.inbox.deleted == ["b"]
        assert "failed" not in path.tally.items()
        assert path.in_flight.held() == []

    def test_the_failures_of_a_batch_are_recorded_in_one_call(self, clock: FakeTime) -> None:
        path = Path(clock, commit_batch=10)
        path.work = {name: raising(Rejected("no")) for name in "ace"}
        path.run(*"abcde")
        assert path.ledger.asked("fail") == [["a", "c", "e"]]
        assert path.ledger.asked("complete") == [["b", "d"]]
        assert path.inbox.deleted == ["b", "d"]

    def test_a_failure_that_a_later_delivery_overtook_is_not_journalled(self, path: Path) -> None:
        path.work = {name: raising(Rejected("no")) for name in "ab"}
        path.ledger.unrecorded = {"a"}
        path.run("a", "b")
        assert path.notes.of("a") == ["claimed", "work_started", "rejected"]
        assert path.notes.of("b")[-1] == "failed"
        assert path.ledger.failed == [("b", "rejected: no")]
        assert path.tally["failed"] == 2
        assert path.inbox.deleted == []

    def test_a_failure_that_cannot_be_recorded_loses_nothing(self, path: Path) -> None:
        path.work["a"] = raising(Rejected("no"))
        path.ledger.down = {"fail"}
        path.run("a", "b")
        assert path.inbox.deleted == ["b"]
        assert "failed" not in path.notes.of("a")
        assert path.tally["failed"] == 1


class TestStop:
    def test_what_a_stop_gave_back_meanwhile_is_not_begun(self, path: Path) -> None:
        path.work["a"] = path.in_flight.close
        path.run("a", "b", "c")
        assert path.worked == ["a"]
        assert path.inbox.released == ["b", "c"]
        assert path.inbox.deleted == ["a"]

    def test_copies_that_it_gave_back_are_not_claimed_in_a_later_wave(
        self, clock: FakeTime
    ) -> None:
        path = Path(clock, cache=0)
        path.work["a"] = path.in_flight.close
        path.run("a", "a", "b", "a")
        assert path.ledger.asked("claim") == [["a", "b"]]
        assert path.inbox.released == ["a", "b", "a"]

    def test_what_it_gave_back_before_the_first_claim_is_not_claimed(self, path: Path) -> None:
        batch = [path.delivery("a"), path.delivery("b")]
        path.in_flight.hold(batch)
        path.in_flight.give_back(batch[:1], "shutdown")
        path.pipeline.run(batch)
        assert path.ledger.asked("claim") == [["b"]]


class TestTime:
    def test_a_completion_does_not_wait_for_others_past_half_its_time(
        self, clock: FakeTime
    ) -> None:
        path = Path(clock, commit_batch=10)
        path.work["b"] = lambda: setattr(clock, "now", clock.now + VISIBILITY / 2 + 1)
        path.run(*"abc")
        assert path.ledger.asked("complete") == [["a", "b"], ["c"]]
        assert path.notes.names.index("deleted") < path.notes.lines.index(("work_started", "c", {}))

    @pytest.mark.parametrize(
        ("commit_batch", "first"), [(1, ["completed"]), (10, ["completed", "deleted"])]
    )
    def test_what_is_due_is_settled_while_a_neighbor_works(
        self, clock: FakeTime, commit_batch: int, first: list[str]
    ) -> None:
        """Whether its completion waits for its group, or only its delete for its batch."""
        path = Path(clock, commit_batch)

        def work_on() -> None:
            assert path.notes.of("a")[3:] == first[: commit_batch == 1]
            clock.now += VISIBILITY / 2 + 1
            path.pipeline.settle_due()
            wait_for(lambda: path.notes.of("a")[3:] == ["completed", "deleted"])
            path.pipeline.settle_due()

        path.work["b"] = work_on
        path.run("a", "b")
        assert path.ledger.asked("complete") == [["a"], ["b"]]
        assert path.inbox.deleted == ["a", "b"]
        assert path.in_flight.held() == []

    def test_before_that_nothing_is_settled_early(self, clock: FakeTime) -> None:
        path = Path(clock, commit_batch=10)

        def work_on() -> None:
            clock.now += VISIBILITY / 2 - 1
            before = threading.active_count()
            path.pipeline.settle_due()
            assert threading.active_count() == before

        path.work["b"] = work_on
        path.run("a", "b")
        assert path.ledger.asked("complete") == [["a", "b"]]

    def test_an_outage_of_it_delays_neither_the_work_nor_a_heartbeat(self, clock: FakeTime) -> None:
        path = Path(clock, commit_batch=10)
        answers, complete = threading.Event(), path.ledger.complete

        def complete_late(messages: Sequence[Message]) -> list[Completion]:
            assert messages[0].id != "a" or answers.wait(5)
            return complete(messages)

        def work_on() -> None:
            clock.now += VISIBILITY / 2 + 1
            path.pipeline.settle_due()
            path.in_flight.extend()
            assert sorted(path.inbox.extended[0][0]) == ["a", "b", "c"]

        path.ledger.complete = complete_late  # type: ignore[method-assign]
        path.work = {"b": work_on, "c": answers.set}
        path.run("a", "b", "c")
        assert path.worked == ["a", "b", "c"]
        assert path.ledger.asked("complete") == [["a"], ["b", "c"]]
        assert path.inbox.deleted == ["a", "b", "c"]

    def test_a_ledger_that_stays_down_gives_back_what_was_due_and_the_rest_goes_on(
        self, clock: FakeTime
    ) -> None:
        path = Path(clock, commit_batch=10)

        def work_on() -> None:
            clock.now += VISIBILITY / 2 + 1
            path.ledger.down = {"complete"}
            path.pipeline.settle_due()
            wait_for(lambda: path.inbox.released == ["a"])
            path.ledger.down = set()

        path.work["b"] = work_on
        path.run("a", "b")
        assert path.notes.of("a")[-1] == "released"
        assert path.inbox.deleted == ["b"]
        assert not path.knows("a")

    def test_a_bug_in_it_is_raised_by_the_lane(self, clock: FakeTime) -> None:
        path = Path(clock, commit_batch=10)

        def work_on() -> None:
            clock.now += VISIBILITY / 2 + 1
            path.ledger.completions = None  # type: ignore[assignment]
            path.pipeline.settle_due()
            wait_for(lambda: path.ledger.asked("complete"))
            path.ledger.completions = {}

        path.work["b"] = work_on
        with pytest.raises(AttributeError):
            path.run("a", "b")
        assert path.inbox.deleted == ["b"]

    def test_a_lane_that_breaks_off_waits_for_it(self, clock: FakeTime) -> None:
        path = Path(clock, commit_batch=10)
        complete, begun = path.ledger.complete, threading.Event()

        def complete_late(messages: Sequence[Message]) -> list[Completion]:
            begun.set()
            time.sleep(0.1)
            return complete(messages)

        def break_off() -> None:
            clock.now += VISIBILITY / 2 + 1
            path.pipeline.settle_due()
            assert begun.wait(5)
            raise SystemExit

        path.ledger.complete = complete_late  # type: ignore[method-assign]
        path.work["b"] = break_off
        with pytest.raises(SystemExit):
            path.run("a", "b")
        assert path.notes.of("a")[-1] == "deleted"

    def test_nothing_is_settled_twice_however_often_it_is_looked_for(self, clock: FakeTime) -> None:
        path = Path(clock, commit_batch=3)
        over = threading.Event()
        path.in_flight.is_due = bool  # type: ignore[method-assign,assignment]

        def look() -> None:
            while not over.is_set():
                path.pipeline.settle_due()

        names = [f"m-{number}" for number in range(60)]
        path.work = dict.fromkeys(names, lambda: time.sleep(0.001))
        watch = threading.Thread(target=look)
        watch.start()
        try:
            for start in range(0, 60, 10):
                path.run(*names[start : start + 10])
        finally:
            over.set()
            watch.join()
        assert sorted(n for call in path.ledger.asked("complete") for n in call) == sorted(names)
        assert sorted(path.inbox.deleted) == sorted(names)
        assert path.tally["completed"] == 60

    def test_a_late_finish_is_counted_and_explained(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path.work["a"] = lambda: setattr(path.clock, "now", path.clock.now + VISIBILITY + 3)
        path.run("a")
        assert path.tally["late_finishes"] == 1
        (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert "message a " in record.getMessage()
        assert "3.0 s after its visibility timeout expired" in record.getMessage()

    def test_a_stale_handle_is_counted_and_a_warning(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path.inbox.deletions = {"a": Deletion.STALE}
        path.run("a", "b")
        assert path.notes.of("a")[-1] == "delete_stale"
        assert path.tally["stale_deletes"] == 1
        assert path.in_flight.held() == []
        (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert "message a " in record.getMessage()
        assert "receipt handle has expired" in record.getMessage()
