"""Keeps which deliveries this process holds, and makes every change to their visibility.

Lanes, heartbeat and shutdown meet here. What is given back can no longer be started, and what is
started can no longer be given back: that one rule lets a stop release what no lane has begun.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from threading import Lock

from .events import Events, Tally
from .message import Message
from .ports import Inbox
from .variables import BATCH_LIMIT, LONGEST_VISIBILITY

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """Seconds that a receive or an extension hides a message; seconds after its receive for which
    it is extended; how often the queue lets it be received before the DLQ, None = any number."""

    visibility: int
    limit: float = LONGEST_VISIBILITY
    max_receives: int | None = None

    @property
    def extensible(self) -> float:
        """Seconds after the receive: never hidden for more than 12 hours in all (quirk 2)."""
        return min(self.limit, LONGEST_VISIBILITY - self.visibility)

    def is_last(self, message: Message) -> bool:
        """Given back, it would not be received again but moved to the DLQ (quirk 4)."""
        return self.max_receives is not None and message.receive_count >= self.max_receives


class Progress(Enum):
    """How far a delivery in hand has come."""

    WAITING = "waiting"
    WORKING = "working"
    WORKED = "worked"
    COMPLETED = "completed"


class InFlight:
    """The deliveries in hand, of all lanes; deadlines are monotonic."""

    def __init__(self, inbox: Inbox, bounds: Bounds, journal: Events, tally: Tally) -> None:
        self._inbox = inbox
        self._bounds = bounds
        self._visibility = bounds.visibility
        self._journal = journal
        self._tally = tally
        self._lock = Lock()  # guards the fields below; never held while anything is sent
        self._waiting: dict[str, Message] = {}
        self._working: dict[str, Message] = {}
        self._deadlines: dict[str, float] = {}
        self._begun: dict[str, float] = {}  # when work began
        self._progress: dict[str, Progress] = {}
        self._returning: dict[str, Message] = {}
        self._lost: set[str] = set()  # no longer extended: expired, or past the heartbeat limit
        self._closed = False
        self._next_keep = 0.0
        self._sending = Lock()  # one change of visibility at a time: see `give_back`

    def hold(self, messages: Sequence[Message]) -> list[Message]:
        """Take deliveries in hand; returns those that stay.

        After a stop they are given back, except those on their final receive.
        """
        with self._lock:
            for message in messages:
                self._waiting[message.handle] = message
                self._deadlines[message.handle] = message.deadline
            kept = [m for m in messages if not self._closed or self._bounds.is_last(m)]
        if len(kept) < len(messages):
            self.give_back([m for m in messages if m not in kept], "shutdown")
        return kept

    def start(self, message: Message) -> bool:
        """Whether work may begin; False where the delivery has been given back meanwhile."""
        with self._lock:
            found = self._waiting.pop(message.handle, None)
            if found:
                self._working[message.handle] = message
                self._begun[message.handle] = time.monotonic()
                self._progress[message.handle] = Progress.WORKING
            return found is not None

    def is_waiting(self, message: Message) -> bool:
        """Whether it is in hand and not begun: false once a stop or the limit gave it back."""
        with self._lock:
            return message.handle in self._waiting

    def note(self, message: Message, progress: Progress) -> None:
        """Keep how far a delivery in hand has come, for `left`."""
        with self._lock:
            if message.handle in self._deadlines:
                self._progress[message.handle] = progress

    def left(self) -> list[tuple[Message, Progress]]:
        """What is in hand now, and how far it has come."""
        with self._lock:
            held = [*self._waiting.values(), *self._working.values()]
            return [(m, self._progress.get(m.handle, Progress.WAITING)) for m in held]

    def unreturned(self) -> list[Message]:
        """What a stop gives back, and SQS has not confirmed."""
        with self._lock:
            return list(self._returning.values())

    def drop(self, messages: Sequence[Message]) -> None:
        """These are finished or left to their visibility timeout: extend them no more."""
        with self._lock:
            for message in messages:
                self._forget(message)

    def close(self) -> None:
        """A stop: give back at once all that no lane has begun, and hold nothing more.

        Messages on their final receive stay, because releasing them would send them to the DLQ.
        """
        with self._lock:
            self._closed = True
            waiting = self._taken_from_hand(list(self._waiting.values()))
        self._release(waiting, "shutdown")

    def held(self) -> list[Message]:
        """What is in hand now."""
        with self._lock:
            return [*self._waiting.values(), *self._working.values()]

    def give_back(self, messages: Sequence[Message], reason: str) -> None:
        """Make those of the deliveries that are in hand visible again at once, but for what is here
        for the last time: given back, it would go to the DLQ."""
        with self._lock:
            held = self._taken_from_hand(messages)
        self._release(held, reason)

    def _taken_from_hand(self, messages: Sequence[Message]) -> list[Message]:
        """Under the lock; those of the deliveries that were in hand and may be given back."""
        return [m for m in messages if not self._bounds.is_last(m) and self._forget(m)]

    def _forget(self, message: Message) -> bool:
        """Under the lock; whether it was in hand."""
        self._waiting.pop(message.handle, None)
        self._working.pop(message.handle, None)
        self._begun.pop(message.handle, None)
        self._progress.pop(message.handle, None)
        self._lost.discard(message.handle)
        return self._deadlines.pop(message.handle, None) is not None

    def _release(self, messages: Sequence[Message], reason: str) -> None:
        """Forgotten first, sent after any extension that is on its way, which would otherwise hide
        again what was just given back."""
        if not messages:
            return
        with self._lock:
            if self._closed:
                self._returning |= {message.handle: message for message in messages}
        with self._sending:
            taken = self._inbox.release(messages)
        for message, was_taken in zip(messages, taken, strict=True):
            if was_taken:
                with self._lock:
                    self._returning.pop(message.handle, None)
                self._tally.count("released")
                self._journal.event("released", message, reason=reason)

    def is_due(self, messages: Sequence[Message]) -> bool:
        """Whether one of these has used up half of its time: do not keep it waiting for others."""
        return any(self.overdue(message) > -self._visibility / 2 for message in messages)

    def keep(self) -> None:
        """Extend everything in hand if part of it is due; where that fails, again after a tenth of
        the visibility timeout."""
        now = time.monotonic()
        if now >= self._next_keep and self.is_due(self._extensible()):
            self._next_keep = now + self._visibility / 10
            self.extend()

    def extend(self) -> None:
        """Hide everything in hand for another visibility timeout, up to its limit.

        What expires first goes first, and each batch is noted when it is answered.
        """
        self._end_at_limit()
        messages = sorted(self._extensible(), key=self.overdue, reverse=True)
        for start in range(0, len(messages), BATCH_LIMIT):
            self._extend(messages[start : start + BATCH_LIMIT])

    def _extend(self, messages: Sequence[Message]) -> None:
        with self._sending:
            with self._lock:
                held = [message for message in messages if message.handle in self._deadlines]
            if held:
                sent = time.monotonic()
                taken = self._inbox.extend(held, self._visibility)
                self._note(held, taken, sent)

    def overdue(self, message: Message) -> float:
        """Seconds since the delivery's visibility timeout expired; negative before that."""
        with self._lock:
            return time.monotonic() - self._deadlines.get(message.handle, message.deadline)

    def _has_lapsed(self, message: Message) -> bool:
        """Whether it is in hand and out of time; SQS rightly refuses one finished meanwhile."""
        with self._lock:
            return self._deadlines.get(message.handle, math.inf) < time.monotonic()

    def _extensible(self) -> list[Message]:
        """What is in hand, not lost, and not at its limit."""
        now = time.monotonic()
        with self._lock:
            held = [*self._waiting.values(), *self._working.values()]
            return [m for m in held if m.handle not in self._lost and now <= self._end_of(m)]

    def _end_of(self, message: Message) -> float:
        """Under the lock; the moment after which it is extended no more.

        The limit counts from the receive. On the last receive it counts from the start of the work:
        such a message cannot be given back, and is worked on when its lane comes to it.
        """
        received = message.deadline - self._visibility
        since = received
        if self._bounds.is_last(message):
            since = self._begun.get(message.handle, math.inf)
        return min(since + self._bounds.limit, received + LONGEST_VISIBILITY - self._visibility)

    def _end_at_limit(self) -> None:
        """A lane that never returns must not keep its messages for ever: what it has not begun is
        given back, what it has is left to its visibility timeout."""
        now = time.monotonic()
        with self._lock:
            waiting = [
                m
                for m in self._waiting.values()
                if now > m.deadline - self._visibility + self._bounds.limit
            ]
            ending = [
                m
                for m in self._working.values()
                if now > self._end_of(m) and m.handle not in self._lost
            ]
            self._lost |= {message.handle for message in ending}
        self.give_back(waiting, "limit")
        for message in ending:
            log.warning(
                "message %s is still in work %g s after its receive: the consumer no longer "
                "extends its visibility timeout, and the message is redelivered; give the work a "
                "timeout of its own, restart a consumer that hangs, or raise "
                "HEARTBEAT_LIMIT_SECONDS",
                message.id,
                self._bounds.extensible,
            )
            self._tally.count("extend_ended")
            self._journal.event("extend_ended", message, seconds=self._bounds.extensible)

    def _note(self, messages: Sequence[Message], taken: Sequence[bool], sent: float) -> None:
        """Its time counts from the sending: the answer may be late."""
        deadline = sent + self._visibility
        visible_at = round(time.time() - time.monotonic() + deadline, 3)
        for message, was_taken in zip(messages, taken, strict=True):
            if was_taken:
                with self._lock:
                    if message.handle in self._deadlines:
                        self._deadlines[message.handle] = deadline
                self._journal.event("extended", message, visible_at=visible_at)
            elif self._has_lapsed(message):
                self._refused(message)

    def _refused(self, message: Message) -> None:
        log.warning(
            "message %s: its visibility timeout expired and cannot be extended; another consumer "
            "may receive it now; only one completion will count, and the delete may come too late",
            message.id,
        )
        with self._lock:
            self._lost.add(message.handle)
        self._tally.count("extend_refused")
        self._journal.event("extend_refused", message)
