"""What is given back cannot be started, and what is started cannot be given back."""

import logging
from collections.abc import Callable
from threading import Lock, Thread

import pytest

from sqs_worker.events import Tally
from sqs_worker.in_flight import Bounds, InFlight
from sqs_worker.variables import LONGEST_VISIBILITY
from support.fakes import FakeQueue, FakeTime, Notes, a_message

VISIBILITY = 30


class Hands:
    """InFlight with everything they touch, on a clock that stands still."""

    def __init__(self, clock: FakeTime) -> None:
        self.clock = clock
        self.inbox, self.notes, self.tally = FakeQueue(), Notes(), Tally()
        self.bound_by(Bounds(VISIBILITY))

    def bound_by(self, bounds: Bounds) -> None:
        self.in_flight = InFlight(self.inbox, bounds, self.notes, self.tally)  # type: ignore[arg-type]

    def take(self, *names: str, started: str = "") -> list:
        """Hold a delivery for each name; those in `started` are in work."""
        messages = [a_message(name, visibility=VISIBILITY, now=self.clock.now) for name in names]
        assert self.in_flight.hold(messages)
        for message in messages:
            if message.id in started:
                assert self.in_flight.start(message)
        return messages

    @property
    def held(self) -> list[str]:
        return sorted(message.id for message in self.in_flight.held())


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    clock = FakeTime()
    monkeypatch.setattr("sqs_worker.in_flight.time", clock)
    return Hands(clock)


class TestStartAndStop:
    def test_what_is_held_can_be_started_once(self, hands: Hands) -> None:
        (message,) = hands.take("a")
        assert hands.in_flight.start(message)
        assert not hands.in_flight.start(message)

    def test_a_stop_gives_back_what_is_not_begun(self, hands: Hands) -> None:
        _, b, c = hands.take("a", "b", "c", started="a")
        hands.in_flight.close()
        assert hands.inbox.released == ["b", "c"]
        assert hands.tally["released"] == 2
        assert hands.notes.lines == [
            ("released", "b", {"reason": "shutdown"}),
            ("released", "c", {"reason": "shutdown"}),
        ]
        assert not hands.in_flight.start(b)
        assert not hands.in_flight.start(c)
        assert hands.held == ["a"]

    def test_after_a_stop_nothing_is_held_but_given_back(self, hands: Hands) -> None:
        hands.in_flight.close()
        late = [a_message("late"), a_message("later")]
        assert not hands.in_flight.hold(late)
        assert hands.held == []
        assert hands.inbox.released == ["late", "later"]
        assert hands.tally["released"] == 2
        assert ("released", "late", {"reason": "shutdown"}) in hands.notes.lines
        assert not hands.in_flight.start(late[0])

    def test_nothing_is_given_back_twice(self, hands: Hands) -> None:
        messages = hands.take("a", "b", "c", started="a")
        hands.in_flight.give_back(messages[:2], "outage")
        hands.in_flight.give_back(messages, "outage")
        hands.in_flight.close()
        hands.in_flight.close()
        hands.in_flight.give_back(messages, "shutdown")
        assert hands.inbox.released == ["a", "b", "c"]
        assert hands.tally["released"] == 3

    def test_what_is_finished_is_not_given_back(self, hands: Hands) -> None:
        messages = hands.take("a", "b", started="a")
        hands.in_flight.drop(messages[:1])
        hands.in_flight.give_back(messages, "outage")
        assert hands.inbox.released == ["b"]

    def test_a_stop_and_a_lane_that_give_back_at_once_give_back_once(self, hands: Hands) -> None:
        messages = hands.take("a", "b")
        # The lane gives back at the worst moment: when the stop lets go of the lock at first.
        hands.in_flight._lock = LetIn(lambda: hands.in_flight.give_back(messages, "outage"))  # type: ignore[assignment]
        hands.in_flight.close()
        assert sorted(hands.inbox.released) == ["a", "b"]

    def test_a_stop_with_empty_hands_asks_nothing(self, hands: Hands) -> None:
        hands.take("a", started="a")
        hands.in_flight.close()
        assert hands.inbox.released == []

    def test_what_a_lane_begins_while_a_stop_gives_back_is_not_given_back(
        self, hands: Hands
    ) -> None:
        (message,) = hands.take("a")
        began: list[bool] = []
        # The lane runs at the worst moment: when the stop lets go of the lock for the first time.
        hands.in_flight._lock = LetIn(lambda: began.append(hands.in_flight.start(message)))  # type: ignore[assignment]
        hands.in_flight.close()
        assert began == [hands.inbox.released == []]

    def test_what_is_dropped_is_forgotten(self, hands: Hands) -> None:
        messages = hands.take("a", "b", started="a")
        hands.in_flight.drop(messages)
        assert hands.held == []
        hands.in_flight.close()
        assert hands.inbox.released == []

    def test_a_release_that_sqs_refuses_is_not_counted(self, hands: Hands) -> None:
        hands.take("a", "b")
        hands.inbox.refusing = {"a"}
        hands.in_flight.close()
        assert hands.tally["released"] == 1
        assert hands.notes.of("a") == []

    def test_what_was_given_back_is_never_hidden_again(self, hands: Hands) -> None:
        hands.take("a")
        hands.in_flight.close()
        hands.clock.now += VISIBILITY
        hands.in_flight.keep()
        hands.in_flight.extend()
        assert hands.inbox.extended == []

    def test_giving_back_waits_for_an_extension_that_is_on_its_way(self, hands: Hands) -> None:
        (message,) = hands.take("a")
        order: list[str] = []
        stop = Thread(target=hands.in_flight.give_back, args=([message], "shutdown"))

        def while_extending() -> None:
            stop.start()
            # The stop forgets the message first, then waits for us.
            while hands.in_flight.held():
                pass
            order.append("extended")

        hands.inbox.on_extend = while_extending
        hands.inbox.on_release = lambda: order.append("released")
        hands.in_flight.extend()
        stop.join(5)
        assert order == ["extended", "released"]


class LetIn:
    """A lock that lets somebody else in when it is opened for the first time."""

    def __init__(self, somebody: Callable[[], object]) -> None:
        self._lock = Lock()
        self._somebody: Callable[[], object] | None = somebody

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        somebody, self._somebody = self._somebody, None
        if somebody:
            somebody()


class TestExtend:
    def test_it_extends_all_that_is_in_hand(self, hands: Hands) -> None:
        (a, _) = hands.take("a", "b", started="a")
        hands.clock.now += 10
        hands.in_flight.extend()
        ((names, seconds),) = hands.inbox.extended
        assert sorted(names) == ["a", "b"]
        assert seconds == VISIBILITY
        assert hands.in_flight.overdue(a) == -VISIBILITY
        assert {about for event, about, _ in hands.notes.lines if event == "extended"} == {"a", "b"}

    def test_its_time_counts_from_the_sending(self, hands: Hands) -> None:
        (message,) = hands.take("a")
        hands.inbox.on_extend = lambda: setattr(hands.clock, "now", hands.clock.now + 4)
        hands.in_flight.extend()
        assert hands.in_flight.overdue(message) == 4 - VISIBILITY

    def test_what_expires_first_goes_first_and_what_is_gone_meanwhile_does_not_go(
        self, hands: Hands
    ) -> None:
        later = hands.take(*(f"later-{number}" for number in range(12)))
        hands.clock.now += 10
        hands.in_flight.extend()
        hands.in_flight.hold([a_message("soon", visibility=VISIBILITY, now=hands.clock.now - 1)])
        hands.inbox.extended.clear()
        hands.inbox.on_extend = lambda: hands.in_flight.drop(later)
        hands.in_flight.extend()
        ((names, _),) = hands.inbox.extended
        assert names[0] == "soon"
        assert len(names) == 10

    def test_with_empty_hands_it_asks_nothing(self, hands: Hands) -> None:
        hands.in_flight.extend()
        hands.in_flight.keep()
        assert hands.inbox.extended == []

    def test_keep_waits_until_half_the_time_is_used(self, hands: Hands) -> None:
        hands.take("a")
        hands.clock.now += VISIBILITY / 2
        hands.in_flight.keep()
        assert hands.inbox.extended == []
        hands.clock.now += 0.1
        hands.in_flight.keep()
        hands.in_flight.keep()
        assert len(hands.inbox.extended) == 1

    def test_nothing_is_hidden_for_more_than_12_hours_in_all(self, hands: Hands) -> None:
        hands.take("old")
        hands.clock.now += LONGEST_VISIBILITY - VISIBILITY
        hands.take("new")
        hands.in_flight.extend()
        hands.clock.now += 1
        hands.in_flight.extend()
        assert [sorted(names) for names, _ in hands.inbox.extended] == [["new", "old"], ["new"]]

    def test_a_refusal_after_the_visibility_ran_out_is_a_warning(
        self, hands: Hands, caplog: pytest.LogCaptureFixture
    ) -> None:
        hands.take("a", "b", started="a")
        hands.inbox.refusing = {"a"}
        hands.clock.now += VISIBILITY + 1
        hands.in_flight.extend()
        assert hands.tally["extend_refused"] == 1
        assert hands.notes.of("a") == ["extend_refused"]
        assert hands.notes.of("b") == ["extended"]
        (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert "message a" in record.getMessage()

    def test_what_is_lost_is_warned_of_once_and_then_left_out(
        self, hands: Hands, caplog: pytest.LogCaptureFixture
    ) -> None:
        messages = hands.take("a", "b", started="a")
        hands.inbox.refusing = {"a"}
        hands.clock.now += VISIBILITY + 1
        for _ in range(3):
            hands.in_flight.extend()
        assert [sorted(names) for names, _ in hands.inbox.extended] == [["a", "b"], ["b"], ["b"]]
        assert hands.tally["extend_refused"] == 1
        assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
        hands.in_flight.drop(messages[1:])
        hands.in_flight.keep()
        hands.in_flight.extend()
        assert len(hands.inbox.extended) == 3
        assert hands.in_flight.overdue(messages[0]) == 1

    def test_what_is_lost_does_not_hurry_the_keeping_of_others(self, hands: Hands) -> None:
        hands.take("lost", started="lost")
        hands.inbox.refusing = {"lost"}
        hands.clock.now += VISIBILITY + 1
        hands.in_flight.keep()
        hands.take("b")
        hands.in_flight.keep()
        assert [names for names, _ in hands.inbox.extended] == [["lost"]]

    def test_what_was_hidden_for_12_hours_does_not_hurry_it_either(self, hands: Hands) -> None:
        hands.take("old")
        hands.clock.now += LONGEST_VISIBILITY - VISIBILITY + 1
        hands.take("new")
        hands.in_flight.keep()
        assert hands.inbox.extended == []

    def test_a_later_delivery_of_what_was_lost_is_extended(self, hands: Hands) -> None:
        lost = hands.take("a", started="a")
        hands.inbox.refusing = {"a"}
        hands.clock.now += VISIBILITY + 1
        hands.in_flight.extend()
        hands.in_flight.drop(lost)
        hands.inbox.refusing = set()
        hands.take("a")
        hands.in_flight.extend()
        assert hands.notes.of("a") == ["extend_refused", "extended"]

    def test_a_refusal_before_that_will_be_tried_again(self, hands: Hands) -> None:
        hands.take("a")
        hands.inbox.refusing = {"a"}
        hands.clock.now += VISIBILITY / 2 + 1
        for _ in range(100):  # a call for each look would hammer a queue that is down
            hands.in_flight.keep()
        assert len(hands.inbox.extended) == 1
        assert hands.tally["extend_refused"] == 0
        hands.inbox.refusing = set()
        hands.clock.now += VISIBILITY / 10
        hands.in_flight.keep()
        assert hands.notes.of("a") == ["extended"]

    def test_a_message_that_was_finished_meanwhile_is_no_refusal(
        self, hands: Hands, caplog: pytest.LogCaptureFixture
    ) -> None:
        messages = hands.take("a", started="a")
        hands.clock.now += VISIBILITY - 1
        hands.in_flight.extend()
        hands.clock.now += VISIBILITY - 1
        # Its lane deletes it while the heartbeat's call is on its way.
        hands.inbox.on_extend = lambda: hands.in_flight.drop(messages)
        hands.inbox.refusing = {"a"}
        hands.in_flight.extend()
        assert hands.tally["extend_refused"] == 0
        assert hands.notes.of("a") == ["extended"]
        assert caplog.records == []


class TestLimit:
    LIMIT = 100

    @pytest.fixture(autouse=True)
    def limit(self, hands: Hands) -> None:
        hands.bound_by(Bounds(VISIBILITY, self.LIMIT))

    def test_up_to_the_limit_it_is_extended_and_not_beyond(self, hands: Hands) -> None:
        hands.take("hangs", started="hangs")
        hands.clock.now += self.LIMIT
        hands.in_flight.extend()
        hands.clock.now += 0.1
        hands.in_flight.extend()
        assert [names for names, _ in hands.inbox.extended] == [["hangs"]]
        assert hands.notes.of("hangs") == ["extended", "extend_ended"]

    def test_the_end_is_said_once(self, hands: Hands, caplog: pytest.LogCaptureFixture) -> None:
        hands.take("hangs", started="hangs")
        hands.clock.now += self.LIMIT + 1
        for _ in range(3):
            hands.in_flight.extend()
            hands.in_flight.keep()
        assert hands.notes.lines == [("extend_ended", "hangs", {"seconds": self.LIMIT})]
        assert hands.tally["extend_ended"] == 1
        (record,) = caplog.records
        assert "message hangs is still in work 100 s after its receive" in record.getMessage()
        assert "HEARTBEAT_LIMIT_SECONDS" in record.getMessage()

    def test_what_waits_behind_it_is_given_back(self, hands: Hands) -> None:
        _, waiting = hands.take("hangs", "waiting", started="hangs")
        hands.clock.now += self.LIMIT + 1
        hands.in_flight.extend()
        assert hands.inbox.released == ["waiting"]
        assert hands.notes.lines[0] == ("released", "waiting", {"reason": "limit"})
        assert not hands.in_flight.start(waiting)

    def test_what_waits_there_for_the_last_time_is_kept_hidden_and_worked_on(
        self, hands: Hands
    ) -> None:
        """Given back, or left to its visibility timeout, it would go to the DLQ untouched."""
        hands.bound_by(Bounds(VISIBILITY, self.LIMIT, max_receives=2))
        last = a_message("last", visibility=VISIBILITY, now=hands.clock.now, receive_count=2)
        hands.take("hangs", started="hangs")
        assert hands.in_flight.hold([last])
        hands.clock.now += self.LIMIT + 1
        hands.in_flight.extend()
        assert hands.inbox.released == []
        assert [names for names, _ in hands.inbox.extended] == [["last"]]
        assert hands.in_flight.start(last)
        hands.clock.now += self.LIMIT
        hands.in_flight.extend()
        hands.clock.now += 1
        hands.in_flight.extend()
        assert len(hands.inbox.extended) == 2, "its limit counts from the start of its work"
        assert hands.notes.of("last") == ["extended", "extended", "extend_ended"]

    def test_even_that_ends_with_the_12_hours_of_sqs(self, hands: Hands) -> None:
        hands.bound_by(Bounds(VISIBILITY, self.LIMIT, max_receives=2))
        last = a_message("last", visibility=VISIBILITY, now=hands.clock.now, receive_count=2)
        assert hands.in_flight.hold([last])
        hands.clock.now += LONGEST_VISIBILITY - VISIBILITY + 1
        hands.in_flight.extend()
        assert hands.inbox.extended == []

    def test_each_message_has_its_own(self, hands: Hands) -> None:
        hands.take("hangs", started="hangs")
        hands.clock.now += self.LIMIT + 1
        hands.take("new", started="new")
        hands.in_flight.extend()
        assert [names for names, _ in hands.inbox.extended] == [["new"]]

    def test_a_late_finish_is_overdue_and_its_next_delivery_is_extended(self, hands: Hands) -> None:
        late = hands.take("hangs", started="hangs")
        hands.clock.now += self.LIMIT + 1
        hands.in_flight.extend()
        assert hands.in_flight.overdue(late[0]) > 0
        hands.in_flight.drop(late)
        hands.take("hangs", started="hangs")
        hands.in_flight.extend()
        assert hands.notes.of("hangs") == ["extend_ended", "extended"]


class TestLastReceive:
    """What SQS has delivered as often as it does would go to the DLQ if it were given back."""

    @pytest.fixture(autouse=True)
    def twice(self, hands: Hands) -> None:
        hands.bound_by(Bounds(VISIBILITY, max_receives=2))

    def test_a_stop_keeps_it_to_be_worked_on(self, hands: Hands) -> None:
        first, last = a_message("first"), a_message("last", receive_count=2)
        assert hands.in_flight.hold([first, last]) == [first, last]
        hands.in_flight.close()
        assert hands.inbox.released == ["first"]
        assert not hands.in_flight.start(first)
        assert hands.in_flight.start(last)

    def test_what_an_open_long_poll_brings_after_the_stop_is_treated_so_too(
        self, hands: Hands
    ) -> None:
        hands.in_flight.close()
        first, last = a_message("first"), a_message("last", receive_count=2)
        assert hands.in_flight.hold([first, last]) == [last]
        assert hands.inbox.released == ["first"]
        assert hands.held == ["last"]

    @pytest.mark.parametrize("reason", ["outage", "limit", "shutdown"])
    def test_it_is_not_given_back_for_any_reason(self, hands: Hands, reason: str) -> None:
        first, last = a_message("first"), a_message("last", receive_count=2)
        hands.in_flight.hold([first, last])
        hands.in_flight.give_back([first, last], reason)
        assert hands.inbox.released == ["first"]
        assert hands.held == ["last"]

    def test_a_queue_without_dlq_has_no_last_receive(self, hands: Hands) -> None:
        hands.bound_by(Bounds(VISIBILITY, max_receives=None))
        hands.in_flight.close()
        assert hands.in_flight.hold([a_message("often", receive_count=1000)]) == []
        assert hands.inbox.released == ["often"]


class TestDue:
    def test_overdue_counts_from_the_deadline_that_holds_now(self, hands: Hands) -> None:
        (message,) = hands.take("a")
        assert hands.in_flight.overdue(message) == -VISIBILITY
        hands.clock.now += VISIBILITY + 2
        assert hands.in_flight.overdue(message) == 2

    def test_of_what_is_not_held_it_is_the_first_deadline(self, hands: Hands) -> None:
        assert hands.in_flight.overdue(a_message("x", visibility=5, now=hands.clock.now)) == -5

    def test_one_that_is_due_is_enough(self, hands: Hands) -> None:
        old = hands.take("old")
        hands.clock.now += VISIBILITY / 2 + 1
        new = hands.take("new")
        assert hands.in_flight.is_due(old + new)
        assert not hands.in_flight.is_due(new)
        assert not hands.in_flight.is_due([])
