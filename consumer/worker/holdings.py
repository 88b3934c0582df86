"""Keeps which deliveries this process holds, and makes every change to their visibility.

Lanes, heartbeat and shutdown meet here. What is given back can no longer be started, and what is
started can no longer be given back: that one rule lets a stop release what no lane has begun.
"""

import logging
import math
import time
from collections.abc import Sequence
from threading import Lock

from .journal import Events
from .message import Message
from .meter import Tally
from .ports import Inbox
from .variables import LONGEST_VISIBILITY

log = logging.getLogger(__name__)


class Holdings:
    """The deliveries in hand, of all lanes. `visibility` is in seconds, deadlines are monotonic."""

    def __init__(self, inbox: Inbox, visibility: int, journal: Events, tally: Tally) -> None:
        self._inbox = inbox
        self._visibility = visibility
        self._journal = journal
        self._tally = tally
        self._lock = Lock()  # guards the fields below; never held while anything is sent
        self._waiting: dict[str, Message] = {}
        self._working: dict[str, Message] = {}
        self._deadlines: dict[str, float] = {}
        self._lost: set[str] = set()  # ran out and cannot be extended: leave them out from now on
        self._closed = False
        self._sending = Lock()  # one change of visibility at a time: see `give_back`

    def hold(self, messages: Sequence[Message]) -> bool:
        """Take deliveries in hand; False where a stop came first: they are given back."""
        with self._lock:
            for message in messages:
                self._waiting[message.handle] = message
                self._deadlines[message.handle] = message.deadline
            closed = self._closed
        if closed:
            self.give_back(messages, "shutdown")
        return not closed

    def start(self, message: Message) -> bool:
        """Whether work may begin; False where the delivery has been given back meanwhile."""
        with self._lock:
            found = self._waiting.pop(message.handle, None)
            if found:
                self._working[message.handle] = message
            return found is not None

    def drop(self, messages: Sequence[Message]) -> None:
        """These are finished or left to their visibility timeout: extend them no more."""
        with self._lock:
            for message in messages:
                self._forget(message)

    def close(self) -> None:
        """A stop: give back at once all that no lane has begun, and hold nothing more."""
        with self._lock:
            self._closed = True
            waiting = [m for m in list(self._waiting.values()) if self._forget(m)]
        self._release(waiting, "shutdown")

    def held(self) -> list[Message]:
        """What is in hand now."""
        with self._lock:
            return [*self._waiting.values(), *self._working.values()]

    def give_back(self, messages: Sequence[Message], reason: str) -> None:
        """Make those of the deliveries that are in hand visible again at once."""
        with self._lock:
            held = [message for message in messages if self._forget(message)]
        self._release(held, reason)

    def _forget(self, message: Message) -> bool:
        """Under the lock; whether it was in hand."""
        self._waiting.pop(message.handle, None)
        self._working.pop(message.handle, None)
        self._lost.discard(message.handle)
        return self._deadlines.pop(message.handle, None) is not None

    def _release(self, messages: Sequence[Message], reason: str) -> None:
        """Forgotten first, sent after any extension that is on its way, which would otherwise hide
        again what was just given back."""
        if not messages:
            return
        with self._sending:
            taken = self._inbox.release(messages)
        for message, was_taken in zip(messages, taken, strict=True):
            if was_taken:
                self._tally.count("released")
                self._journal.event("released", message, reason=reason)

    def is_due(self, messages: Sequence[Message]) -> bool:
        """Whether one of these has used up half of its time: do not keep it waiting for others."""
        return any(self.overdue(message) > -self._visibility / 2 for message in messages)

    def keep(self) -> None:
        """Extend everything in hand if part of it is due."""
        if self.is_due(self._extensible()):
            self.extend()

    def extend(self) -> None:
        """Hide everything in hand for another visibility timeout, within the 12 hours of SQS."""
        with self._sending:
            messages = self._extensible()
            if messages:
                taken = self._inbox.extend(messages, self._visibility)
                self._note(messages, taken)

    def overdue(self, message: Message) -> float:
        """Seconds since the delivery's visibility ran out; negative while it lasts."""
        with self._lock:
            return time.monotonic() - self._deadlines.get(message.handle, message.deadline)

    def _has_lapsed(self, message: Message) -> bool:
        """Whether it is in hand and out of time; SQS rightly refuses one finished meanwhile."""
        with self._lock:
            return self._deadlines.get(message.handle, math.inf) < time.monotonic()

    def _extensible(self) -> list[Message]:
        """What is in hand, not lost, and would not be hidden for more than 12 hours (quirk 2)."""
        latest = time.monotonic() - LONGEST_VISIBILITY + 2 * self._visibility
        return [m for m in self.held() if m.handle not in self._lost and m.deadline >= latest]

    def _note(self, messages: Sequence[Message], taken: Sequence[bool]) -> None:
        for message, was_taken in zip(messages, taken, strict=True):
            if was_taken:
                with self._lock:
                    if message.handle in self._deadlines:
                        self._deadlines[message.handle] = time.monotonic() + self._visibility
                visible_at = round(time.time() + self._visibility, 3)
                self._journal.event("extended", message, visible_at=visible_at)
            elif self._has_lapsed(message):
                self._refused(message)

    def _refused(self, message: Message) -> None:
        log.warning(
            "message %s: its visibility ran out and cannot be extended; another consumer may work "
            "on it now, its delete is likely to be stale, and only one completion will count",
            message.id,
        )
        with self._lock:
            self._lost.add(message.handle)
        self._tally.count("extend_refused")
        self._journal.event("extend_refused", message)
