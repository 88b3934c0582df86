"""A message of the DLQ, what a filter sees of it, and what the status table says about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redrive import tag
from redrive.exits import RedriveError
from sqs_worker.message import KEYED, Identity, is_same_body, payload_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueOutputTypeDef as Attribute


KEYS = 100  # of one BatchGetItem
TRIES = 6


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One receive of one message from the DLQ.

    `sent` is in milliseconds since the epoch, `deadline` on the monotonic clock: until then it is
    hidden from others. `receives` counts those by consumers, not the looks into the DLQ. `system`
    are attributes that SQS takes back: the trace header, the group.
    """

    sqs_id: str
    handle: str
    body: str
    sent: int
    receives: int
    source_arn: str
    deadline: float
    identity: Identity
    attributes: Mapping[str, Attribute]
    system: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.identity.id

    @property
    def key(self) -> str:
        """What the consumer records it under (plans/ids.md, plans/business-idempotency.md)."""
        return self.identity.business_key or self.identity.id

    @property
    def has_own_key(self) -> bool:
        """Whether it is recorded under something that a move does not change."""
        return self.key != self.sqs_id

    @property
    def tag(self) -> tag.Tag | None:
        """None also for a tag of somebody else's; the rules look at that."""
        try:
            return tag.read(self.attributes)
        except tag.ForeignTagError:
            return None

    @property
    def first_sent(self) -> int:
        """Milliseconds since the epoch: when it was sent at first, before any move."""
        return self.tag.first_sent if self.tag else self.sent

    @property
    def replays(self) -> int:
        return self.tag.replay_count if self.tag else 0


@dataclass(frozen=True, slots=True)
class Record:
    """What the status table knows of a message; empty texts where there is no row."""

    status: str = ""
    reason: str = ""
    digest: str = ""
    canonical_digest: str = ""

    def says_done(self, letter: DeadLetter) -> bool:
        """Whether the consumer's claim would find this very message done and delete it."""
        return self.status == "COMPLETED" and is_same_body(
            letter.identity, self.digest, self.canonical_digest
        )

    def is_of_another_payload(self, letter: DeadLetter) -> bool:
        """Whether the claim would refuse it, since its id or key stood for something else."""
        return self.status == "COMPLETED" and not self.says_done(letter)


NO_RECORD = Record()


def document(letter: DeadLetter, record: Record, now: float) -> dict[str, Any]:
    """What a filter's expression is about; `now` in seconds since the epoch.

    `payload` is null where the body is not JSON.
    """
    texts = {name: value.get("StringValue") for name, value in letter.attributes.items()}
    return {
        "id": letter.id,
        "message_id": letter.sqs_id,
        "payload": payload_of(letter.body),
        "body": letter.body,
        "attributes": {name: text for name, text in texts.items() if name != tag.NAME},
        "receive_count": letter.receives,
        "replay_count": letter.replays,
        "age_seconds": round(now - letter.first_sent / 1000, 3),
        "status": record.status or None,
        "reason": record.reason or None,
    }


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
