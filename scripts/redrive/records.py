"""What the status table knows of messages; it reads, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from redrive.dead_letters import Record
from redrive.errors import RedriveError
from sqs_worker.message import KEYED

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEYS = 100  # of one BatchGetItem
TRIES = 6


class Records:
    """Reads of one table."""

    def __init__(
        self, dynamodb: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._dynamodb, self._table, self._sleep = dynamodb, table, sleep

    def of(self, ids: Iterable[str]) -> dict[str, Record]:
        """The rows that exist, read consistently; RedriveError where the table will not say."""
        wanted, found = sorted(set(ids)), dict[str, Record]()
        for start in range(0, len(wanted), KEYS):
            found |= self._some(wanted[start : start + KEYS])
        return found

    def has_business_keys(self) -> bool:
        """Whether IDEMPOTENCY_KEY made one of the rows in the first page of a scan.

        A page is 1 MB, some 3,000 rows. In a larger table this is a sample.
        """
        answer = self._dynamodb.scan(
            TableName=self._table,
            Select="COUNT",
            FilterExpression="begins_with(message_id, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": KEYED}},
        )
        return answer["Count"] > 0

    def _some(self, ids: list[str]) -> dict[str, Record]:
        asked: Any = {
            self._table: {
                "Keys": [{"message_id": {"S": key}} for key in ids],
                "ConsistentRead": True,
                "ProjectionExpression": "message_id, #status, reason, digest, canonical_digest",
                "ExpressionAttributeNames": {"#status": "status"},
            }
        }
        found: dict[str, Record] = {}
        for attempt in range(TRIES):
            answer = self._dynamodb.batch_get_item(RequestItems=asked)
            for row in answer["Responses"].get(self._table, ()):
                found[row["message_id"]["S"]] = _record(row)
            asked = answer.get("UnprocessedKeys")
            if not asked:
                return found
            self._sleep(0.1 * 2**attempt)
        raise RedriveError(f"{self._table}: it left keys unread {TRIES} times; try again later")


class NoRecords(Records):
    """Where no table is known."""

    def __init__(self) -> None:
        """It needs no client."""

    def of(self, ids: Iterable[str]) -> dict[str, Record]:
        """Nothing."""
        return {}

    def has_business_keys(self) -> bool:
        """Nobody knows."""
        return False


def _record(row: Mapping[str, Any]) -> Record:
    names = ("status", "reason", "digest", "canonical_digest")
    return Record(*(row.get(name, {}).get("S", "") for name in names))
