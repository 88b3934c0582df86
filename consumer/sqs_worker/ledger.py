"""Records claims and completions of messages in two DynamoDB tables; decides what a refusal means.

It knows the two modes and their repair, and nothing of queues, work or faults. What is written on
which condition is in `rows`, how it gets there in `writes`.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .message import Message, is_same_body
from .ports import Claim, Completion
from .rows import Rows
from .writes import Outcome, Refused, Row, Statement, Statements, Unsettled, Write, Writer, Written

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoLedger:
    """The `Ledger` port on two tables. All methods may be called from several threads.

    `tables` are those of status and of completions; `clock` gives epoch seconds; `joining` names
    the writes that join the effect of a message. With `transactional`, the status row and the gate
    are written both or neither; without, gate first and then status, and the next delivery repairs
    what a crash between the two left. With `statements`, single writes of several messages share a
    call without being a transaction. Every method may raise LedgerDown.
    """

    def __init__(
        self,
        dynamodb: "DynamoDBClient",
        tables: tuple[str, str],
        *,
        transactional: bool,
        statements: bool = False,
        joining: Callable[[Message], Sequence[Write]] = lambda _message: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = Writer(dynamodb)
        self._rows = Rows(*tables, clock)
        self._transactional = transactional
        self._statements = Statements(dynamodb) if statements else None
        self._joining = joining
        self._clock = clock

    def probe(self) -> None:
        """Learn whether both tables can be written to, and how, by calls that write nothing.

        A refusal is the only good answer, to a transaction and to each single write: a read would
        pass with a role that may not write, and a success means that conditions are ignored.
        """
        writes = self._rows.probe()
        for part in (writes, *([write] for write in writes)):
            self._writer.expect_refusal(part)
        if self._statements:
            self._statements.probe(self._rows.probe_statement())

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        """Status row -> STARTED and attempts + 1, unless it is COMPLETED; one call for all."""
        outcomes = self._settle(
            messages, lambda m: [self._rows.claim(m)], self._rows.claim_statement
        )
        return [self._claimed(m, o) for m, o in zip(messages, outcomes, strict=True)]

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """Status row -> COMPLETED and effects + 1, and the gate; at most once for a key."""
        if self._transactional:
            record = partial(self._rows.record, with_effect=True)
            groups = [(m, [*self._effect(m), record(m)]) for m in messages]
            outcomes = self._writer.settle(groups)
            return [self._completed(m, o) for m, o in zip(messages, outcomes, strict=True)]
        gates = self._put_gates(messages)
        answers = [self._at_gate(m, gate) for m, gate in zip(messages, gates, strict=True)]
        open_ones = [m for m, answer in zip(messages, answers, strict=True) if answer is None]
        finished = iter(self.finish(open_ones))
        return [answer or next(finished) for answer in answers]

    def record(self, messages: Sequence[Message]) -> list[bool]:
        """Plain mode, first write: the gate. True where it stands now, whoever put it there."""
        return [not isinstance(outcome, Unsettled) for outcome in self._put_gates(messages)]

    def finish(self, messages: Sequence[Message]) -> list[Completion]:
        """Plain mode, second write: the effect. Also the repair of a gate without its effect."""
        outcomes = self._settle(messages, self._effect, self._effect_statement)
        return [self._finished(m, o) for m, o in zip(messages, outcomes, strict=True)]

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        """Status row -> FAILED with a reason; one call for all. True where it is so now.

        Not where the row is COMPLETED, nor where a later delivery has claimed it meanwhile.
        """
        outcomes = self._writer.settle([(m, [self._rows.fail(m, reason)]) for m, reason in reasons])
        return [isinstance(outcome, Written) for outcome in outcomes]

    def _put_gates(self, messages: Sequence[Message]) -> list[Outcome]:
        return self._settle(messages, lambda m: [self._rows.record(m)], self._rows.record_statement)

    def _settle(
        self,
        messages: Sequence[Message],
        writes: Callable[[Message], list[Write]],
        statement: Callable[[Message], Statement | None],
    ) -> list[Outcome]:
        """By statements what goes by them, where there are several; the rest by `writes`.

        A single write costs no more than a statement, and its refusal brings the row.
        """
        outcomes: dict[int, Outcome] = {}
        if self._statements:
            made = {index: one for index, m in enumerate(messages) if (one := statement(m))}
            if len(made) > 1:
                done = self._statements.execute(list(made.values()))
                outcomes = {i: Written() for i, is_done in zip(made, done, strict=True) if is_done}
        left = [index for index in range(len(messages)) if index not in outcomes]
        found = self._writer.settle([(messages[index], writes(messages[index])) for index in left])
        outcomes.update(zip(left, found, strict=True))
        return [outcomes[index] for index in range(len(messages))]

    def _claimed(self, message: Message, outcome: Outcome) -> Claim:
        if isinstance(outcome, Written):
            return Claim.CLAIMED
        if isinstance(outcome, Unsettled):
            return Claim.UNKNOWN
        row = outcome.rows[0] or {}
        if not _has_effect(row):
            return Claim.CLAIMED if _text(row, "claim") == message.delivery else Claim.UNKNOWN
        if _number(row, "expires_at", math.inf) <= self._clock():
            (again,) = self._writer.settle([(message, [self._rows.claim_anew(message)])])
            return Claim.CLAIMED if isinstance(again, Written) else Claim.UNKNOWN
        return _CLAIM_OF[self._found_done(message, row)]

    def _completed(self, message: Message, outcome: Outcome) -> Completion:
        """What a transaction says; a refusal may be the echo of our own write, or half a record."""
        if isinstance(outcome, Written):
            return Completion.EFFECT
        if isinstance(outcome, Unsettled):
            return Completion.UNKNOWN
        status, *_, gate = outcome.rows
        if status is None:
            return self._at_gate(message, Refused((gate,))) or self.finish([message])[0]
        return self._found_done(message, status, has_gate=gate is not None)

    def _at_gate(self, message: Message, outcome: Outcome) -> Completion | None:
        """What the gate decides; None where the effect is still to be written.

        A gate that was written with its effect is final: the status row was set back or deleted.
        Without, it is half a record: a plain consumer died between its two writes, and the effect
        belongs to the body that the gate names.
        """
        if isinstance(outcome, Written):
            return None
        gate = outcome.rows[0] if isinstance(outcome, Refused) else None
        if not gate:
            return Completion.UNKNOWN
        if "with_effect" in gate:
            return self._restore_status(message, gate)
        return None if _is_same(message, gate) else Completion.CHANGED

    def _finished(self, message: Message, outcome: Outcome) -> Completion:
        """What the write of the effect says."""
        if isinstance(outcome, Written):
            return Completion.EFFECT
        if isinstance(outcome, Unsettled):
            return Completion.UNKNOWN
        return self._found_done(message, outcome.rows[0] or {})

    def _found_done(self, message: Message, status: Row, *, has_gate: bool = True) -> Completion:
        """What a status row says that has had its effect, once what is wrong about it is repaired:
        its gate is gone, or it was set back; then the gate says whose completion it was.
        """
        if not status:
            return Completion.UNKNOWN
        if has_gate and _is_completed(status):
            return _judged(message, status)
        write = self._rows.restore_gate(message, status)
        (outcome,) = self._writer.settle([(message, [write])])
        if isinstance(outcome, Unsettled):
            return Completion.UNKNOWN
        if _is_completed(status):
            return _judged(message, status)
        gate = outcome.rows[0] if isinstance(outcome, Refused) else status
        return self._restore_status(message, gate) if gate else Completion.UNKNOWN

    def _restore_status(self, message: Message, gate: Row) -> Completion:
        """Status row -> COMPLETED again; the gate says whose completion that was."""
        (outcome,) = self._writer.settle([(message, [self._rows.restore_status(message, gate)])])
        return Completion.UNKNOWN if isinstance(outcome, Unsettled) else _judged(message, gate)

    def _effect(self, message: Message) -> list[Write]:
        """The effect and what must be there exactly where it is."""
        return [self._rows.finish(message), *self._joining(message)]

    def _effect_statement(self, message: Message) -> Statement | None:
        """The effect where nothing joins it, which would need a transaction."""
        return None if self._joining(message) else self._rows.finish_statement(message)


class NoLedger:
    """What stands in for the tables where none are set: every delivery is worked on."""

    def probe(self) -> None:
        """There is nothing that could be down."""

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        """Everything may be worked on."""
        return [Claim.CLAIMED] * len(messages)

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """The work was all."""
        return [Completion.EFFECT] * len(messages)

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        """Nothing remembers a failure."""
        return [False] * len(reasons)


_CLAIM_OF = {
    Completion.EFFECT: Claim.ALREADY_DONE,
    Completion.ALREADY_DONE: Claim.ALREADY_DONE,
    Completion.CHANGED: Claim.CHANGED,
    Completion.UNKNOWN: Claim.UNKNOWN,
}
"""What a claim answers where a completion stands."""


def _judged(message: Message, done: Row) -> Completion:
    """What a row of a completion says; with our own claim in it, we had done it a moment ago."""
    if _text(done, "claim") == message.delivery:
        return Completion.EFFECT
    return Completion.ALREADY_DONE if _is_same(message, done) else Completion.CHANGED


def _has_effect(row: Row) -> bool:
    return _is_completed(row) or "effects" in row


def _is_completed(row: Row) -> bool:
    return _text(row, "status") == "COMPLETED"


def _is_same(message: Message, row: Row) -> bool:
    """Whether the row is about this very body; the id alone may be another message's, too."""
    return is_same_body(message, _text(row, "digest"), _text(row, "canonical_digest"))


def _text(row: Row, name: str) -> str:
    return str(row.get(name, {}).get("S", ""))


def _number(row: Row, name: str, default: float) -> float:
    return float(row.get(name, {}).get("N", default))
