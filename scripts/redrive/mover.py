"""Moves messages one batch at a time: note, send, note, delete; counts what it did.

At whatever line it dies, a message is in the DLQ or has been sent. Between the send and its note, a
message may be sent twice under one id, which the consumer's claim absorbs.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from redrive.dead_letters import NO_RECORD, DeadLetter, Record
from redrive.exits import RefusedError
from redrive.queues import Answer
from redrive.rules import BATCH, Decision, Fate, Memory, Outgoing, Rules, Why, decide
from sender.payloads import packed

NAMED = 20  # messages that are named for one reason; the rest are counted


TRIES = 6  # calls that a message is part of at most
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 0.1, 2.0
LATE = "its visibility timeout expired before it was sent; use a longer --visibility-timeout"


@dataclass
class Tally:
    """Counts of fates, and the first messages of each reason why something stays.

    `undeleted`: settled, but their delete failed; `stuck`: even when they were met once more.
    `twice`: may have been sent twice, since an answer was lost or a run died.
    """

    fates: Counter[Fate] = field(default_factory=Counter)
    kept: dict[Why, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    undeleted: dict[str, str] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)
    completed: int = 0
    in_other_hands: int = 0
    not_given_back: int = 0

    def keep(self, letter: DeadLetter, decision: Decision) -> None:
        self.fates[Fate.KEEP] += 1
        self.kept.setdefault(decision.why, []).append(letter.id)

    def fail(self, letter: DeadLetter, reason: str) -> None:
        """It was to be moved and was not; it stays in the DLQ."""
        self.failed[letter.id] = reason

    def all_seen(self) -> None:
        """The DLQ has no more: what could not be deleted and did not come back is deleted.

        A lost answer to a delete makes it so; the SDK's second try then finds nothing.
        """
        self.undeleted = {key: why for key, why in self.undeleted.items() if key in self.stuck}

    @property
    def whole(self) -> bool:
        """Whether all that was to be moved is moved."""
        refused = [why for why in self.kept if not why.wanted]
        return not (refused or self.failed or self.undeleted or self.in_other_hands)


class Calls(Protocol):
    """What a mover needs of SQS."""

    def send(self, messages: Sequence[Outgoing]) -> dict[str, Answer]: ...
    def delete(self, letters: Sequence[DeadLetter]) -> dict[str, Answer]: ...


class Log(Protocol):
    """What a mover needs of the journal."""

    memory: Memory

    def sending(self, sqs_ids: Any) -> None: ...
    def sent(self, sent: Any, not_sent: Any) -> None: ...
    def write(self, events: Any) -> None: ...


@dataclass(frozen=True)
class Time:
    """`now` in seconds since the epoch."""

    now: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]


REAL = Time(time.time, time.monotonic, time.sleep)


class Mover:
    """`gone` hears of each message that was deleted."""

    def __init__(
        self,
        calls: Calls,
        log: Log,
        rules: Rules,
        gone: Callable[[DeadLetter], None],
        clocks: Time = REAL,
    ) -> None:
        self._calls, self._log, self._rules, self._gone = calls, log, rules, gone
        self._time = clocks
        self._refusal: RefusedError | None = None
        self.tally = Tally()

    def take(self, letters: Sequence[DeadLetter], records: Mapping[str, Record]) -> int:
        """Do with each what the rules say; returns how many were sent."""
        outgoing, finished, dropped = [], [], []
        for letter in letters:
            record = records.get(letter.key, NO_RECORD)
            decision = decide(letter, record, self._rules, self._log.memory, self._time.now())
            self.tally.completed += record.says_done(letter)
            match decision.fate:
                case Fate.MOVE:
                    outgoing.append(Outgoing(letter, decision.attributes))
                case Fate.FINISH:
                    finished.append(letter)
                case Fate.DROP:
                    dropped.append(letter)
                case Fate.KEEP:
                    self.tally.keep(letter, decision)
        self._delete(finished, Fate.FINISH)
        self._delete(dropped, Fate.DROP)
        return sum(self._move(group) for group in packed(outgoing, lambda one: one.size))

    def _move(self, group: Sequence[Outgoing]) -> int:
        """Send one group, the refused ones again, and delete what was sent."""
        letters = {one.letter.sqs_id: one.letter for one in group}
        self.tally.twice |= self._log.memory.doubtful & letters.keys()
        self._log.sending(letters)
        answers = self._send(group)
        sent = [letters[key] for key, answer in answers.items() if answer.new_id]
        self.tally.fates[Fate.MOVE] += len(sent)
        try:
            self._note(letters, answers)
        finally:  # a full disk must not leave in the DLQ what is known to be sent
            self._delete(sent, Fate.MOVE)
        if self._refusal:
            raise self._refusal
        return len(sent)

    def _note(self, letters: Mapping[str, DeadLetter], answers: Mapping[str, Answer]) -> None:
        """The journal learns what is sent, what surely is not, and what nobody knows."""
        done = [
            {**_names(letters[key]), "new_sqs_id": answer.new_id, "replays": letters[key].replays}
            for key, answer in answers.items()
            if answer.new_id
        ]
        self._log.sent(done, [k for k, a in answers.items() if not (a.new_id or a.unknown)])
        for key, answer in answers.items():
            if not answer.new_id:
                self.tally.fail(letters[key], answer.reason)

    def _send(self, group: Sequence[Outgoing]) -> dict[str, Answer]:
        """The last answer for each; one that was ever unknown is so to the end, unless sent."""
        open_ = {one.letter.sqs_id: one for one in group}
        answers: dict[str, Answer] = {}
        unknown: set[str] = set()
        for attempt in range(TRIES):
            if attempt:
                self._rest(attempt)
            late = {
                key for key, one in open_.items() if one.letter.deadline <= self._time.monotonic()
            }
            answers |= {key: Answer(LATE, unknown=key in unknown) for key in late}
            open_ = {key: one for key, one in open_.items() if key not in late}
            if not open_:
                break
            for key, answer in self._attempt(open_).items():
                unknown |= {key} if answer.unknown else set()
                answers[key] = replace(answer, unknown=key in unknown)
                if not self._goes_again(open_[key].letter, answers[key]):
                    del open_[key]
        self.tally.twice |= {key for key in unknown if answers[key].new_id}
        return answers

    def _attempt(self, open_: Mapping[str, Outgoing]) -> dict[str, Answer]:
        """One call; a refusal of it as a whole ends the run, once what was sent is settled."""
        try:
            return self._calls.send(list(open_.values()))
        except RefusedError as error:
            self._refusal = error
            return dict.fromkeys(open_, Answer(str(error)))

    def _goes_again(self, letter: DeadLetter, answer: Answer) -> bool:
        """A message without an id is not sent again in doubt: nobody would know the second one."""
        return answer.again and not answer.new_id and (letter.has_own_key or not answer.unknown)

    def _delete(self, letters: Sequence[DeadLetter], fate: Fate) -> None:
        """Delete from the DLQ, ten at a time, the refused ones again.

        What stays is deleted by the next receive or run, which knows that it is sent.
        """
        for start in range(0, len(letters), BATCH):
            batch = letters[start : start + BATCH]
            open_ = {letter.sqs_id: letter for letter in batch}
            answers: dict[str, Answer] = {}
            for attempt in range(TRIES):
                if attempt:
                    self._rest(attempt)
                answers |= self._calls.delete(list(open_.values()))
                open_ = {key: one for key, one in open_.items() if answers[key].again}
                if not open_:
                    break
            self._deleted(batch, answers, fate)

    def _deleted(
        self, batch: Sequence[DeadLetter], answers: Mapping[str, Answer], fate: Fate
    ) -> None:
        done = [letter for letter in batch if not answers[letter.sqs_id].reason]
        self.tally.fates[fate] += 0 if fate is Fate.MOVE else len(done)
        for letter in batch:
            reason = answers[letter.sqs_id].reason
            if not reason or fate is Fate.MOVE:
                self._gone(letter)  # one that is still there is met again, once, to be finished
            if reason:
                self.tally.undeleted[letter.id] = reason
                self.tally.stuck |= set() if fate is Fate.MOVE else {letter.id}
            else:
                self.tally.undeleted.pop(letter.id, None)
        self._log.write({"event": "deleted", **_names(one), "fate": fate.name} for one in done)

    def _rest(self, attempt: int) -> None:
        self._time.sleep(random.uniform(0, min(BACKOFF_MAX_SECONDS, BACKOFF_SECONDS * 2**attempt)))


def _names(letter: DeadLetter) -> dict[str, str]:
    return {"id": letter.id, "sqs_id": letter.sqs_id}
