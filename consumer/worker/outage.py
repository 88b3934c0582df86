"""Outlasts a ledger that is down without spending the receives of the messages in hand.

A receive is a message's budget: with a maxReceiveCount of 2, two of them lost to an outage put a
healthy message into the DLQ. So while the ledger is down, what is in hand stays in hand for
`HOLD_SECONDS`, kept hidden by the heartbeat; one caller at a time tries again; and no receive
begins.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import TypeVar

from .holdings import Bounds
from .journal import Events
from .message import Message
from .ports import Claim, Completion, Ledger, LedgerDown

HOLD_SECONDS = 60.0
"""How long messages are held; then they are given back, for consumers whose ledger answers. One on
its last receive would not reach them, but the DLQ: its batch is held as long as SQS hides it."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
PROBES = 3
"""Probes in a row that must succeed before a receive, where nothing is in hand to try with."""
_TICK = 0.5

T = TypeVar("T")
log = logging.getLogger(__name__)


class Outage:
    """Whether the ledger is down, and the waiting until it is up; shared by all lanes.

    `stopping` is set when a stop is asked for.
    """

    def __init__(self, stopping: Event, journal: Events) -> None:
        self._stopping = stopping
        self._journal = journal
        self._trial = Lock()  # held by the one caller that may try
        self._down = Event()
        self._failures = 0
        self._successes = 0
        self._since = 0.0
        self._deadline = math.inf

    @property
    def is_down(self) -> bool:
        """Whether the last call to the ledger failed."""
        return self._down.is_set()

    def hurry(self, deadline: float) -> None:
        """A stop: nobody waits past this moment of the monotonic clock."""
        self._deadline = deadline

    def outlast(
        self, call: Callable[[], T], *, until_the_end: bool, seconds: float = HOLD_SECONDS
    ) -> T:
        """The answer of a call to the ledger, however long that takes within so many seconds.

        A stop ends the waiting at once, or, `until_the_end`, when its time is up. Raises
        LedgerDown then.
        """
        give_up = time.monotonic() + seconds
        if not self.is_down:
            try:
                return call()
            except LedgerDown as error:
                self._note_down(error)
        while True:
            self._await_turn(give_up, until_the_end=until_the_end)
            try:
                answer = call()
            except LedgerDown as error:
                self._note_down(error)
            else:
                self._note_up()
                return answer
            finally:
                self._trial.release()

    def await_up(self, probe: Callable[[], None], over: Callable[[], bool]) -> bool:
        """Before a receive: return at once where all is well, else probe until the ledger is up.

        A probe costs no receive, which a try with a message would. Also returns when receiving is
        `over`. True if the ledger was down.
        """
        was_down = self.is_down
        while self.is_down and not over():
            if not self._trial.acquire(timeout=_TICK):
                continue
            try:
                self._probe_once(probe, over)
            finally:
                self._trial.release()
        return was_down

    def _probe_once(self, probe: Callable[[], None], over: Callable[[], bool]) -> None:
        self._pause(lambda: over() or not self.is_down)
        if over() or not self.is_down:
            return
        try:
            probe()
        except LedgerDown as error:
            self._note_down(error)
            return
        self._failures = 0
        self._successes += 1
        if self._successes == PROBES:
            self._note_up()

    def _await_turn(self, give_up: float, *, until_the_end: bool) -> None:
        """Return with `_trial` held; raises LedgerDown when the time is up or a stop comes."""

        def in_vain() -> bool:
            asked = self._stopping.is_set() and not until_the_end
            return asked or time.monotonic() >= min(give_up, self._deadline)

        while not in_vain():
            if not self._trial.acquire(timeout=_TICK):
                continue
            if self.is_down:
                self._pause(in_vain)
            if not in_vain():
                return
            self._trial.release()
        raise LedgerDown("waited in vain for the ledger to come back")

    def _pause(self, in_vain: Callable[[], bool]) -> None:
        """Wait with exponential backoff and jitter, or until there is nothing to wait for."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 10))
        until = time.monotonic() + random.uniform(longest / 2, longest)
        while not in_vain() and (left := until - time.monotonic()) > 0:
            time.sleep(min(_TICK, left))

    def _note_down(self, error: LedgerDown) -> None:
        self._failures += 1
        self._successes = 0
        if self.is_down:
            return
        self._down.set()
        self._since = time.monotonic()
        log.error(
            "the ledger is down: %s; nothing is received until it answers, messages in hand stay "
            "hidden for up to %g s, and longer where the DLQ is next; check the tables, the "
            "credentials and the endpoint",
            error,
            HOLD_SECONDS,
        )
        self._journal.event("outage", state="down", reason=str(error))

    def _note_up(self) -> None:
        self._failures = self._successes = 0
        if self.is_down:
            self._down.clear()
            seconds = time.monotonic() - self._since
            log.warning("the ledger is up again after %.1f s; receiving slowly at first", seconds)
            self._journal.event("outage", state="up", reason=f"{seconds:.3f} s")


class PatientLedger:
    """A ledger whose claims and completions outlast an outage.

    A stop ends the waiting for a claim, whose messages are given back; work that is done waits for
    its completion as long as the stop allows, and so does a message that cannot be given back.
    """

    def __init__(self, ledger: Ledger, outage: Outage, bounds: Bounds) -> None:
        self._ledger = ledger
        self._outage = outage
        self._bounds = bounds

    def probe(self) -> None:
        """See the ledger's."""
        self._ledger.probe()

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        """See the ledger's; a claim that did happen is found by its delivery and not repeated."""
        return self._outage.outlast(
            lambda: self._ledger.claim(messages),
            until_the_end=self._has_last(messages),
            seconds=self._patience(messages),
        )

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """See the ledger's; a completion that did happen is found and not repeated."""
        return self._outage.outlast(
            lambda: self._ledger.complete(messages),
            until_the_end=True,
            seconds=self._patience(messages),
        )

    def outlast(self, message: Message, call: Callable[[], T]) -> T:
        """The answer of a call to the tables that the work on a message makes."""
        return self._outage.outlast(call, until_the_end=True, seconds=self._patience([message]))

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        """See the ledger's; not worth waiting for: a failed message is in the queue anyway."""
        return self._ledger.fail(reasons)

    def _has_last(self, messages: Sequence[Message]) -> bool:
        return any(self._bounds.is_last(message) for message in messages)

    def _patience(self, messages: Sequence[Message]) -> float:
        return self._bounds.extensible if self._has_last(messages) else HOLD_SECONDS
