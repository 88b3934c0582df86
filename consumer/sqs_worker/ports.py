"""The three sides of the path of a message, and what each may answer; knows nothing of AWS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from .message import Message


class Claim(Enum):
    """What the ledger says to a claim of one message."""

    CLAIMED = "claimed"
    ALREADY_DONE = "already_done"
    CHANGED = "payload_changed"
    """Another body was completed under this key: not a second delivery of it."""
    UNKNOWN = "claim_unknown"


class Completion(Enum):
    """What the ledger says to the completion of one message."""

    EFFECT = "completed"
    """This write moved the row to COMPLETED: the one effect."""
    ALREADY_DONE = "already_done"
    """Another delivery had done so before."""
    CHANGED = "payload_changed"
    """Another message had done so before: its body is not this one's."""
    UNKNOWN = "complete_unknown"


class Deletion(Enum):
    """What the queue says to the delete of one message."""

    DELETED = "deleted"
    STALE = "delete_stale"
    UNKNOWN = "delete_unknown"


class Down(Exception):
    """A service gave no usable answer; whether the call had its effect is not known.

    `passing` says whether the cause may go away by itself (refused, reset, timed out, 5xx,
    throttled), `throttled` whether the service said that it was asked too fast.
    """

    def __init__(self, reason: str, *, passing: bool = True, throttled: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing
        self.throttled = throttled


class LedgerDown(Down):
    """The ledger as a whole cannot be used now; whether the write happened is not known."""


class InboxDown(Down):
    """The queue cannot be used now."""


class Rejected(Exception):
    """The work refuses this message; it stays in the queue and, in the end, reaches the DLQ."""


@dataclass(frozen=True)
class QueueFacts:
    """What the consumer needs to know of its queue: seconds, and receives before the DLQ."""

    visibility: int
    max_receives: int | None


Work = Callable[[Message], None]
"""The work on one message; raises `Rejected` to refuse it."""


class Inbox(Protocol):
    """A queue: `facts` and `receive` may raise `InboxDown`; every other method answers for each
    message and never raises."""

    def facts(self) -> QueueFacts: ...
    def receive(self, limit: int, wait: int) -> list[Message]: ...
    def delete(self, messages: Sequence[Message]) -> list[Deletion]: ...
    def release(self, messages: Sequence[Message]) -> list[bool]: ...
    def extend(self, messages: Sequence[Message], seconds: int) -> list[bool]: ...


class Ledger(Protocol):
    """A record of claims and completions; `claim`, `complete` and `fail` may raise `LedgerDown`."""

    def probe(self) -> None: ...
    def claim(self, messages: Sequence[Message]) -> list[Claim]: ...
    def complete(self, messages: Sequence[Message]) -> list[Completion]: ...
    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]: ...
