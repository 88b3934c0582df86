"""Deletes completed messages, and tries again where SQS does not confirm it; holds up no lane.

A message that is completed and not deleted comes back and costs a receive, and on its last one it
ends in the DLQ. A delete with an old receipt handle does no harm (quirk 3): the message is
completed, whoever holds it. So a delete is tried again until the visibility timeout expires, and
once more then.
"""

import logging
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from .events import Events, Tally
from .in_flight import InFlight
from .message import Message
from .ports import Deletion, Inbox

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
"""Seconds between two tries, and for which a delete is tried again whatever the timeout."""
BACKLOG = 10
"""Deletes that may be open while messages are received; more receives would only add to them."""

log = logging.getLogger(__name__)


@dataclass
class _Open:
    """A delete that SQS did not confirm. The moments are monotonic: when the visibility timeout
    expires, when it is tried for the last time, and when it is tried next."""

    message: Message
    expires: float
    last_try: float
    next_try: float = 0.0
    pause: float = FIRST_PAUSE
    trying: bool = False


class Deletes:
    """The deletes of all lanes; what is open here is no longer among the in_flight."""

    def __init__(self, inbox: Inbox, in_flight: InFlight, journal: Events, tally: Tally) -> None:
        self._inbox = inbox
        self._in_flight = in_flight
        self._journal = journal
        self._tally = tally
        self._lock = Lock()  # guards the fields below; never held while anything is sent
        self._open: dict[str, _Open] = {}
        self._end = math.inf

    @property
    def open(self) -> int:
        """How many messages are completed and perhaps not deleted."""
        return len(self._open)

    def left(self) -> list[Message]:
        """What is completed and perhaps not deleted."""
        with self._lock:
            return [one.message for one in self._open.values()]

    def hurry(self, deadline: float) -> None:
        """A stop: nothing is tried after this moment of the monotonic clock but for a last time."""
        self._end = deadline

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete; what SQS does not confirm stays open for `retry`."""
        if not messages:
            return
        deletions = self._inbox.delete(messages)
        unsure = [
            message
            for message, deletion in zip(messages, deletions, strict=True)
            if not self._settled(message, deletion)
        ]
        if unsure:
            log.warning(
                "SQS did not confirm the delete of %s completed messages, the first is %s; it is "
                "tried again until their visibility timeout expires",
                len(unsure),
                unsure[0].id,
            )

    def retry(self) -> None:
        """Try again what is due."""
        now = time.monotonic()
        with self._lock:
            due = [
                one
                for one in self._open.values()
                if not one.trying and now >= min(one.next_try, self._end)
            ]
            for one in due:
                one.trying = True
        messages = [one.message for one in due]
        deletions = self._inbox.delete(messages) if messages else []
        for message, deletion in zip(messages, deletions, strict=True):
            self._settled(message, deletion)

    def _settled(self, message: Message, deletion: Deletion) -> bool:
        """Whether this is the last word about a message; else it is tried again."""
        late = self._overdue(message)
        if deletion is Deletion.UNKNOWN and self._stays_open(message, late):
            return False
        with self._lock:
            self._open.pop(message.handle, None)
        self._in_flight.drop([message])
        self._journal.event(deletion.value, message)
        self._report(message, deletion, late)
        return True

    def _overdue(self, message: Message) -> float:
        """Seconds since its visibility timeout expired; negative while it lasts."""
        with self._lock:
            known = self._open.get(message.handle)
        return time.monotonic() - known.expires if known else self._in_flight.overdue(message)

    def _stays_open(self, message: Message, late: float) -> bool:
        """Plan the next try; False where there is none."""
        now = time.monotonic()
        with self._lock:
            expires = now - late
            one = self._open.setdefault(
                message.handle, _Open(message, expires, max(expires, now + LONGEST_PAUSE))
            )
            if now >= min(one.last_try, self._end):
                return False
            one.next_try = min(now + random.uniform(one.pause / 2, one.pause), one.last_try)
            one.pause = min(one.pause * 2, LONGEST_PAUSE)
            one.trying = False
        self._in_flight.drop([message])
        return True

    def _report(self, message: Message, deletion: Deletion, late: float) -> None:
        if deletion is Deletion.UNKNOWN:
            self._tally.count("unknown")
            log.warning(
                "message %s is completed, but SQS did not confirm any delete; if the message is "
                "redelivered, the work is skipped and it is deleted then",
                message.id,
            )
        elif deletion is Deletion.STALE:
            self._tally.count("stale_deletes")
            log.warning(
                "message %s was not deleted: the receipt handle has expired; the redelivery will "
                "skip the work",
                message.id,
            )
        if deletion is not Deletion.UNKNOWN and late > 0:
            self._tally.count("late_finishes")
            log.warning(
                "message %s finished %.1f s after its visibility timeout expired, so it may "
                "have been redelivered; shorten the work, raise the visibility timeout or set "
                "HEARTBEAT_SECONDS",
                message.id,
                late,
            )
