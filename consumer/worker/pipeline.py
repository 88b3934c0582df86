"""Takes one batch through the path of a message: cache, claim, work, completion, delete.

A batch is the unit and a message the outcome; nothing here knows of AWS, threads or failures that
somebody injected. Whatever goes wrong, only what was completed is deleted.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from .cache import FinishedIds
from .holdings import Holdings
from .journal import Events
from .message import Message, waves
from .meter import Tally
from .ports import Claim, Completion, Deletion, Inbox, Ledger, LedgerDown, Rejected, Work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pipeline:
    """The path of a batch on its ports; one pipeline serves all lanes.

    `commit_batch` is how many completions are written in one call.
    """

    inbox: Inbox
    ledger: Ledger
    work: Work
    holdings: Holdings
    finished: FinishedIds
    journal: Events
    tally: Tally
    commit_batch: int

    def run(self, batch: Sequence[Message]) -> None:
        """Take a batch to its outcomes; raises LedgerDown, with what is done already deleted."""
        for wave in waves(batch):
            done: list[Message] = []
            try:
                self._process(wave, done)
            finally:
                self._delete(done)

    def _process(self, wave: Sequence[Message], done: list[Message]) -> None:
        fresh = []
        for message in wave:
            if self.finished.has(message.key, message.content):
                self._note_done(message, "cached", done)
            else:
                fresh.append(message)
        claimed = self._claim(fresh, done)
        if claimed and done:  # do not let what is done wait for the work
            self._delete(done)
            done.clear()
        self._work_through(claimed, done)

    def _claim(self, fresh: Sequence[Message], done: list[Message]) -> list[Message]:
        claimed = []
        for message, claim in zip(fresh, self.ledger.claim(fresh) if fresh else (), strict=True):
            if claim is Claim.ALREADY_DONE:
                self._note_done(message, claim.value, done)
                continue
            self.journal.event(claim.value, message)
            if claim is Claim.CLAIMED:
                claimed.append(message)
            elif claim is Claim.CHANGED:
                self._leave_changed(message)
            else:
                self._leave(message, "its claim could not be made sure")
        return claimed

    def _work_through(self, claimed: Sequence[Message], done: list[Message]) -> None:
        worked: list[Message] = []
        failed: list[tuple[Message, str]] = []
        for message in claimed:
            if not self.holdings.start(message):
                continue
            reason = self._work_on(message)
            if reason is None:
                worked.append(message)
            else:
                failed.append((message, reason))
                self.holdings.drop([message])
            if len(worked) == self.commit_batch or self.holdings.is_due(worked):
                self._complete(worked, done)
                worked = []
            if self.holdings.is_due(done):
                self._delete(done)
                done.clear()
        if worked:
            self._complete(worked, done)
        if failed:
            self._fail(failed)

    def _work_on(self, message: Message) -> str | None:
        """Do the work; the reason why it failed, or None. No message can stop the consumer."""
        self.journal.event("work_started", message)
        try:
            self.work(message)
        except Rejected as rejection:
            self.journal.event("rejected", message, reason=str(rejection))
            return f"rejected: {rejection}"
        except Exception as error:
            log.exception("message %s: the work failed; it comes back", message.id)
            self.journal.event("work_failed", message, reason=type(error).__name__)
            return f"{type(error).__name__}: {error}"
        self.journal.event("worked", message)
        return None

    def _complete(self, worked: Sequence[Message], done: list[Message]) -> None:
        for message, completion in zip(worked, self.ledger.complete(worked), strict=True):
            if completion is Completion.UNKNOWN:
                self.journal.event(completion.value, message)
                self._leave(message, "its completion could not be made sure")
                continue
            if completion is Completion.CHANGED:
                self.journal.event(completion.value, message)
                self._leave_changed(message)
                continue
            effect = completion is Completion.EFFECT
            self.journal.event("completed", message, effect=effect)
            self.tally.count(completion.value)
            self.finished.add(message.key, message.content)
            done.append(message)

    def _fail(self, failed: Sequence[tuple[Message, str]]) -> None:
        for message, reason in failed:
            self.tally.count("failed")
            log.warning("message %s failed, it stays in the queue: %s", message.id, reason)
        try:
            recorded = self.ledger.fail(failed)
        except LedgerDown as error:
            log.warning("%s failures are not recorded: %s", len(failed), error)
            return
        for (message, _), is_recorded in zip(failed, recorded, strict=True):
            if is_recorded:
                self.journal.event("failed", message)

    def _delete(self, done: Sequence[Message]) -> None:
        if not done:
            return
        for message, deletion in zip(done, self.inbox.delete(done), strict=True):
            late = self.holdings.overdue(message)
            self.journal.event(deletion.value, message)
            if deletion is Deletion.STALE:
                self.tally.count("stale_deletes")
                log.warning(
                    "message %s was not deleted, its receipt handle is stale; the next delivery "
                    "finds it done",
                    message.id,
                )
            if deletion is Deletion.UNKNOWN:
                self._leave(message, "its delete failed, the next delivery finds it done")
            elif late > 0:
                self.tally.count("late_finishes")
                log.warning(
                    "message %s was finished %.1f s after its visibility ran out, so it may have "
                    "been delivered again; shorten the work, raise the visibility timeout or set "
                    "HEARTBEAT_SECONDS",
                    message.id,
                    late,
                )
        self.holdings.drop(done)

    def _note_done(self, message: Message, event: str, done: list[Message]) -> None:
        self.journal.event(event, message)
        self.tally.count("already_done")
        self.finished.add(message.key, message.content)
        if self.holdings.start(message):
            done.append(message)

    def _leave_changed(self, message: Message) -> None:
        self.holdings.drop([message])
        self.tally.count("payload_changed")
        one = "key" if message.business_key else "id"
        log.warning(
            "message %s (MessageId %s) has another body than the one that was completed under its "
            "%s; it is not deleted and ends in the DLQ; if it is right, send it again under %s %s "
            "of its own",
            message.id,
            message.sqs_id,
            one,
            "a" if message.business_key else "an",
            one,
        )

    def _leave(self, message: Message, why: str) -> None:
        self.holdings.drop([message])
        self.tally.count("unknown")
        log.warning("message %s is left in the queue: %s", message.id, why)
