"""The failure knobs, as wrappers around the ports; only the door knows that they exist.

A crash is `os._exit`: as with a real one, nothing is flushed, unwound or given back.
"""

import logging
import os
import random
import time
from collections.abc import Sequence
from itertools import count
from typing import Protocol

from .events import Events
from .exits import Exit
from .http_service import Answer, Call, Request
from .message import Message
from .ports import Claim, Completion, Deletion, Inbox, Ledger, QueueFacts, Rejected, Work

log = logging.getLogger(__name__)


class Crash:
    """Dies at one named boundary of the path, after saying so in the journal."""

    def __init__(self, point: str, journal: Events, max_receives: int = 0) -> None:
        """`max_receives`: what was received more often is left alone; 0 = nothing is."""
        self._point = point
        self._journal = journal
        self._max_receives = max_receives

    def at(self, point: str, messages: Sequence[Message | Request]) -> None:
        """Die if this is the boundary and a message is at it."""
        most = self._max_receives
        if point == self._point and any(not most or m.receive_count <= most for m in messages):
            self.die(messages)

    def die(self, messages: Sequence[Message | Request]) -> None:
        """Die now; one event for each message that is at the boundary."""
        for message in messages:
            self._journal.event(
                "crash",
                message,
                point=self._point,
                code=int(Exit.CRASHED),
                receive_count=message.receive_count,
            )
        log.warning("crashing on purpose at %s, with %s messages", self._point, len(messages))
        os._exit(Exit.CRASHED)


class CrashingInbox:
    """An inbox with a crash at one of its boundaries."""

    def __init__(self, inbox: Inbox, crash: Crash) -> None:
        self._inbox = inbox
        self._crash = crash

    def facts(self) -> QueueFacts:
        """See the inbox's."""
        return self._inbox.facts()

    def receive(self, limit: int, wait: int) -> list[Message]:
        """See the inbox's; then after-receive."""
        messages = self._inbox.receive(limit, wait)
        self._crash.at("after-receive", messages)
        return messages

    def delete(self, messages: Sequence[Message]) -> list[Deletion]:
        """before-delete; see the inbox's; after-delete."""
        self._crash.at("before-delete", messages)
        deletions = self._inbox.delete(messages)
        self._crash.at("after-delete", messages)
        return deletions

    def release(self, messages: Sequence[Message]) -> list[bool]:
        """in-shutdown; see the inbox's."""
        self._crash.at("in-shutdown", messages)
        return self._inbox.release(messages)

    def extend(self, messages: Sequence[Message], seconds: int) -> list[bool]:
        """See the inbox's; then in-heartbeat."""
        taken = self._inbox.extend(messages, seconds)
        self._crash.at("in-heartbeat", messages)
        return taken


class TwoWrites(Ledger, Protocol):
    """A ledger whose completion is two writes, the gate and the effect."""

    def record(self, messages: Sequence[Message]) -> list[bool]: ...


class CrashingLedger:
    """A ledger with a crash at one of its boundaries."""

    def __init__(self, ledger: Ledger, crash: Crash) -> None:
        self._ledger = ledger
        self._crash = crash

    def probe(self) -> None:
        """See the ledger's."""
        self._ledger.probe()

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        """See the ledger's; then after-claim."""
        claims = self._ledger.claim(messages)
        self._crash.at("after-claim", messages)
        return claims

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """before-complete; see the ledger's; after-complete."""
        self._crash.at("before-complete", messages)
        completions = self._ledger.complete(messages)
        self._crash.at("after-complete", messages)
        return completions

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        """See the ledger's."""
        return self._ledger.fail(reasons)


class CrashBetweenWrites(CrashingLedger):
    """A ledger that dies between the two writes of a plain completion."""

    def __init__(self, ledger: TwoWrites, crash: Crash) -> None:
        super().__init__(ledger, crash)
        self._two_writes = ledger

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """The first write, and then nothing."""
        self._two_writes.record(messages)
        self._crash.die(messages)
        raise AssertionError("unreachable")


def simulated(low: float, high: float) -> Work:
    """Work that takes a random time between `low` and `high` seconds."""

    def work(_message: Message) -> None:
        time.sleep(random.uniform(low, high))

    return work


def slow(work: Work, seconds: float, every: int) -> Work:
    """Every Nth message of this process takes `seconds` longer."""
    numbers = count(1)  # its next() is one bytecode, so lanes cannot share a number

    def slow_work(message: Message) -> None:
        if next(numbers) % every == 0:
            time.sleep(seconds)
        work(message)

    return slow_work


def rejecting(work: Work, marker: str) -> Work:
    """Messages whose body contains `marker` are refused."""

    def picky_work(message: Message) -> None:
        if marker in message.body:
            raise Rejected(f"the body contains {marker!r}")
        work(message)

    return picky_work


def crashing_work(work: Work, crash: Crash) -> Work:
    """in-work; the work; after-work."""

    def doomed_work(message: Message) -> None:
        crash.at("in-work", [message])
        work(message)
        crash.at("after-work", [message])

    return doomed_work


def crashing_calls(call: Call, crash: Crash) -> Call:
    """before-ACTION; the call; after-ACTION, when nobody here has taken note of the answer yet."""

    def doomed_call(request: Request) -> Answer:
        crash.at(f"before-{request.action}", [request])
        answer = call(request)
        crash.at(f"after-{request.action}", [request])
        return answer

    return doomed_call


def crashing_sometimes(work: Work, rate: float, crash: Crash) -> Work:
    """A crash in the work with this probability per message."""

    def unlucky_work(message: Message) -> None:
        if random.random() < rate:
            crash.die([message])
        work(message)

    return unlucky_work
