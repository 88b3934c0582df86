"""Delivers what the outbox holds: a thread that asks the service and then settles the intent.

A crash between any two lines leaves the intent where it is, so somebody delivers it again, with the
same key. It knows nothing of queues, nor how an intent got into the outbox.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from .journal import Events
from .message import Message
from .outbox import Intent
from .outside import Answer, Call, OutsideDown
from .ports import Claim, Completion, Ledger, LedgerDown

POLL_SECONDS = 1.0
"""Between two looks at what others have left."""
_TICK = 0.1
"""Seconds: a second signal ends the process, and a main thread that waits hears it late."""
GRACE_SECONDS = 2.0
"""For so long an intent is left to the process that recorded it, which needs no look to know it."""

log = logging.getLogger(__name__)


class Intents(Protocol):
    """The outbox, as the relay sees it."""

    def pending(self) -> list[Intent]: ...
    def settle(self, intents: Sequence[Intent]) -> None: ...


class Relay:
    """One thread; `offer` may be called from any."""

    def __init__(
        self,
        outbox: Intents,
        call: Call,
        journal: Events,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._call = call
        self._journal = journal
        self._clock = clock
        self._own: queue.SimpleQueue[Intent] = queue.SimpleQueue()
        self._first_seen: dict[Intent, float] = {}
        self._next_look = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(name="relay", target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to deliver; needs a `close`."""
        self._thread.start()

    def offer(self, message: Message) -> None:
        """Deliver this message's intent now: its transaction has just been made."""
        self._own.put(Intent.of(message))

    def close(self, seconds: float) -> None:
        """Deliver all that is pending, once, and end; what stays is for whoever looks next."""
        self._closing.set()
        deadline = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(_TICK)
        if self._thread.is_alive():
            log.warning("the relay still waits for an answer; what is pending stays in the outbox")

    def _run(self) -> None:
        while not self._closing.is_set():
            self._guarded(self.turn)
        self._guarded(self.finish)

    def _guarded(self, act: Callable[[], None]) -> None:
        """No error ends the relay."""
        try:
            act()
        except LedgerDown as error:
            log.warning("the outbox cannot be used: %s; next try in %g s", error, POLL_SECONDS)
            self._closing.wait(POLL_SECONDS)
        except Exception:
            log.exception("unforeseen error in the relay; what is pending stays in the outbox")
            self._closing.wait(POLL_SECONDS)

    def turn(self) -> None:
        """Deliver one of our own, if there is one, and look after the others when it is time."""
        own = self._take()
        if own:
            self._deliver([own])
        if self._clock() >= self._next_look:
            self._next_look = self._clock() + POLL_SECONDS
            self._deliver(self._left_alone())

    def finish(self) -> None:
        """Deliver our own, then everything that is there, however new."""
        while own := self._take(wait=False):
            self._deliver([own])
        self._deliver(self._outbox.pending())

    def _take(self, *, wait: bool = True) -> Intent | None:
        try:
            return self._own.get(timeout=0.1) if wait else self._own.get_nowait()
        except queue.Empty:
            return None

    def _left_alone(self) -> list[Intent]:
        now = self._clock()
        self._first_seen = {
            intent: self._first_seen.get(intent, now) for intent in self._outbox.pending()
        }
        return [i for i, seen in self._first_seen.items() if now - seen >= GRACE_SECONDS]

    def _deliver(self, intents: Sequence[Intent]) -> None:
        """First the call, then the settling: the other way round, a crash would lose the charge."""
        for intent in intents:
            try:
                answer = self._call(intent.request)
            except OutsideDown as error:
                log.warning("order %s is not charged: %s; the intent stays", intent.order, error)
                self._journal.event("delivery_failed", id=intent.order, reason=str(error))
                return
            if answer is Answer.REFUSED:
                log.error("order %s is refused; a person has to look at it", intent.order)
            self._outbox.settle([intent])
            self._journal.event("delivered", id=intent.order, answer=answer.value)


class RelayedLedger:
    """A ledger that tells the relay of each completion."""

    def __init__(self, ledger: Ledger, relay: Relay) -> None:
        self._ledger = ledger
        self._relay = relay

    def probe(self) -> None:
        """See the ledger's."""
        self._ledger.probe()

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        """See the ledger's."""
        return self._ledger.claim(messages)

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """See the ledger's; an intent whose completion is in doubt is found in the outbox."""
        completions = self._ledger.complete(messages)
        for message, completion in zip(messages, completions, strict=True):
            if completion is Completion.EFFECT:
                self._relay.offer(message)
        return completions

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        """See the ledger's."""
        return self._ledger.fail(reasons)
