"""Each intent is delivered, at least once and with its key, whatever is cut between two lines."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence

import pytest

from support.doubles import FakeLedger, FakeTime, Notes, a_message
from support.waiting import wait_for
from worker.outbox import Intent
from worker.outside import Answer, OutsideDown, Request
from worker.ports import Completion, LedgerDown
from worker.relay import GRACE_SECONDS, POLL_SECONDS, Relay, RelayedLedger


class Cut(BaseException):
    """The process would have ended here."""


class World:
    """An outbox and a service in memory; `did` is the order of what happened to both."""

    def __init__(self, *orders: str) -> None:
        self.open = [Intent(order, 1) for order in orders]
        self.did: list[str] = []
        self.answers: list[Answer | BaseException] = []
        self.down = False
        self.clock = FakeTime()
        self.notes = Notes()

    def relay(self) -> Relay:
        return Relay(self, self.call, self.notes, self.clock.monotonic)  # type: ignore[arg-type]

    def pending(self) -> list[Intent]:
        if self.down:
            raise LedgerDown("no answer")
        return list(self.open)

    def settle(self, intents: Sequence[Intent]) -> None:
        for intent in intents:
            self.did.append(f"settle {intent.order}")
            self.open = [one for one in self.open if one != intent]

    def call(self, request: Request) -> Answer:
        assert request.key == request.order
        self.did.append(f"call {request.order}")
        answer = self.answers.pop(0) if self.answers else Answer.DONE
        if isinstance(answer, BaseException):
            raise answer
        return answer


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
    world.down = True
    relay.offer(a_message("mine"))
    relay.turn()
    assert world.did == ["call mine", "settle mine"]


def test_a_service_that_is_down_is_asked_once_a_look() -> None:
    world = World("a", "b")
    relay = world.relay()
    relay.turn()
    world.answers = [OutsideDown("503"), OutsideDown("503")]
    for _ in range(2):
        world.clock.now += GRACE_SECONDS
        relay.turn()
        relay.turn()
    assert world.did == ["call a", "call a"]
    assert world.notes.names == ["delivery_failed"] * 2
    world.clock.now += GRACE_SECONDS
    relay.turn()
    assert world.open == []


def test_a_refusal_is_an_answer() -> None:
    world = World("a")
    world.answers = [Answer.REFUSED]
    world.relay().finish()
    assert world.open == []
    assert world.notes.lines[0][2]["answer"] == "refused"


def test_the_thread_delivers_our_own_and_at_the_end_all() -> None:
    world = World("theirs")
    relay = world.relay()
    relay.start()
    relay.offer(a_message("mine"))
    wait_for(lambda: "settle mine" in world.did)
    relay.close(5)
    assert world.did == ["call mine", "settle mine", "call theirs", "settle theirs"]


def test_no_error_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.relay.POLL_SECONDS", 0.01)
    world = World()
    world.answers = [RuntimeError("unforeseen")]
    world.down = True
    relay = world.relay()
    relay.start()
    relay.offer(a_message("a"))
    wait_for(lambda: "call a" in world.did)
    world.down = False
    relay.offer(a_message("b"))
    wait_for(lambda: "settle b" in world.did)
    relay.close(5)


def test_a_close_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    world, go_on = World("a"), threading.Event()

    def slow(_request: Request) -> Answer:
        go_on.wait(5)
        return Answer.DONE

    relay = Relay(world, slow, world.notes)  # type: ignore[arg-type]
    relay.start()
    relay.offer(a_message("a"))
    relay.close(0.05)
    assert "what is pending stays in the outbox" in caplog.text
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
    world, inner = World(), FakeLedger()
    inner.completions = {"b": Completion.ALREADY_DONE, "c": Completion.UNKNOWN}
    relay = world.relay()
    ledger = RelayedLedger(inner, relay)
    messages = [a_message("a"), a_message("b"), a_message("c")]
    ledger.probe()
    assert len(ledger.claim(messages)) == 3
    assert ledger.complete(messages)[0] is Completion.EFFECT
    assert ledger.fail([(messages[2], "why")]) == [True]
    relay.finish()
    assert world.did == ["call a", "settle a"]
    assert [name for name, _ in inner.calls] == ["probe", "claim", "complete", "fail"]
