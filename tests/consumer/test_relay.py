"""Each intent is delivered, at least once and with its key, whatever is cut between two lines."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256

import pytest

from sqs_worker.http_service import Answer, OutsideDown, Request
from sqs_worker.message import Message
from sqs_worker.outbox import (
    GRACE_SECONDS,
    LONGEST_PAUSE,
    LONGEST_TRYING,
    MOST_FAILURES,
    MOST_IN_A_ROW,
    POLL_SECONDS,
    Intent,
    Relay,
    RelayedLedger,
)
from sqs_worker.ports import Completion, LedgerDown
from support.fakes import FakeLedger, FakeTime, Notes, a_message
from support.waiting import wait_for


class Cut(BaseException):
    """The process would have ended here."""


Outcome = Answer | BaseException


class World:
    """An outbox and a service in memory; `did` is the order of what happened to both.

    The service answers with `answers`, one after the other, then with what it has for the order in
    `always`, and else with yes.
    """

    def __init__(self, *orders: str) -> None:
        self.open = [Intent(order, 0) for order in orders]
        self.parked: list[str] = []
        self.did: list[str] = []
        self.answers: list[Outcome] = []
        self.always: dict[str, Outcome] = {}
        self.down = self.unreadable = self.full = False
        self.takes = 0.0
        self.clock = FakeTime()
        self.notes = Notes()

    def relay(self) -> Relay:
        return Relay(self, self.call, self.notes, self.clock.monotonic)  # type: ignore[arg-type]

    def completed(self, message_id: str) -> Message:
        """A message whose completion has brought its intent."""
        message = a_message(message_id)
        self.open.append(Intent.of(message))
        return message

    def pending(self) -> list[Intent]:
        if self.unreadable:
            raise LedgerDown("no answer")
        self._answer()
        return list(self.open)

    def settle(self, intents: Sequence[Intent]) -> None:
        self._answer()
        for intent in intents:
            self.did.append(f"settle {intent.order}")
            self.open = [one for one in self.open if one != intent]

    def park(self, intent: Intent) -> None:
        self._answer()
        self.parked.append(intent.order)
        self.open = [one for one in self.open if one != intent]

    def check_room(self) -> None:
        if self.full:
            raise LedgerDown("full")

    def call(self, request: Request) -> Answer:
        assert request.key == request.order
        self.did.append(f"call {request.order}")
        self.clock.now += self.takes
        answer = self.answers.pop(0) if self.answers else self.always.get(request.order)
        if isinstance(answer, BaseException):
            raise answer
        return answer or Answer.DONE

    def calls(self, order: str) -> int:
        return self.did.count(f"call {order}")

    def goes_on(self, relay: Relay, seconds: float) -> None:
        """So much time passes, while the relay takes its turns."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            relay.turn()
            self.clock.now += 0.25

    def _answer(self) -> None:
        if self.down:
            raise LedgerDown("no answer")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue of our own intents is looked into and not waited for."""
    take = Relay._take
    monkeypatch.setattr(Relay, "_take", lambda relay, *, wait=True: take(relay, wait=False))


def test_the_call_comes_before_the_settling() -> None:
    world = World("a")
    world.relay().finish()
    assert world.did == ["call a", "settle a"]
    assert world.notes.lines == [("delivered", None, {"id": "a", "answer": "done"})]


def test_a_crash_after_the_call_leaves_the_intent_for_another() -> None:
    world = World("a")
    world.answers = [Cut()]
    with pytest.raises(Cut):
        world.relay().finish()
    world.relay().finish()
    assert world.did == ["call a", "call a", "settle a"]


def test_what_others_have_recorded_is_left_to_them_for_a_while() -> None:
    world = World("theirs")
    relay = world.relay()
    relay.turn()
    assert world.did == []
    world.clock.now += GRACE_SECONDS
    relay.turn()
    assert world.did == ["call theirs", "settle theirs"]


def test_what_another_has_settled_meanwhile_is_forgotten() -> None:
    world = World("theirs")
    relay = world.relay()
    relay.turn()
    intent = world.open.pop()
    world.clock.now += POLL_SECONDS
    relay.turn()
    world.open.append(intent)
    world.clock.now += POLL_SECONDS
    relay.turn()
    assert world.did == []


def test_our_own_is_delivered_at_once_and_without_a_look() -> None:
    world = World()
    relay = world.relay()
    relay.turn()
    world.unreadable = True
    for name in ("one", "two"):
        relay.offer(world.completed(name))
        world.clock.now += POLL_SECONDS
        with suppress(LedgerDown):
            relay.turn()
    assert world.did == ["call one", "settle one", "call two", "settle two"]


@pytest.mark.parametrize("failure", [OutsideDown("500"), OutsideDown("no", passing=False)])
def test_an_intent_that_fails_holds_up_no_other(failure: OutsideDown) -> None:
    """As before an outage of the service: bad ones in front, and all that follows healthy."""
    world = World(*"abc", *map(str, range(30)))
    world.always = dict.fromkeys("abc", failure)
    relay = world.relay()
    world.goes_on(relay, 20)
    relay.offer(world.completed("new"))
    world.goes_on(relay, 1)
    assert {intent.order for intent in world.open} <= set("abc")


def test_an_intent_that_fails_is_tried_less_and_less_often() -> None:
    world = World("a")
    world.always = {"a": OutsideDown("500")}
    relay = world.relay()
    world.goes_on(relay, 64)
    assert 5 <= world.calls("a") <= 7
    world.goes_on(relay, 10 * LONGEST_PAUSE)
    assert 14 <= world.calls("a") <= 17
    assert set(world.notes.names) == {"delivery_failed"}
    del world.always["a"]
    world.goes_on(relay, LONGEST_PAUSE + POLL_SECONDS)
    assert world.open == []


def test_a_service_that_is_down_is_not_asked_about_everything_at_once() -> None:
    world = World(*map(str, range(1000)))
    world.always = dict.fromkeys(map(str, range(1000)), OutsideDown("503"))
    relay = world.relay()
    world.goes_on(relay, 100)
    assert 90 <= len(world.did) <= 115
    world.always = {}
    while world.open:
        relay.turn()
        world.clock.now += 0.01
        assert world.clock.now < 100 + 2 * LONGEST_PAUSE + 100


def test_an_outage_of_the_service_parks_nothing() -> None:
    world = World(*map(str, range(30)))
    world.always = dict.fromkeys(map(str, range(30)), OutsideDown("503"))
    relay = world.relay()
    world.goes_on(relay, LONGEST_TRYING / 24)
    world.always = {}
    world.goes_on(relay, 2 * LONGEST_PAUSE)
    assert (world.open, world.parked) == ([], [])


def test_what_fails_while_others_are_charged_is_parked(caplog: pytest.LogCaptureFixture) -> None:
    world = World("bad")
    world.always = {"bad": OutsideDown("500")}
    relay = world.relay()
    for number in range(1000):
        relay.offer(world.completed(f"good-{number}"))
        world.goes_on(relay, 1)
    assert (world.open, world.parked) == ([], ["bad"])
    assert world.calls("bad") == MOST_FAILURES
    assert world.notes.lines.count(("parked", None, {"id": "bad", "reason": "500"})) == 1
    assert "order bad is parked in row outbox#" in caplog.text


def test_what_fails_for_a_day_is_parked_in_any_case() -> None:
    world = World("bad")
    world.always = {"bad": OutsideDown("500")}
    relay = world.relay()
    relay.turn()
    world.clock.now += LONGEST_TRYING - 1
    relay.turn()
    assert world.parked == []
    world.clock.now += LONGEST_PAUSE
    relay.turn()
    assert world.parked == ["bad"]


@pytest.mark.parametrize("answer", [Answer.REFUSED, OutsideDown("answered 404", passing=False)])
def test_an_answer_that_stays_is_parked_at_once(answer: Outcome) -> None:
    world = World("a", "b")
    world.always = {"a": answer}
    relay = world.relay()
    world.goes_on(relay, LONGEST_PAUSE)
    assert (world.open, world.parked, world.calls("a")) == ([], ["a"], 1)
    assert "parked" in world.notes.names


def test_a_refusal_is_an_answer() -> None:
    world = World("a")
    world.answers = [Answer.REFUSED]
    world.relay().finish()
    assert world.open == []
    assert world.notes.lines[-1] == ("delivered", None, {"id": "a", "answer": "refused"})


@pytest.mark.parametrize("answer", [Answer.DONE, OutsideDown("answered 404", passing=False)])
def test_an_outbox_that_cannot_be_written_forgets_nothing(answer: Outcome) -> None:
    world = World("a")
    world.always = {"a": answer}
    relay = world.relay()
    relay.turn()
    world.clock.now += GRACE_SECONDS
    world.down = True
    relay._next_look = world.clock.now + 1
    relay._due.append(world.open[0])
    with pytest.raises(LedgerDown):
        relay.turn()
    world.down = False
    world.goes_on(relay, 5)
    assert world.open == []
    assert world.calls("a") == 2


def test_the_last_pass_ends_with_its_time_and_with_a_service_that_is_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(*map(str, range(30)))
    world.takes = 5.0
    relay = world.relay()
    relay._end = world.clock.now + 12
    relay.finish()
    assert len(world.did) == 2 * 3
    assert "27 orders are not charged yet" in caplog.text
    world = World(*map(str, range(30)))
    world.always = dict.fromkeys(map(str, range(30)), OutsideDown("503"))
    world.relay().finish()
    assert len(world.did) == MOST_IN_A_ROW


def test_the_last_pass_takes_first_what_has_not_failed() -> None:
    world = World("bad")
    world.always = {"bad": OutsideDown("500")}
    relay = world.relay()
    relay.turn()
    world.clock.now += GRACE_SECONDS
    relay.turn()
    world.clock.now += LONGEST_PAUSE
    world.completed("theirs")
    relay.finish()
    assert world.did == ["call bad", "call theirs", "settle theirs", "call bad"]


def test_no_value_of_a_business_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    key = 'key#"A17"'
    name = f"the order whose key has SHA-256 {sha256(key.encode()).hexdigest()}"
    for answer in (OutsideDown("500"), OutsideDown("no", passing=False), Answer.REFUSED):
        world = World(key)
        world.always = {key: answer}
        world.relay().finish()
    assert caplog.text.count(name) == 3
    assert "A17" not in caplog.text


def test_a_full_outbox_is_a_ledger_that_is_down() -> None:
    """So nothing is received until there is room: see the outage."""
    world = World()
    ledger = RelayedLedger(FakeLedger(), world.relay())
    ledger.probe()
    world.full = True
    with pytest.raises(LedgerDown, match="full"):
        ledger.probe()


def test_the_thread_delivers_our_own_and_at_the_end_all() -> None:
    world = World("theirs")
    relay = world.relay()
    relay.start()
    relay.offer(world.completed("mine"))
    wait_for(lambda: "settle mine" in world.did)
    relay.close(5)
    assert world.did == ["call mine", "settle mine", "call theirs", "settle theirs"]


def test_no_error_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqs_worker.outbox.POLL_SECONDS", 0.01)
    world = World()
    world.answers = [RuntimeError("unforeseen")]
    world.down = True
    relay = world.relay()
    relay.start()
    relay.offer(world.completed("a"))
    wait_for(lambda: "call a" in world.did)
    world.down = False
    relay.offer(world.completed("b"))
    wait_for(lambda: "settle b" in world.did)
    relay.close(5)


def test_a_close_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    world, go_on = World("a"), threading.Event()

    def slow(_request: Request) -> Answer:
        go_on.wait(5)
        return Answer.DONE

    relay = Relay(world, slow, world.notes)  # type: ignore[arg-type]
    relay.start()
    relay.offer(world.completed("a"))
    relay.close(0.05)
    assert "undelivered intents stay in the outbox" in caplog.text
    go_on.set()
    relay.close(5)


def test_a_signal_is_heard_during_a_close() -> None:
    """Linux may give it to the thread that waits for the service, as here; Python answers it in the
    main thread, which must not sleep until the service has answered."""
    world, heard = World("a"), threading.Event()
    in_time: list[bool] = []

    def slow(_request: Request) -> Answer:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        in_time.append(heard.wait(5))
        return Answer.DONE

    before = signal.signal(signal.SIGUSR1, lambda *_: heard.set())
    try:
        relay = Relay(world, slow, world.notes)  # type: ignore[arg-type]
        relay.start()
        relay.close(10)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert in_time == [True]


def test_the_ledger_tells_of_effects_only() -> None:
    world, inner = World("a"), FakeLedger()
    inner.completions = {"b": Completion.ALREADY_DONE, "c": Completion.UNKNOWN}
    relay = world.relay()
    ledger = RelayedLedger(inner, relay)
    messages = [a_message("a"), a_message("b"), a_message("c")]
    ledger.probe()
    assert len(ledger.claim(messages)) == 3
    assert ledger.complete(messages)[0] is Completion.EFFECT
    assert ledger.fail([(messages[2], "why")]) == [True]
    for _ in messages:
        relay.turn()
    assert world.did == ["call a", "settle a"]
    assert [name for name, _ in inner.calls] == ["probe", "claim", "complete", "fail"]
