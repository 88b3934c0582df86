"""Takes one batch through the path of a message: cache, claim, work, completion, delete.

A batch is the unit and a message the outcome. Nothing here knows AWS, threads or injected failures.
Whatever goes wrong, only a completed message is deleted.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock, Thread

from .deletes import Deletes
from .events import Events, Tally
from .in_flight import InFlight, Progress
from .message import Message, waves
from .ports import Claim, Completion, Ledger, LedgerDown, Rejected, Work


class FinishedIds:
    """A thread-safe LRU map of at most `size` ids to the content of the body that was finished.

    Size 0 remembers nothing.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def add(self, message_id: str, content: str) -> None:
        """Remember an id whose completion is durably recorded, with this body."""
        with self._lock:
            self._ids[message_id] = content
            self._ids.move_to_end(message_id)
            while len(self._ids) > self._size:
                self._ids.popitem(last=False)

    def has(self, message_id: str, content: str) -> bool:
        """Whether this id was finished with this body; another body is the ledger's to judge."""
        with self._lock:
            if self._ids.get(message_id) != content:
                return False
            self._ids.move_to_end(message_id)
            return True


log = logging.getLogger(__name__)

Condition = Callable[[Sequence[Message]], bool]


class Stage:
    """Messages of one wave that wait for the same next step. A message is taken out once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._messages: list[Message] = []

    def add(self, message: Message) -> None:
        """One more that waits."""
        with self._lock:
            self._messages.append(message)

    def meets(self, condition: Condition) -> bool:
        """Whether there are messages, and they meet the condition."""
        with self._lock:
            return bool(self._messages) and condition(self._messages)

    def take(self, condition: Condition = bool) -> list[Message]:
        """All of them, for the caller alone, if they meet the condition."""
        with self._lock:
            if not self._messages or not condition(self._messages):
                return []
            taken, self._messages = self._messages, []
            return taken


class Wave:
    """A wave in work: messages that are worked and not completed, and completed and not deleted.

    The lane completes and deletes. While it works on a message, another thread does so with what is
    due; one at a time has the `turn`. An `error` of that thread is raised by the lane.
    """

    def __init__(self) -> None:
        self.worked, self.done = Stage(), Stage()
        self.turn = Lock()
        self.error: Exception | None = None


@dataclass(frozen=True)
class Pipeline:
    """The path of a batch on its ports; one pipeline serves all lanes.

    `commit_batch` is how many completions are written in one call.
    """

    ledger: Ledger
    work: Work
    in_flight: InFlight
    deletes: Deletes
    finished: FinishedIds
    journal: Events
    tally: Tally
    commit_batch: int
    _in_work: set[Wave] = field(default_factory=set, init=False)

    def run(self, batch: Sequence[Message]) -> None:
        """Take a batch to its outcomes; raises LedgerDown, with what is done already deleted."""
        for messages in waves(batch):
            wave = Wave()
            self._in_work.add(wave)
            try:
                self._process([m for m in messages if self.in_flight.is_waiting(m)], wave)
            finally:
                with wave.turn:  # whoever has it settles messages of this lane
                    self._in_work.discard(wave)
                    wave.worked.take()  # only after an error, and then they are not completed
                    self.deletes.delete(wave.done.take())
            if wave.error:
                raise wave.error

    def settle_due(self) -> None:
        """Complete and delete what is due, in threads of their own: no lane works for so long, and
        no outage lasts so long, that a message must wait for it past half of its time."""
        for wave in list(self._in_work):
            if self._is_ready(wave) and not wave.turn.locked():
                Thread(name="settle", target=self._settle_aside, args=(wave,), daemon=True).start()

    def _process(self, messages: Sequence[Message], wave: Wave) -> None:
        fresh = []
        for message in messages:
            if self.finished.has(message.key, message.content):
                self._note_done(message, "cached", wave)
            else:
                fresh.append(message)
        claimed = self._claim(fresh, wave)
        if claimed:  # do not let what is done wait for the work
            self.deletes.delete(wave.done.take())
        self._work_through(claimed, wave)

    def _claim(self, fresh: Sequence[Message], wave: Wave) -> list[Message]:
        claimed = []
        for message, claim in zip(fresh, self.ledger.claim(fresh) if fresh else (), strict=True):
            if claim is Claim.ALREADY_DONE:
                self._note_done(message, claim.value, wave)
                continue
            self.journal.event(claim.value, message)
            if claim is Claim.CLAIMED:
                claimed.append(message)
            elif claim is Claim.CHANGED:
                self._leave_changed(message)
            else:
                self._leave(message, "its claim is unconfirmed")
        return claimed

    def _work_through(self, claimed: Sequence[Message], wave: Wave) -> None:
        failed: list[tuple[Message, str]] = []
        for message in claimed:
            if not self.in_flight.start(message):
                continue
            if self._is_worked(message, failed):
                wave.worked.add(message)
            if self._is_ready(wave):
                with wave.turn:
                    self._settle(wave.worked.take(self._is_full_or_due), wave)
        with wave.turn:
            self._settle(wave.worked.take(), wave)
        if failed:
            self._fail(failed)

    def _is_worked(self, message: Message, failed: list[tuple[Message, str]]) -> bool:
        """Do the work. A failure is added to `failed`; an outage that the work did not outlast is
        none, and gives back this message alone."""
        try:
            reason = self._work_on(message)
        except LedgerDown as error:
            log.warning(
                "message %s is redelivered, because its work needs the tables: %s",
                message.id,
                error,
            )
            self.in_flight.give_back([message], "outage")
            return False
        if reason is not None:
            failed.append((message, reason))
            self.in_flight.drop([message])
        return reason is None

    def _is_full_or_due(self, worked: Sequence[Message]) -> bool:
        return len(worked) >= self.commit_batch or self.in_flight.is_due(worked)

    def _is_ready(self, wave: Wave) -> bool:
        """Whether a group is full, or a message has used up half of its visibility timeout."""
        return wave.worked.meets(self._is_full_or_due) or wave.done.meets(self.in_flight.is_due)

    def _settle(self, worked: Sequence[Message], wave: Wave) -> None:
        """Complete these, and delete what is due."""
        if worked:
            self._complete(worked, wave)
        self.deletes.delete(wave.done.take(self.in_flight.is_due))

    def _settle_aside(self, wave: Wave) -> None:
        with wave.turn:
            worked = wave.worked.take(self._is_full_or_due)
            try:
                self._settle(worked, wave)
            except LedgerDown as error:
                log.warning(
                    "the consumer releases %s messages whose work is done but not recorded: %s",
                    len(worked),
                    error,
                )
                self.in_flight.give_back(worked, "outage")
            except Exception as error:
                wave.error = error

    def _work_on(self, message: Message) -> str | None:
        """Do the work; the reason why it failed, or None. No message can stop the consumer.

        Raises LedgerDown where the work needs the tables, and they did not come back in time.
        """
        self.journal.event("work_started", message)
        try:
            self.work(message)
        except Rejected as rejection:
            self.journal.event("rejected", message, reason=str(rejection))
            return f"rejected: {rejection}"
        except LedgerDown:
            raise
        except Exception as error:
            log.exception("message %s: the work failed; the message is redelivered", message.id)
            self.journal.event("work_failed", message, reason=type(error).__name__)
            return f"{type(error).__name__}: {error}"
        self.journal.event("worked", message)
        self.in_flight.note(message, Progress.WORKED)
        return None

    def _complete(self, worked: Sequence[Message], wave: Wave) -> None:
        for message, completion in zip(worked, self.ledger.complete(worked), strict=True):
            if completion is Completion.UNKNOWN:
                self.journal.event(completion.value, message)
                self._leave(message, "its completion is unconfirmed")
                continue
            if completion is Completion.CHANGED:
                self.journal.event(completion.value, message)
                self._leave_changed(message)
                continue
            effect = completion is Completion.EFFECT
            self.journal.event("completed", message, effect=effect)
            self.tally.count(completion.value)
            self.finished.add(message.key, message.content)
            self.in_flight.note(message, Progress.COMPLETED)
            wave.done.add(message)

    def _fail(self, failed: Sequence[tuple[Message, str]]) -> None:
        for message, reason in failed:
            self.tally.count("failed")
            log.warning("message %s failed, it stays in the queue: %s", message.id, reason)
        try:
            recorded = self.ledger.fail(failed)
        except LedgerDown as error:
            log.warning("%s failed messages have no FAILED row: %s", len(failed), error)
            return
        for (message, _), is_recorded in zip(failed, recorded, strict=True):
            if is_recorded:
                self.journal.event("failed", message)

    def _note_done(self, message: Message, event: str, wave: Wave) -> None:
        self.journal.event(event, message)
        self.tally.count("already_done")
        self.finished.add(message.key, message.content)
        if self.in_flight.start(message):
            self.in_flight.note(message, Progress.COMPLETED)
            wave.done.add(message)

    def _leave_changed(self, message: Message) -> None:
        self.in_flight.drop([message])
        if message.unkeyed:  # the work would reject it, whatever was completed under its id
            self.tally.count("no_key")
            log.warning(
                "message %s has no business key and is not deleted; it goes to the DLQ: %s",
                message.id,
                message.unkeyed,
            )
            return
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
        self.in_flight.drop([message])
        self.tally.count("unknown")
        log.warning("message %s is left in the queue: %s", message.id, why)
