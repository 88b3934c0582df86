"""Makes the writes to the two tables: each says what it writes, and when it may not.

    message-status      STARTED -> COMPLETED, or FAILED and back; attempts, effects, last claim
    message-completed   the gate: one row a key, written once, on condition that it is absent

A statement says the same, for the usual case alone. What a refusal means is the ledger's to say;
nothing here calls DynamoDB.
"""

import time
from collections.abc import Callable
from typing import Any

from .message import Message
from .writes import Row, Statement, Write, insert, update

KEEP_SECONDS = 45 * 24 * 3600
"""Records outlive 14 days in the queue, 14 in the DLQ and 14 after a redrive (quirk 12)."""

_LONGEST_REASON = 500

# Each condition is a clause with a reason.
_NOT_COMPLETED = "(attribute_not_exists(#status) OR #status <> :completed)"
"""Leaving COMPLETED is never right: entering it was the effect."""
_NO_EFFECT = "attribute_not_exists(effects)"
"""A row with an effect that is not COMPLETED was set back, by a bug, a migration or a person. The
effect stands: the row is put right and nothing is counted or worked on."""
_NOT_MINE = "(attribute_not_exists(claim) OR claim <> :claim)"
"""A claim whose answer was lost must not count twice: the delivery that made it is in the row.

The row keeps the last one only: a claim counts twice when its answer is lost and another delivery
claims before the next try. That is our own, or the SDK's, whose second try of a transaction is the
same by its token, but not that of a single write or of a statement."""
_MINE = "claim = :claim"
"""A failure must not touch the claim of a later delivery."""
_ABSENT = "attribute_not_exists(message_id)"
"""The gate is written once. In a transaction with the effect it refuses the effect, too."""
_EXPIRED = "expires_at <= :now"
"""TTL deletes days late, so a record of a completion past its time counts as absent (quirk 12)."""
_NO_GATE = f"{_ABSENT} OR {_EXPIRED}"
_ONE = {"N": "1"}
_OF_COMPLETION = ("digest", "canonical_digest", "claim", "completed_at", "expires_at")
"""What both rows say of a completion; where one of them is lost, the other one brings it back."""


class Rows:
    """The writes to a pair of tables; `clock` gives epoch seconds."""

    def __init__(
        self, status_table: str, completed_table: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._status_table = status_table
        self._completed_table = completed_table
        self._clock = clock

    def probe(self) -> list[Write]:
        """A write to each table that cannot happen: each condition contradicts itself."""
        never = f"{_ABSENT} AND attribute_exists(message_id)"
        key = {"message_id": {"S": "probe"}}
        update = {"Key": key, "UpdateExpression": "REMOVE reason", "ConditionExpression": never}
        put = {"Item": key, "ConditionExpression": never}
        return [
            {"Update": {"TableName": self._status_table, **update}},
            {"Put": {"TableName": self._completed_table, **put}},
        ]

    def probe_statement(self) -> Statement:
        """A statement whose condition contradicts itself."""
        row = {"message_id": {"S": "probe"}, "claim": {"S": "probe"}}
        return update(self._status_table, row, {"status": {"S": "STARTED"}}, absent=["claim"])

    def claim(self, message: Message) -> Write:
        """Status row -> STARTED, one attempt more, the claim in it."""
        return self._update_status(
            message,
            "SET #status = :started, digest = :digest, canonical_digest = :canonical, "
            "claim = :claim, last_claimed_at = :now, expires_at = :expires, "
            "first_claimed_at = if_not_exists(first_claimed_at, :now) "
            "REMOVE reason ADD attempts :one",
            f"{_NOT_COMPLETED} AND {_NO_EFFECT} AND {_NOT_MINE}",
            {":started": {"S": "STARTED"}, ":one": _ONE, **_body_values(message)},
        )

    def claim_anew(self, message: Message) -> Write:
        """A new status row over one whose time is past."""
        return self._put(self._status_table, self._started(message), _EXPIRED)

    def claim_statement(self, message: Message) -> Statement | None:
        """The same row as a statement, on a first receive, where there is none as a rule."""
        if message.receive_count > 1:
            return None
        return insert(self._status_table, self._started(message))

    def finish(self, message: Message) -> Write:
        """Status row -> COMPLETED, one effect more."""
        return self._update_status(
            message,
            "SET #status = :completed, completed_at = :now, claim = :claim, digest = :digest, "
            "canonical_digest = :canonical, expires_at = :expires REMOVE reason ADD effects :one",
            f"{_NOT_COMPLETED} AND {_NO_EFFECT}",
            {":one": _ONE, **_body_values(message)},
        )

    def finish_statement(self, message: Message) -> Statement:
        """The same as a statement, where our claim stands and no effect is in the row."""
        return update(
            self._status_table,
            {
                "message_id": {"S": message.key},
                "claim": {"S": message.delivery},
                "status": {"S": "STARTED"},
            },
            {
                "status": {"S": "COMPLETED"},
                "completed_at": self._now(),
                "expires_at": self._expires(),
                "effects": _ONE,
            },
            absent=["effects"],
        )

    def fail(self, message: Message, reason: str) -> Write:
        """Status row -> FAILED, with the first 500 characters of the reason."""
        return self._update_status(
            message,
            "SET #status = :failed, failed_at = :now, expires_at = :expires, reason = :reason",
            f"{_NOT_COMPLETED} AND {_MINE}",
            {":failed": {"S": "FAILED"}, ":reason": {"S": _storable(reason)}},
        )

    def record(self, message: Message, *, with_effect: bool = False) -> Write:
        """The gate; `with_effect` says in it that its effect is written in the same transaction."""
        gate = self._gate(message) | ({"with_effect": _ONE} if with_effect else {})
        return self._put(self._completed_table, gate, _NO_GATE)

    def record_statement(self, message: Message) -> Statement:
        """The same as a statement, where there is no gate yet."""
        return insert(self._completed_table, self._gate(message))

    def restore_status(self, message: Message, gate: Row) -> Write:
        """Status row -> COMPLETED again, as the gate says; its effect is counted already."""
        values = {f":{name}": gate[name] for name in _OF_COMPLETION if name in gate}
        copied = "".join(f", {name[1:]} = {name}" for name in values)
        return self._update(
            message,
            f"SET #status = :completed, effects = if_not_exists(effects, :one){copied} "
            "REMOVE reason",
            _NOT_COMPLETED,
            {":completed": {"S": "COMPLETED"}, ":one": _ONE, **values},
        )

    def restore_gate(self, message: Message, status: Row) -> Write:
        """The gate again, as a status row says that has had its effect."""
        gate = {name: status[name] for name in _OF_COMPLETION if name in status}
        key = {"message_id": {"S": message.key}, "with_effect": _ONE}
        return self._put(self._completed_table, key | gate, _NO_GATE)

    def _started(self, message: Message) -> dict[str, Any]:
        now = self._now()
        return {
            **self._about(message),
            "status": {"S": "STARTED"},
            "attempts": _ONE,
            "first_claimed_at": now,
            "last_claimed_at": now,
        }

    def _gate(self, message: Message) -> dict[str, Any]:
        return {**self._about(message), "completed_at": self._now()}

    def _about(self, message: Message) -> dict[str, Any]:
        return {
            "message_id": {"S": message.key},
            "digest": {"S": message.digest},
            "canonical_digest": {"S": message.canonical_digest},
            "claim": {"S": message.delivery},
            "expires_at": self._expires(),
        }

    def _update_status(
        self, message: Message, changes: str, condition: str, values: dict[str, Any]
    ) -> Write:
        common = {
            ":claim": {"S": message.delivery},
            ":completed": {"S": "COMPLETED"},
            ":now": self._now(),
            ":expires": self._expires(),
        }
        return self._update(message, changes, condition, common | values)

    def _update(
        self, message: Message, changes: str, condition: str, values: dict[str, Any]
    ) -> Write:
        return {
            "Update": {
                "TableName": self._status_table,
                "Key": {"message_id": {"S": message.key}},
                "UpdateExpression": changes,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": values,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _put(self, table: str, item: dict[str, Any], condition: str) -> Write:
        return {
            "Put": {
                "TableName": table,
                "Item": item,
                "ConditionExpression": condition,
                "ExpressionAttributeValues": {":now": self._now()},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _now(self) -> dict[str, str]:
        return {"N": f"{self._clock():.3f}"}

    def _expires(self) -> dict[str, str]:
        return {"N": str(int(self._clock()) + KEEP_SECONDS)}


def _body_values(message: Message) -> dict[str, Any]:
    return {":digest": {"S": message.digest}, ":canonical": {"S": message.canonical_digest}}


def _storable(reason: str) -> str:
    return reason.encode("utf-8", "replace").decode()[:_LONGEST_REASON]
