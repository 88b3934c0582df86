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

from .deletes import BACKLOG
from .events import Events, Tally
from .in_flight import InFlight, Progress
from .message import Message
from .outage import Outage
from .pipeline import Pipeline
from .ports import Inbox, InboxDown, Ledger, LedgerDown
from .receive_limiter import Permit, ReceiveLimiter

LONGEST_PAUSE = 20.0
SHORT_POLL_PAUSE = 0.5
"""Between short polls that bring nothing, in seconds: each of them costs a request."""
EARLY_POLLS = 2
"""Long polls in a row that end empty before half of their time, from which on they pause, too."""
MOST_ERRORS = 5
"""Unforeseen errors in a row that a lane goes on after."""
LAST_CALLS = 1.0
"""Seconds of the grace that are kept for giving back and deleting."""
LEFT = {
    Progress.WAITING: "message %s is on its final receive and was not begun within %g s; when its "
    "visibility timeout expires it moves to the dead-letter queue; raise SHUTDOWN_GRACE_SECONDS",
    Progress.WORKING: "message %s was still in work after %g s; it comes back when its visibility "
    "timeout expires; raise SHUTDOWN_GRACE_SECONDS or shorten the work",
    Progress.WORKED: "the work of message %s is done, but the ledger did not confirm its "
    "completion within %g s; it comes back when its visibility timeout expires, and is worked on "
    "again if the completion is not on record",
    Progress.COMPLETED: "message %s is completed, but SQS did not confirm its delete within %g s; "
    "it comes back when its visibility timeout expires, and the redelivery will skip the work",
}
"""What is said of a delivery that is in hand when the grace is over."""
_TICK = 0.1
_WATCH = 0.5
_DUE = 0.2
"""Seconds between two looks for completions and deletes that are due."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What all lanes share."""

    inbox: Inbox
    ledger: Ledger
    pipeline: Pipeline
    in_flight: InFlight
    limiter: ReceiveLimiter
    outage: Outage
    journal: Events
    tally: Tally
    stopping: threading.Event


class Lane:
    """One batch at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._failures = 0
        self._early_polls = 0

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
                log.exception(
                    "unexpected error; its messages are redelivered when their "
                    "visibility timeout expires"
                )
                self._parts.tally.count("errors")
                errors += 1
                self._parts.stopping.wait(1)
        log.error("%s unexpected errors in a row: the consumer ends", errors)
        self._parts.limiter.close("error")

    def turn(self) -> bool:
        """Receive once and see it through; False once receiving has ended."""
        parts = self._parts
        parts.outage.await_up(parts.ledger.probe, lambda: parts.limiter.stopped is not None)
        if parts.pipeline.deletes.open > BACKLOG and parts.limiter.stopped is None:
            parts.stopping.wait(_DUE)
            return True
        permit = parts.limiter.enter()
        if permit is None:
            return False
        if parts.outage.is_down:  # it went down while this lane waited for its turn
            parts.limiter.give_up(permit)
            return True
        messages = self._receive(permit)
        if messages:
            try:
                self._see_through(messages)
            finally:
                parts.in_flight.drop(messages)
                parts.limiter.finished()
        return True

    def _receive(self, permit: Permit) -> list[Message]:
        parts = self._parts
        sent = time.monotonic()
        try:
            messages = parts.inbox.receive(permit.limit, permit.wait)
        except InboxDown as error:
            self._back_off(error)
            parts.limiter.give_up(permit)
            return []
        except BaseException:
            parts.limiter.give_up(permit)
            raise
        self._failures = 0
        if messages:
            self._early_polls = 0
        else:
            parts.tally.count("empty_receives")
            if self._must_pause(permit.wait, time.monotonic() - sent):
                parts.stopping.wait(SHORT_POLL_PAUSE)
        parts.limiter.leave(permit, len(messages))
        return messages

    def _must_pause(self, wait: int, seconds: float) -> bool:
        """Whether polls that bring nothing follow each other too fast: short ones, and long ones
        where a proxy or a stand-in for SQS ignores WaitTimeSeconds. One early end may be chance."""
        if seconds >= wait / 2:
            self._early_polls = 0
            return wait == 0
        self._early_polls += 1
        if self._early_polls == EARLY_POLLS:
            log.warning(
                "a receive with WaitTimeSeconds=%s returned empty after %.1f s, for the second "
                "time or more; the consumer pauses for %g s after each one like it; check what "
                "answers at the endpoint",
                wait,
                seconds,
                SHORT_POLL_PAUSE,
            )
        return self._early_polls >= EARLY_POLLS

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
        held = parts.in_flight.hold(messages)
        if not held:
            return
        try:
            parts.pipeline.run(held)
        except LedgerDown as error:
            log.warning(
                "the consumer releases the rest of a batch of %s messages: %s", len(held), error
            )
            parts.in_flight.give_back(held, "outage")

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
        self._deadline = math.inf
        self._signals: list[int] = []

    @property
    def signal_name(self) -> str | None:
        """The signal that asked for the stop, if one did."""
        return signal.Signals(self._signals[0]).name if self._signals else None

    def grace_left(self) -> float:
        """Seconds that the end may still take: what a stop has left of its grace, else all."""
        return min(self._grace, max(0.0, self._deadline - time.monotonic()))

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handler for SIGTERM and SIGINT: the first asks for a stop, a second exits at once."""
        if self._signals:
            os._exit(128 + number)
        self._signals.append(number)

    def run(self) -> str:
        """Run to the end; returns the reason: limit, idle, signal or journal."""
        over = threading.Event()
        for lane in [] if self._signals else self._lanes:
            lane.start()
        pipeline = self._parts.pipeline
        self._thread("heartbeat", lambda: self._heartbeat(over)).start()
        self._thread("due", lambda: self._repeat(pipeline.settle_due, over)).start()
        self._thread("deletes", lambda: self._repeat(pipeline.deletes.retry, over)).start()
        while self._running() and not (self._signals or self._parts.journal.lost):
            self._await_lane()
        if self.signal_name:
            self._stop(self.signal_name, "signal")
        elif self._parts.journal.lost:
            self._stop("the journal is lost", "journal")
        over.set()
        return self._parts.limiter.stopped or "error"

    def _stop(self, name: str, reason: str) -> None:
        """Stop receiving, give back what is not begun, wait for the rest within the grace."""
        self._deadline = deadline = time.monotonic() + self._grace
        log.info("%s: stopping; messages in work have %g s to finish", name, self._grace)
        self._parts.limiter.close(reason)
        self._parts.outage.hurry(deadline - LAST_CALLS)
        self._parts.pipeline.deletes.hurry(deadline - LAST_CALLS)
        self._parts.stopping.set()
        closing = self._thread("close", self._parts.in_flight.close)
        closing.start()  # a queue that does not answer must not hold up the end
        while closing.is_alive() and time.monotonic() < deadline:
            closing.join(_TICK)
        while self._running() and time.monotonic() < deadline:
            self._await_lane()
        for message, progress in self._parts.in_flight.left():
            self._parts.tally.count("abandoned")
            self._parts.journal.event("abandoned", message)
            log.warning(LEFT[progress], message.id, self._grace)
        for message in self._parts.pipeline.deletes.left():
            log.warning(LEFT[Progress.COMPLETED], message.id, self._grace)
        for message in self._parts.in_flight.unreturned():
            log.warning(
                "message %s is not completed, and SQS did not confirm its release; it is "
                "redelivered when its visibility timeout expires",
                message.id,
            )

    def _heartbeat(self, over: threading.Event) -> None:
        """Extend at each beat, and whatever is due between two beats or in an outage: what arrived
        late has less time left than a beat takes.

        Goes on through a stop, for what is still in work, and ends with the process.
        """
        beat = time.monotonic() + self._beat if self._beat else math.inf
        while not over.wait(max(0.0, min(_WATCH, beat - time.monotonic()))):
            try:
                if time.monotonic() >= beat:
                    beat = time.monotonic() + self._beat
                    self._parts.in_flight.extend()
                elif self._beat or self._parts.outage.is_holding:
                    self._parts.in_flight.keep()
            except Exception:
                log.exception("a heartbeat failed; the next one follows")
                self._parts.tally.count("errors")

    def _repeat(self, step: Callable[[], None], over: threading.Event) -> None:
        """Take this step again and again until all is over."""
        while not over.wait(_DUE):
            try:
                step()
            except Exception:
                log.exception("unexpected error in a thread beside the lanes; the thread goes on")
                self._parts.tally.count("errors")

    def _running(self) -> bool:
        lanes = any(lane.is_alive() for lane in self._lanes)
        return lanes or self._parts.pipeline.deletes.open > 0

    def _await_lane(self) -> None:
        """Short, because a signal handler must not touch an event that this thread waits for, and
        because Linux may give a signal to another thread: Python answers it when this one wakes."""
        lane = next((lane for lane in self._lanes if lane.is_alive()), None)
        if lane:
            lane.join(_TICK)
        else:
            time.sleep(_TICK)

    @staticmethod
    def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(name=name, target=target, daemon=True)
