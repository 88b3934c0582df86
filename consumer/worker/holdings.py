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
        self._closed = False
        self._sending = Lock()  # one change of visibility at a time: see `give_back`

    def hold(self, messages: Sequence[Message]) -> bool:
        """Take deliveries in hand; False where a stop came first: the caller gives them back."""
        with self._lock:
            if self._closed:
                return False
            for message in messages:
                self._waiting[message.handle] = message
                self._deadlines[message.handle] = message.deadline
            return True

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
                self._waiting.pop(message.handle, None)
                self._working.pop(message.handle, None)
                self._deadlines.pop(message.handle, None)

    def close(self) -> None:
        """A stop: give back at once all that no lane has begun, and hold nothing more."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting.values())
            self._waiting.clear()  # before the lock opens, or a lane could still start one
        self.give_back(waiting, "shutdown")

    def held(self) -> list[Message]:
        """What is in hand now."""
        with self._lock:
            return [*self._waiting.values(), *self._working.values()]

    def give_back(self, messages: Sequence[Message], reason: str) -> None:
        """Make deliveries visible again at once.

        They are forgotten first and sent after any extension that is on its way, which would
        otherwise hide again what was just given back.
        """
        self.drop(messages)
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
        """Extend everything in hand if part of it is due; for whoever has to wait."""
        if self.is_due(self.held()):
            self.extend()

    def extend(self) -> None:
        """Hide everything in hand for another visibility timeout, within the 12 hours of SQS."""
        with self._sending:
            messages = [message for message in self.held() if self._may_extend(message)]
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

    def _may_extend(self, message: Message) -> bool:
        received = message.deadline - self._visibility
        return time.monotonic() + self._visibility - received <= LONGEST_VISIBILITY

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
        self._tally.count("extend_refused")
        self._journal.event("extend_refused", message)
