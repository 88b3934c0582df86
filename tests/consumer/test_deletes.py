"""A delete that SQS did not confirm is tried again while that can help, and no longer."""

import logging
from itertools import pairwise

import pytest

from sqs_worker.deletes import LONGEST_PAUSE, Deletes
from sqs_worker.events import Tally
from sqs_worker.in_flight import Bounds, InFlight
from sqs_worker.message import Message
from sqs_worker.ports import Deletion
from support.fakes import FakeQueue, FakeTime, Notes, a_message

VISIBILITY = 30


class Bench:
    """Deletes with everything they touch; `answers` are given to one try after the other."""

    def __init__(self, clock: FakeTime) -> None:
        self.clock = clock
        self.inbox, self.notes, self.tally = FakeQueue(), Notes(), Tally()
        self.in_flight = InFlight(self.inbox, Bounds(VISIBILITY), self.notes, self.tally)  # type: ignore[arg-type]
        self.deletes = Deletes(self.inbox, self.in_flight, self.notes, self.tally)  # type: ignore[arg-type]

    def delete(self, *names: str, answer: Deletion = Deletion.UNKNOWN) -> list[Message]:
        messages = [a_message(name, visibility=VISIBILITY, now=self.clock.now) for name in names]
        self.in_flight.hold(messages)
        for message in messages:
            self.in_flight.start(message)
        self.answer(answer, *names)
        self.deletes.delete(messages)
        return messages

    def answer(self, answer: Deletion, *names: str) -> None:
        self.inbox.deletions |= dict.fromkeys(names, answer)

    def run(self, seconds: float) -> list[float]:
        """The times of the tries in so many seconds."""
        began, tries = self.clock.now, []
        while self.clock.now < began + seconds:
            before = len(self.inbox.deleted)
            self.deletes.retry()
            tries += [self.clock.now - began] * (len(self.inbox.deleted) - before)
            self.clock.now += 0.1
        return tries


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    clock = FakeTime()
    monkeypatch.setattr("sqs_worker.in_flight.time", clock)
    monkeypatch.setattr("sqs_worker.deletes.time", clock)
    return Bench(clock)


def test_a_confirmed_delete_is_the_end_of_it(bench: Bench) -> None:
    bench.delete("a", answer=Deletion.DELETED)
    assert bench.run(60) == []
    assert bench.notes.of("a") == ["deleted"]
    assert (bench.deletes.open, bench.in_flight.held()) == (0, [])


@pytest.mark.parametrize("failures", [1, 2, 5])
def test_one_that_fails_for_a_while_is_tried_until_it_succeeds(
    bench: Bench, failures: int, caplog: pytest.LogCaptureFixture
) -> None:
    bench.delete("a", "b")
    bench.answer(Deletion.DELETED, "b")
    for _ in range(10 * VISIBILITY):
        if len(bench.inbox.deleted) < 2 + failures:
            bench.run(0.1)
    bench.answer(Deletion.DELETED, "a")
    bench.run(VISIBILITY)
    assert bench.notes.of("a") == bench.notes.of("b") == ["deleted"]
    assert bench.deletes.open == 0
    assert bench.tally.items() == {}
    (record,) = caplog.records
    assert "the delete of 2 completed messages, the first is a" in record.getMessage()


def test_the_tries_grow_rarer_and_end_with_the_visibility_timeout(bench: Bench) -> None:
    bench.delete("a")
    tries = bench.run(3 * VISIBILITY)
    assert 6 <= len(tries) <= 20
    assert tries[-1] == pytest.approx(VISIBILITY, abs=0.2)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert max(gaps) <= LONGEST_PAUSE + 0.2
    assert gaps[0] < 1
    assert bench.notes.of("a") == ["delete_unknown"]
    assert bench.tally.items() == {"unknown": 1}
    assert bench.deletes.open == 0


def test_one_whose_time_is_over_already_is_still_tried_again(bench: Bench) -> None:
    """A delete with an old handle may succeed, and can do no harm."""
    message = a_message("a", visibility=VISIBILITY, now=bench.clock.now - 2 * VISIBILITY)
    bench.answer(Deletion.UNKNOWN, "a")
    bench.deletes.delete([message])
    tries = bench.run(VISIBILITY)
    assert len(tries) > 1
    assert tries[-1] <= LONGEST_PAUSE + 0.2
    assert bench.deletes.open == 0


@pytest.mark.parametrize("answer", [Deletion.DELETED, Deletion.STALE])
def test_an_answer_ends_it_and_a_late_one_is_told(
    bench: Bench, answer: Deletion, caplog: pytest.LogCaptureFixture
) -> None:
    bench.delete("a")
    bench.clock.now += VISIBILITY + 2
    bench.answer(answer, "a")
    bench.deletes.retry()
    assert bench.notes.of("a") == [answer.value]
    assert bench.tally["late_finishes"] == 1
    assert bench.tally["stale_deletes"] == (answer is Deletion.STALE)
    assert "2.0 s after its visibility timeout expired" in caplog.text


def test_a_stale_handle_is_not_tried_again(bench: Bench) -> None:
    bench.delete("a", answer=Deletion.STALE)
    assert bench.run(60) == []


def test_its_deadline_is_the_extended_one(bench: Bench) -> None:
    messages = [a_message("a", visibility=VISIBILITY, now=bench.clock.now)]
    bench.in_flight.hold(messages)
    bench.in_flight.start(messages[0])
    bench.clock.now += VISIBILITY - 1
    bench.in_flight.extend()
    bench.answer(Deletion.UNKNOWN, "a")
    bench.deletes.delete(messages)
    assert bench.run(60)[-1] == pytest.approx(VISIBILITY, abs=0.2)


def test_what_is_open_is_neither_extended_nor_given_back(bench: Bench) -> None:
    messages = bench.delete("a")
    bench.in_flight.extend()
    bench.in_flight.give_back(messages, "outage")
    bench.in_flight.close()
    assert bench.inbox.extended == []
    assert bench.inbox.released == []


def test_a_stop_tries_once_more_and_no_longer(bench: Bench) -> None:
    bench.delete("a")
    bench.deletes.hurry(bench.clock.now + 6)
    tries = bench.run(VISIBILITY)
    assert tries[-1] == pytest.approx(6, abs=0.2)
    assert bench.notes.of("a") == ["delete_unknown"]
    assert bench.deletes.open == 0


def test_what_is_being_tried_is_not_tried_twice(bench: Bench) -> None:
    bench.delete("a")
    bench.clock.now += LONGEST_PAUSE
    delete, calls = bench.inbox.delete, []

    def delete_slowly(messages: list[Message]) -> list[Deletion]:
        calls.append(len(messages))
        bench.deletes.retry()
        return delete(messages)

    bench.inbox.delete = delete_slowly  # type: ignore[method-assign,assignment]
    bench.deletes.retry()
    assert calls == [1]


def test_the_warning_says_what_happens_next(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.delete("a")
    bench.run(2 * VISIBILITY)
    first, last = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "tried again until their visibility timeout expires" in first
    assert "if the message is redelivered, the work is skipped" in last
