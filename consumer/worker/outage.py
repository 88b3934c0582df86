"""Outlasts a ledger that is down without spending the receives of the messages in hand.

A receive is a message's budget: with a maxReceiveCount of 2, two of them lost to an outage put a
healthy message into the DLQ. So while the ledger is down, what is in hand stays in hand, hidden,
for `HOLD_SECONDS`; one caller at a time tries again; and nobody receives.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import TypeVar

from .holdings import Holdings
from .journal import Events
from .message import Message
from .ports import Claim, Completion, Ledger, LedgerDown

HOLD_SECONDS = 60.0
"""How long messages are held; then they are given back, for consumers whose ledger answers."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
PROBES = 3
"""Probes in a row that must succeed before a receive, where nothing is in hand to try with."""
_TICK = 0.5

T = TypeVar("T")
log = logging.getLogger(__name__)


class Outage:
    """Whether the ledger is down, and the waiting until it is up; shared by all lanes."""

    def __init__(self, holdings: Holdings, stopping: Event, journal: Events) -> None:
        self._holdings = holdings
        self._stopping = stopping
        self._journal = journal
        self._trial = Lock()  # held by the one caller that may try
        self._down = Event()
        self._failures = 0
        self._since = 0.0

    @property
    def is_down(self) -> bool:
        """Whether the last call to the ledger failed."""
        return self._down.is_set()

    def outlast(self, call: Callable[[], T]) -> T:
        """The answer of a call to the ledger, however long that takes within HOLD_SECONDS.

        Raises LedgerDown after that, or when a stop is asked for.
        """
        give_up = time.monotonic() + HOLD_SECONDS
        if not self.is_down:
            try:
                return call()
            except LedgerDown as error:
                self._note_down(error)
        while True:
            self._await_turn(give_up)
            try:
                answer = call()
            except LedgerDown as error:
                self._note_down(error)
                if time.monotonic() >= give_up:
                    raise
            else:
                self._note_up()
                return answer
            finally:
                self._trial.release()

    def await_up(self, probe: Callable[[], None]) -> bool:
        """Before a receive: True at once where all is well; else probe until the ledger is up.

        A probe costs no receive, which a try with a message would. True if it was down.
        """
        was_down = self.is_down
        successes = 0
        while self.is_down and not self._stopping.is_set():
            if not self._trial.acquire(timeout=_TICK):
                continue
            try:
                successes = self._probe_once(probe, successes)
            finally:
                self._trial.release()
        return was_down

    def _probe_once(self, probe: Callable[[], None], successes: int) -> int:
        if not self.is_down or self._pause(time.monotonic() + LONGEST_PAUSE):
            return 0
        try:
            probe()
        except LedgerDown as error:
            self._note_down(error)
            return 0
        if successes + 1 == PROBES:
            self._note_up()
        return successes + 1

    def _await_turn(self, give_up: float) -> None:
        """Return with `_trial` held; raises LedgerDown when the time is up or a stop comes."""
        while not self._trial.acquire(timeout=_TICK):
            self._holdings.keep()
            if self._stopping.is_set() or time.monotonic() >= give_up:
                raise LedgerDown("waited in vain for the ledger to come back")
        if self.is_down and self._pause(give_up):
            self._trial.release()
            raise LedgerDown("waited in vain for the ledger to come back")

    def _pause(self, give_up: float) -> bool:
        """Wait with exponential backoff and jitter, keeping messages hidden; True on a stop."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 10))
        until = min(give_up, time.monotonic() + random.uniform(longest / 2, longest))
        while (left := until - time.monotonic()) > 0:
            if self._stopping.wait(min(_TICK, left)):
                return True
            self._holdings.keep()
        return self._stopping.is_set()

    def _note_down(self, error: LedgerDown) -> None:
        self._failures += 1
        if self.is_down:
            return
        self._down.set()
        self._since = time.monotonic()
        log.error(
            "the ledger is down: %s; nothing is received until it answers, messages in hand stay "
            "hidden for up to %g s; check the tables, the credentials and the endpoint",
            error,
            HOLD_SECONDS,
        )
        self._journal.event("outage", state="down", reason=str(error))

    def _note_up(self) -> None:
        self._failures = 0
        if self.is_down:
            self._down.clear()
            seconds = time.monotonic() - self._since
            log.warning("the ledger is up again after %.1f s; receiving slowly at first", seconds)
            self._journal.event("outage", state="up", reason=f"{seconds:.3f} s")


class PatientLedger:
    """A ledger whose claims and completions outlast an outage."""

    def __init__(self, ledger: Ledger, outage: Outage) -> None:
        self._ledger = ledger
        self._outage = outage

    def probe(self) -> None:
        """See the ledger's."""
        self._ledger.probe()

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        """See the ledger's; a claim that did happen is found by its delivery and not repeated."""
        return self._outage.outlast(lambda: self._ledger.claim(messages))

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """See the ledger's; a completion that did happen is found and not repeated."""
        return self._outage.outlast(lambda: self._ledger.complete(messages))

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> None:
        """See the ledger's; not worth waiting for: a failed message is in the queue anyway."""
        self._ledger.fail(reasons)
