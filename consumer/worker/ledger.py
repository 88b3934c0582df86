"""Records claims and completions of messages in two DynamoDB tables; decides what a refusal means.

It knows the two modes and their repair, and nothing of queues, work or faults. What is written on
which condition is in `rows`, how it gets there in `writes`.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .message import Message
from .ports import Claim, Completion
from .rows import Rows
from .statements import Statement, Statements
from .writes import Outcome, Refused, Row, Unsettled, Write, Writer, Written

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
        if not self._transactional:
            recorded = self.record(messages)
            finished = iter(
                self.finish([m for m, is_in in zip(messages, recorded, strict=True) if is_in])
            )
            return [next(finished) if is_in else Completion.UNKNOWN for is_in in recorded]
        groups = [(m, [*self._effect(m), self._rows.record(m)]) for m in messages]
        outcomes = self._writer.settle(groups)
        return [self._completed(m, o) for m, o in zip(messages, outcomes, strict=True)]

    def record(self, messages: Sequence[Message]) -> list[bool]:
        """Plain mode, first write: the gate. True where it stands now, whoever put it there."""
        outcomes = self._settle(
            messages, lambda m: [self._rows.record(m)], self._rows.record_statement
        )
        return [not isinstance(outcome, Unsettled) for outcome in outcomes]

    def finish(self, messages: Sequence[Message]) -> list[Completion]:
        """Plain mode, second write: the effect. Also the repair of a gate without its effect."""
        outcomes = self._settle(messages, self._effect, self._effect_statement)
        return [_finished(m, o) for m, o in zip(messages, outcomes, strict=True)]

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        """Status row -> FAILED with a reason; one call for all. True where it is so now.

        Not where the row is COMPLETED, nor where a later delivery has claimed it meanwhile.
        """
        outcomes = self._writer.settle([(m, [self._rows.fail(m, reason)]) for m, reason in reasons])
        return [isinstance(outcome, Written) for outcome in outcomes]

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
        if _text(row, "status") != "COMPLETED":
            return Claim.CLAIMED if _text(row, "claim") == message.delivery else Claim.UNKNOWN
        if _number(row, "expires_at", math.inf) > self._clock():
            return Claim.ALREADY_DONE if _is_same(message, row) else Claim.CHANGED
        (again,) = self._writer.settle([(message, [self._rows.claim_anew(message)])])
        return Claim.CLAIMED if isinstance(again, Written) else Claim.UNKNOWN

    def _completed(self, message: Message, outcome: Outcome) -> Completion:
        """What a transaction says; a refusal may be the echo of our own write, or half a record."""
        if isinstance(outcome, Written):
            return Completion.EFFECT
        if isinstance(outcome, Unsettled):
            return Completion.UNKNOWN
        status, *_, gate = outcome.rows
        if gate is None and not all(
            self.record([message])
        ):  # COMPLETED without a gate: put it there
            return Completion.UNKNOWN
        if status is None:  # a gate without its effect: a plain consumer died between the two
            return self.finish([message])[0]
        return _finished(message, Refused((status,)))

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


def _finished(message: Message, outcome: Outcome) -> Completion:
    """What the write of the effect says; refused with our own claim in the row, we had done it."""
    if isinstance(outcome, Written):
        return Completion.EFFECT
    if isinstance(outcome, Unsettled):
        return Completion.UNKNOWN
    row = outcome.rows[0] or {}
    if _text(row, "claim") == message.delivery:
        return Completion.EFFECT
    return Completion.ALREADY_DONE if _is_same(message, row) else Completion.CHANGED


def _is_same(message: Message, row: Row) -> bool:
    """Whether the row is about this very body; the id alone may be another message's, too."""
    return _text(row, "digest") in {"", message.digest}


def _text(row: Row, name: str) -> str:
    return str(row.get(name, {}).get("S", ""))


def _number(row: Row, name: str, default: float) -> float:
    return float(row.get(name, {}).get("N", default))
