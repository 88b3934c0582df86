"""Reads the rows of given message ids, consistently, and puts rows that have expired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEYS = 100  # of one BatchGetItem


class Tables:
    """The status and the completed table of one set."""

    def __init__(self, dynamodb: DynamoDBClient, status: str, completed: str) -> None:
        self._dynamodb = dynamodb
        self._names = {"status": status, "completed": completed}

    def rows(self, ids: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """{"status": {id: row}, "completed": {id: row}}; an id without a row is absent."""
        return {
            kind: {row["message_id"]: row for row in self._rows(name, list(dict.fromkeys(ids)))}
            for kind, name in self._names.items()
        }

    def put_expired(self, ids: Sequence[str], now: float) -> None:
        """Both rows of a completion for each id, with an `expires_at` one second before `now`."""
        past = {name: {"N": str(int(now) - 1)} for name in ("completed_at", "expires_at")}
        status: Any = {
            **past,
            "status": {"S": "COMPLETED"},
            "attempts": {"N": "1"},
            "effects": {"N": "1"},
        }
        for key in ids:
            for kind, row in (("status", status), ("completed", past)):
                item = {"message_id": {"S": key}, **row}
                self._dynamodb.put_item(TableName=self._names[kind], Item=item)

    def _rows(self, table: str, ids: list[str]) -> Iterator[dict[str, Any]]:
        for start in range(0, len(ids), KEYS):
            keys = [{"message_id": {"S": key}} for key in ids[start : start + KEYS]]
            request: Any = {table: {"Keys": keys, "ConsistentRead": True}}
            while request:
                answer = self._dynamodb.batch_get_item(RequestItems=request)
                yield from map(_plain, answer["Responses"].get(table, ()))
                request = answer.get("UnprocessedKeys")


def _plain(item: Any) -> dict[str, Any]:
    return {name: _value(typed) for name, typed in item.items()}


def _value(typed: dict[str, Any]) -> Any:
    """The rows hold strings and numbers only."""
    if "N" in typed:
        number = Decimal(typed["N"])
        return int(number) if number == number.to_integral_value() else float(number)
    return next(iter(typed.values()))
