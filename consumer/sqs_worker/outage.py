"""Outlasts a ledger that is down or throttled without spending receives of the messages in hand.

A receive is a message's budget: with a maxReceiveCount of 2, two of them lost to an outage put a
healthy message into the DLQ. So while the ledger is down, what is in hand stays in hand for
`HOLD_SECONDS`, kept hidden by the heartbeat; one caller at a time tries again; and no receive
begins. A write that fails although the ledger answers its probe is no outage but the failure of one
message, which must not stop the others.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Lock, get_ident
from typing import Any, TypeVar

from .events import Events
from .in_flight import Bounds
from .message import Message
from .ports import Claim, Completion, Ledger, LedgerDown

HOLD_SECONDS = 60.0
"""How long messages are held; then they are given back, for consumers whose ledger answers. One on
its last receive would not reach them, but the DLQ: its batch is held as long as SQS hides it."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
PROBES = 3
"""Probes in a row that must succeed before a receive, where nothing is in hand to try with."""
TRIES_ALONE = 3
"""Tries of one message that must fail, each right after a good probe, before the failure counts as
the message's own: while only some calls fail, a good probe and a failed call may be chance."""
TRIES_IN_WORK = 15
"""The same of a call that the work makes, which takes about a minute. It may be a read, of which
the probe, a write, says less."""
_TICK = 0.5

T = TypeVar("T")
log = logging.getLogger(__name__)


class NotDown(Exception):
    """A call fails although the ledger answers: the cause is in what the call writes."""


class Outage:
    """Whether the ledger is down, and the waiting until it is up; shared by all lanes.

    After a failed call the ledger counts as down at once, but that is an outage only when a probe
    fails, too. `stopping` is set when a stop is asked for. `slow_start(throttled=...)` is called at
    the end of each outage.
    """

    def __init__(self, stopping: Event, journal: Events, slow_start: Callable[..., object]) -> None:
        self._stopping = stopping
        self._journal = journal
        self._slow_start = slow_start
        self._trial = Lock()  # held by the one caller that may try
        self._down = Event()
        self._is_sure = False  # of the outage
        self._throttled = False
        self._retrying: set[int] = set()  # threads
        self._answers = 0  # good answers of the ledger, to anyone
        self._failures = 0
        self._successes = 0
        self._since = 0.0
        self._deadline = math.inf

    @property
    def is_down(self) -> bool:
        """Whether the last call to the ledger failed, even if its cause is not known yet."""
        return self._down.is_set()

    @property
    def is_holding(self) -> bool:
        """Whether messages in hand must be kept hidden, since calls for them may be repeated."""
        return self.is_down or bool(self._retrying)

    def hurry(self, deadline: float) -> None:
        """A stop: nobody waits past this moment of the monotonic clock."""
        self._deadline = deadline

    def outlast(
        self,
        call: Callable[[], T],
        probe: Callable[[], None],
        *,
        tries: int,
        give_up: float,
        until_the_end: bool,
    ) -> T:
        """The answer of a call to the ledger, however long that takes until `give_up` (monotonic).

        A stop ends the waiting at once, or, `until_the_end`, when its time is up. Raises
        LedgerDown then, and NotDown where the call has failed so many `tries` more although the
        ledger answered others, or a probe, since the try before.
        """
        if not self.is_down:
            try:
                answer = call()
            except LedgerDown as error:
                self._note_failure(error)
            else:
                self._answers += 1
                return answer

        def in_vain() -> bool:
            asked = self._stopping.is_set() and not until_the_end
            return asked or time.monotonic() >= min(give_up, self._deadline)

        self._retrying.add(get_ident())
        try:
            return self._retry(call, probe, tries, in_vain)
        finally:
            self._retrying.discard(get_ident())

    def _retry(
        self,
        call: Callable[[], T],
        probe: Callable[[], None],
        tries: int,
        in_vain: Callable[[], bool],
    ) -> T:
        answers, failed = self._answers, 0
        while True:
            self._await_turn(in_vain)
            try:
                return self._try_again(call, probe, answers)
            except LedgerDown:
                failed = 0
            except NotDown:
                failed += 1
                if failed == tries:
                    raise
            finally:
                self._trial.release()
            answers = self._answers
            if failed:
                self._pause(failed - 1, in_vain)

    def _try_again(self, call: Callable[[], T], probe: Callable[[], None], answers: int) -> T:
        """One try, and a probe before it where the ledger has answered nobody since the last one.

        A throttled ledger gets no probe, which would take capacity that the call needs.
        """
        if self._answers == answers and not self._throttled:
            self._check(probe)
        has_answered = self._answers != answers
        try:
            answer = call()
        except LedgerDown as error:
            if has_answered and _may_be_its_own(error):
                raise NotDown(str(error)) from error
            self._note_failure(error)
            raise
        self._note_up()
        return answer

    def await_up(self, probe: Callable[[], None], over: Callable[[], bool]) -> None:
        """Before a receive: return at once where all is well, else probe until the ledger is up.

        A probe costs no receive, which a try with a message would. Also returns when receiving is
        `over`.
        """
        while self.is_down and not over():
            if not self._trial.acquire(timeout=_TICK):
                continue
            try:
                self._pause_in_outage(lambda: over() or not self.is_down)
                if self.is_down and not over():
                    self._check(probe)
                    self._failures = 0
            except LedgerDown:
                continue
            finally:
                self._trial.release()

    def _check(self, probe: Callable[[], None]) -> None:
        """Probe; in an outage it takes several good probes in a row. Raises LedgerDown."""
        try:
            probe()
        except LedgerDown as error:
            self._note_down(error)
            raise
        self._answers += 1
        self._successes += 1
        if self._successes >= PROBES or not self._is_sure:
            self._note_up()

    def _await_turn(self, in_vain: Callable[[], bool]) -> None:
        """Return with `_trial` held; raises LedgerDown when the time is up or a stop comes."""
        while not in_vain():
            if not self._trial.acquire(timeout=_TICK):
                continue
            self._pause_in_outage(in_vain)
            if not in_vain():
                return
            self._trial.release()
        raise LedgerDown("gave up waiting for the ledger")

    def _pause_in_outage(self, in_vain: Callable[[], bool]) -> None:
        if self._is_sure:
            self._pause(self._failures, in_vain)

    def _pause(self, failures: int, in_vain: Callable[[], bool]) -> None:
        """Wait with exponential backoff and jitter, or until there is nothing to wait for."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
        until = time.monotonic() + random.uniform(longest / 2, longest)
        while not in_vain() and (left := until - time.monotonic()) > 0:
            time.sleep(min(_TICK, left))

    def _note_failure(self, error: LedgerDown) -> None:
        """A call failed. If the cause may be its own row, a probe must first say which it is."""
        if _may_be_its_own(error):
            self._throttled = False
            self._set_down()
        else:
            self._note_down(error)

    def _note_down(self, error: LedgerDown) -> None:
        self._failures += 1
        self._successes = 0
        self._throttled = error.throttled
        self._set_down()
        if self._is_sure:
            return
        self._is_sure = True
        state, advice = _DOWN[error.throttled]
        log.error(
            "%s: %s; the consumer receives nothing until it answers again; the messages that it "
            "holds stay hidden for up to %g s, or longer if on their final receive; %s",
            state,
            error,
            HOLD_SECONDS,
            advice,
        )
        self._journal.event("outage", state="down", reason=str(error), throttled=error.throttled)

    def _set_down(self) -> None:
        if not self.is_down:
            self._since = time.monotonic()
            self._down.set()

    def _note_up(self) -> None:
        self._answers += 1
        self._failures = self._successes = 0
        if self._is_sure:
            self._is_sure = False
            self._slow_start(throttled=self._throttled)
            seconds = time.monotonic() - self._since
            log.warning(
                "the tables answer again after %.1f s; the consumer receives slowly at first",
                seconds,
            )
            self._journal.event("outage", state="up", reason=f"{seconds:.3f} s")
        self._down.clear()


_DOWN = {
    False: ("the ledger is down", "check the tables, the credentials and the endpoint"),
    True: (
        "the ledger is throttled",
        "raise the write capacity of the tables, or the warm throughput of new on-demand tables",
    ),
}
"""What to say of an outage and what to do, by whether the ledger was throttled."""


def _may_be_its_own(error: LedgerDown) -> bool:
    """Whether the failure of a call may come from the one row that it writes: only a server error
    or a missing answer may, not a refusal, throttling or the answer of something else."""
    return error.passing and not error.throttled


class RetryingLedger:
    """A ledger whose claims and completions outlast an outage.

    A stop ends the waiting for a claim, whose messages are given back; work that is done waits for
    its completion as long as the stop allows, and so does a message that cannot be given back. A
    batch that fails although the ledger answers is tried message by message; a message that fails
    alone is unknown.
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
        wait = self._waiting(messages, until_the_end=self._has_last(messages))
        return self._settled(self._ledger.claim, messages, Claim.UNKNOWN, wait)

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """See the ledger's; a completion that did happen is found and not repeated."""
        wait = self._waiting(messages, until_the_end=True)
        return self._settled(self._ledger.complete, messages, Completion.UNKNOWN, wait)

    def outlast(self, message: Message, call: Callable[[], T]) -> T:
        """The answer of a call to the tables that the work on a message makes; raises NotDown where
        it goes on failing although the ledger answers, which is a failure of the work."""
        wait = self._waiting([message], until_the_end=True)
        return wait(call, tries=TRIES_IN_WORK)  # type: ignore[no-any-return]

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        """See the ledger's; not worth waiting for: a failed message is in the queue anyway."""
        return self._ledger.fail(reasons)

    def _has_last(self, messages: Sequence[Message]) -> bool:
        return any(self._bounds.is_last(message) for message in messages)

    def _waiting(self, messages: Sequence[Message], *, until_the_end: bool) -> Callable[..., Any]:
        """`Outage.outlast` for these messages, which have one time limit together."""
        seconds = self._bounds.extensible if self._has_last(messages) else HOLD_SECONDS
        return partial(
            self._outage.outlast,
            probe=self.probe,
            give_up=time.monotonic() + seconds,
            until_the_end=until_the_end,
        )

    def _settled(
        self,
        call: Callable[[Sequence[Message]], list[T]],
        messages: Sequence[Message],
        unknown: T,
        wait: Callable[..., list[T]],
    ) -> list[T]:
        is_alone = len(messages) == 1
        try:
            return wait(lambda: call(messages), tries=TRIES_ALONE if is_alone else 1)
        except NotDown as error:
            if is_alone:
                log.error(
                    "message %s: its rows cannot be written, although the tables answer: %s; it "
                    "stays in the queue and goes to the DLQ after its final receive; look at its "
                    "rows in both tables",
                    messages[0].id,
                    error,
                )
                return [unknown]
        answers: list[T] = []
        down: LedgerDown | None = None
        for message in messages:
            try:
                answers += self._settled(call, [message], unknown, wait)
            except LedgerDown as error:  # some are settled, so this must not give back all
                answers.append(unknown)
                down = error
        if down and all(answer is unknown for answer in answers):
            raise down
        return answers
