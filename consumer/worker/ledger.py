"""Records claims and completions of messages in two DynamoDB tables; decides what a refusal means.

It knows the rows and their conditions, and nothing of queues, work or faults.

    message-status      STARTED -> COMPLETED, or FAILED and back; attempts, effects, last claim
    message-completed   the gate: one row a key, written once, on condition that it is absent
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .message import Message
from .ports import Claim, Completion, LedgerDown
from .writes import Outcome, Refused, Row, Unsettled, Write, Writer, Written

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEEP_SECONDS = 45 * 24 * 3600
"""Records outlive 14 days in the queue, 14 in the DLQ and 14 after a redrive (quirk 12)."""

_LONGEST_REASON = 500

# Each condition is a clause with a reason.
_NOT_COMPLETED = "(attribute_not_exists(#status) OR #status <> :completed)"
"""Leaving COMPLETED is never right: entering it was the effect."""
_NOT_MINE = "(attribute_not_exists(claim) OR claim <> :claim)"
"""A claim whose answer was lost must not count twice: the delivery that made it is in the row.

The row keeps the last one only: a claim counts twice when its answer is lost, the SDK's own retries
are used up and another delivery claims before the next try."""
_MINE = "claim = :claim"
"""A failure must not touch the claim of a later delivery."""
_ABSENT = "attribute_not_exists(message_id)"
"""The gate is written once. It refuses no effect: that is the task of `_NOT_COMPLETED` alone."""
_EXPIRED = "expires_at <= :now"
"""TTL deletes days late, so a record of a completion past its time counts as absent (quirk 12)."""


class DynamoLedger:
    """The `Ledger` port on two tables. All methods may be called from several threads.

    `clock` gives epoch seconds. `joining` names the writes that join the effect of a message.
    With `transactional`, the status row and the gate are written both
    or neither; without, gate first and then status, and the next delivery repairs what a crash
    between the two left. Every method may raise LedgerDown.
    """

    def __init__(
        self,
        dynamodb: "DynamoDBClient",
        status_table: str,
        completed_table: str,
        *,
        transactional: bool,
        joining: Callable[[Message], Sequence[Write]] = lambda _message: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dynamodb = dynamodb
        self._writer = Writer(dynamodb)
        self._status_table = status_table
        self._completed_table = completed_table
        self._transactional = transactional
        self._joining = joining
        self._clock = clock

    def probe(self) -> None:
        """Learn whether both tables can be written to, in one call that writes nothing.

        Each of its conditions contradicts itself, so a refusal is the good answer; a read would
        pass with a role that may not write.
        """
        never = f"{_ABSENT} AND attribute_exists(message_id)"
        key = {"message_id": {"S": "probe"}}
        status, gate = self._status_table, self._completed_table
        items: Any = [
            {"Update": {"TableName": status, "Key": key, "UpdateExpression": "REMOVE reason"}},
            {"Put": {"TableName": gate, "Item": key}},
        ]
        for item in items:
            next(iter(item.values()))["ConditionExpression"] = never
        try:
            self._dynamodb.transact_write_items(TransactItems=items)
        except (ClientError, BotoCoreError) as error:
            if not _is_refusal(error):
                raise LedgerDown(str(error)) from error

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        """Status row -> STARTED and attempts + 1, unless it is COMPLETED; one call for all."""
        outcomes = self._writer.settle([(m, [self._claim(m)]) for m in messages])
        return [self._claimed(m, o) for m, o in zip(messages, outcomes, strict=True)]

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """Status row -> COMPLETED and effects + 1, and the gate; at most once for a key."""
        if not self._transactional:
            recorded = self.record(messages)
            finished = iter(
                self.finish([m for m, is_in in zip(messages, recorded, strict=True) if is_in])
            )
            return [next(finished) if is_in else Completion.UNKNOWN for is_in in recorded]
        groups = [(m, [*self._effect(m), self._record(m)]) for m in messages]
        outcomes = self._writer.settle(groups)
        return [self._completed(m, o) for m, o in zip(messages, outcomes, strict=True)]

    def record(self, messages: Sequence[Message]) -> list[bool]:
        """Plain mode, first write: the gate. True where it stands now, whoever put it there."""
        outcomes = self._writer.settle([(m, [self._record(m)]) for m in messages])
        return [not isinstance(outcome, Unsettled) for outcome in outcomes]

    def finish(self, messages: Sequence[Message]) -> list[Completion]:
        """Plain mode, second write: the effect. Also the repair of a gate without its effect."""
        outcomes = self._writer.settle([(m, self._effect(m)) for m in messages])
        return [_finished(m, o) for m, o in zip(messages, outcomes, strict=True)]

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        """Status row -> FAILED with a reason; one call for all. True where it is so now.

        Not where the row is COMPLETED, nor where a later delivery has claimed it meanwhile.
        """
        outcomes = self._writer.settle([(m, [self._fail(m, reason)]) for m, reason in reasons])
        return [isinstance(outcome, Written) for outcome in outcomes]

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
        (again,) = self._writer.settle([(message, [self._claim_anew(message)])])
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

    def _claim(self, message: Message) -> Write:
        return self._update_status(
            message,
            "SET #status = :started, digest = :digest, claim = :claim, last_claimed_at = :now, "
            "first_claimed_at = if_not_exists(first_claimed_at, :now), expires_at = :expires "
            "REMOVE reason ADD attempts :one",
            f"{_NOT_COMPLETED} AND {_NOT_MINE}",
            {":started": {"S": "STARTED"}, ":digest": {"S": message.digest}, ":one": _ONE},
        )

    def _claim_anew(self, message: Message) -> Write:
        now = self._now()
        row = {
            "status": {"S": "STARTED"},
            "attempts": _ONE,
            "first_claimed_at": now,
            "last_claimed_at": now,
        }
        return self._put(self._status_table, message, row, _EXPIRED, {":now": now})

    def _effect(self, message: Message) -> list[Write]:
        """The effect and what must be there exactly where it is."""
        return [self._finish(message), *self._joining(message)]

    def _finish(self, message: Message) -> Write:
        return self._update_status(
            message,
            "SET #status = :completed, completed_at = :now, claim = :claim, digest = :digest, "
            "expires_at = :expires REMOVE reason ADD effects :one",
            _NOT_COMPLETED,
            {":digest": {"S": message.digest}, ":one": _ONE},
        )

    def _fail(self, message: Message, reason: str) -> Write:
        return self._update_status(
            message,
            "SET #status = :failed, failed_at = :now, expires_at = :expires, reason = :reason",
            f"{_NOT_COMPLETED} AND {_MINE}",
            {":failed": {"S": "FAILED"}, ":reason": {"S": _storable(reason)}},
        )

    def _record(self, message: Message) -> Write:
        now = self._now()
        row = {"completed_at": now}
        condition = f"{_ABSENT} OR {_EXPIRED}"
        return self._put(self._completed_table, message, row, condition, {":now": now})

    def _update_status(
        self, message: Message, update: str, condition: str, values: dict[str, Any]
    ) -> Write:
        common = {
            ":claim": {"S": message.delivery},
            ":completed": {"S": "COMPLETED"},
            ":now": self._now(),
            ":expires": self._expires(),
        }
        return {
            "Update": {
                "TableName": self._status_table,
                "Key": {"message_id": {"S": message.key}},
                "UpdateExpression": update,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": common | values,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _put(
        self,
        table: str,
        message: Message,
        row: dict[str, Any],
        condition: str,
        values: dict[str, Any],
    ) -> Write:
        item = {
            "message_id": {"S": message.key},
            "digest": {"S": message.digest},
            "claim": {"S": message.delivery},
            "expires_at": self._expires(),
            **row,
        }
        return {
            "Put": {
                "TableName": table,
                "Item": item,
                "ConditionExpression": condition,
                "ExpressionAttributeValues": values,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _now(self) -> dict[str, str]:
        return {"N": f"{self._clock():.3f}"}

    def _expires(self) -> dict[str, str]:
        return {"N": str(int(self._clock()) + KEEP_SECONDS)}


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


_ONE = {"N": "1"}


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


def _storable(reason: str) -> str:
    return reason.encode("utf-8", "replace").decode()[:_LONGEST_REASON]


def _is_refusal(error: Exception) -> bool:
    """Whether a transaction was cancelled by its conditions, or by another that is under way."""
    answer: Any = error.response if isinstance(error, ClientError) else {}
    codes = {reason.get("Code", "None") for reason in answer.get("CancellationReasons", ())}
    return bool(codes) and codes <= {"ConditionalCheckFailed", "TransactionConflict", "None"}
