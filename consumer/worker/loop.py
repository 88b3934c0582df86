"""Runs the lanes until a limit, an idle time or a signal ends them, and the stop that follows.

A lane receives a batch and takes it down the path, again and again. What a batch is, where it comes
from and what is done to it belong to the ports.
"""

import logging
import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

from .holdings import Holdings
from .journal import Events
from .message import Message
from .meter import Tally
from .outage import Outage
from .pipeline import Pipeline
from .ports import Inbox, InboxDown, Ledger, LedgerDown
from .turnstile import Permit, Turnstile

LONGEST_PAUSE = 20.0
SHORT_POLL_PAUSE = 0.5
"""Between short polls that bring nothing, in seconds: each of them costs a request."""
MOST_ERRORS = 5
"""Unforeseen errors in a row that a lane goes on after."""
LAST_CALLS = 1.0
"""Seconds of the grace that are kept for giving back and deleting."""
_TICK = 0.1
_WATCH = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What all lanes share."""

    inbox: Inbox
    ledger: Ledger
    pipeline: Pipeline
    holdings: Holdings
    turnstile: Turnstile
    outage: Outage
    journal: Events
    tally: Tally
    stopping: threading.Event


class Lane:
    """One batch at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._failures = 0

    def run(self) -> None:
        """Take turns until receiving ends. No message ends a lane, but an error that repeats does:
        each time it costs the messages in hand one of their receives."""
        errors = 0
        while errors < MOST_ERRORS:
            try:
                if not self.turn():
                    return
                errors = 0
            except Exception:
                log.exception("unforeseen error; the messages in hand come back when they time out")
                self._parts.tally.count("errors")
                errors += 1
                self._parts.stopping.wait(1)
        log.error("%s unforeseen errors in a row: the consumer ends", errors)
        self._parts.turnstile.close("error")

    def turn(self) -> bool:
        """Receive once and see it through; False once receiving has ended."""
        parts = self._parts
        parts.outage.await_up(parts.ledger.probe, lambda: parts.turnstile.stopped is not None)
        permit = parts.turnstile.enter()
        if permit is None:
            return False
        if parts.outage.is_down:  # it went down while this lane waited for its turn
            parts.turnstile.give_up(permit)
            return True
        messages = self._receive(permit)
        if messages:
            try:
                self._see_through(messages)
            finally:
                parts.holdings.drop(messages)
                parts.turnstile.finished()
        return True

    def _receive(self, permit: Permit) -> list[Message]:
        parts = self._parts
        try:
            messages = parts.inbox.receive(permit.limit, permit.wait)
        except InboxDown as error:
            self._back_off(error)
            parts.turnstile.give_up(permit)
            return []
        except BaseException:
            parts.turnstile.give_up(permit)
            raise
        self._failures = 0
        if not messages:
            parts.tally.count("empty_receives")
            if permit.wait == 0:
                parts.stopping.wait(SHORT_POLL_PAUSE)
        parts.turnstile.leave(permit, len(messages))
        return messages

    def _see_through(self, messages: Sequence[Message]) -> None:
        parts = self._parts
        parts.tally.count("received", len(messages))
        for message in messages:
            parts.journal.event(
                "received",
                message,
                receive_count=message.receive_count,
                sent=message.sent,
                visible_at=message.visible_at,
            )
        held = parts.holdings.hold(messages)
        if not held:
            return
        try:
            parts.pipeline.run(held)
        except LedgerDown as error:
            log.warning("what is left of %s messages is given back: %s", len(held), error)
            parts.holdings.give_back(held, "outage")

    def _back_off(self, error: InboxDown) -> None:
        """Wait before the next try, longer each time, so that a broken queue is not hammered."""
        self._failures += 1
        longest = min(LONGEST_PAUSE, 2.0 ** min(self._failures, 10))
        pause = random.uniform(longest / 2, longest)
        log.error("cannot receive: %s; next try in %.1f s", error, pause)
        self._parts.stopping.wait(pause)


class Loop:
    """All lanes, the heartbeat and the stop; `grace` and `beat` in seconds, 0 = no heartbeat."""

    def __init__(self, parts: Parts, *, lanes: int, beat: float, grace: float) -> None:
        self._parts = parts
        self._lanes = [self._thread(f"lane-{n + 1}", Lane(parts).run) for n in range(lanes)]
        self._beat = beat
        self._grace = grace
        self._signals: list[int] = []

    @property
    def signal_name(self) -> str | None:
        """The signal that asked for the stop, if one did."""
        return signal.Signals(self._signals[0]).name if self._signals else None

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handler for SIGTERM and SIGINT: the first asks for a stop, a second exits at once."""
        if self._signals:
            os._exit(128 + number)
        self._signals.append(number)

    def run(self) -> str:
        """Run to the end; returns the reason: limit, idle or signal."""
        over = threading.Event()
        for lane in [] if self._signals else self._lanes:
            lane.start()
        self._thread("heartbeat", lambda: self._heartbeat(over)).start()
        while self._running() and not self._signals:
            self._await_lane()
        if self.signal_name:
            self._stop(self.signal_name)
        over.set()
        return self._parts.turnstile.stopped or "error"

    def _stop(self, name: str) -> None:
        """Stop receiving, give back what is not begun, wait for the rest within the grace."""
        deadline = time.monotonic() + self._grace
        log.info("%s: stopping; messages in work have %g s to finish", name, self._grace)
        self._parts.turnstile.close("signal")
        self._parts.outage.hurry(deadline - LAST_CALLS)
        self._parts.stopping.set()
        closing = self._thread("close", self._parts.holdings.close)
        closing.start()  # a queue that does not answer must not hold up the end
        closing.join(self._grace)
        while self._running() and time.monotonic() < deadline:
            self._await_lane()
        for message in self._parts.holdings.held():
            self._parts.tally.count("abandoned")
            self._parts.journal.event("abandoned", message)
            log.warning(
                "message %s was still in work after %g s; it comes back when its visibility runs "
                "out; raise SHUTDOWN_GRACE_SECONDS or shorten the work",
                message.id,
                self._grace,
            )

    def _heartbeat(self, over: threading.Event) -> None:
        """Extend at each beat, and in an outage whatever is due, so that it stays hidden.

        Goes on through a stop, for what is still in work, and ends with the process.
        """
        beat = time.monotonic() + self._beat if self._beat else math.inf
        while not over.wait(max(0.0, min(_WATCH, beat - time.monotonic()))):
            try:
                if time.monotonic() >= beat:
                    beat = time.monotonic() + self._beat
                    self._parts.holdings.extend()
                elif self._parts.outage.is_holding:
                    self._parts.holdings.keep()
            except Exception:
                log.exception("a heartbeat failed; the next one comes")
                self._parts.tally.count("errors")

    def _running(self) -> bool:
        return any(lane.is_alive() for lane in self._lanes)

    def _await_lane(self) -> None:
        """Short, because a signal handler must not touch an event that this thread waits for."""
        next((lane for lane in self._lanes if lane.is_alive()), self._lanes[0]).join(_TICK)

    @staticmethod
    def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(name=name, target=target, daemon=True)
