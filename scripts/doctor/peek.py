"""Opens messages of a DLQ to see which were completed, and gives them back; judges nothing.

A receive counts in ApproximateReceiveCount, so this happens only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from doctor.facts import Peeked, Unknown
from sqs_worker.message import Identity, is_same_body

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

Digests = tuple[str, str]
"""What a row says of the body: `digest` and `canonical_digest`, empty where it has none."""

MOST = 100
"""Messages that are opened, and keys that one BatchGetItem takes."""
BATCH = 10
HIDDEN_SECONDS = 30
TRIES = 5


def peek(
    sqs: SQSClient,
    dynamodb: DynamoDBClient,
    url: str,
    table: str,
    identify: Callable[[str, str], Identity],
) -> Peeked | Unknown:
    """Look at up to 100 messages; raises botocore's errors, with what was opened given back."""
    opened: list[MessageTypeDef] = []
    try:
        while len(opened) < MOST and (batch := _receive(sqs, url)):
            opened += batch
        known_by = [identify(one["Body"], one["MessageId"]) for one in opened[:MOST]]
        done = _completed(dynamodb, table, list({_key(one): one for one in known_by}))
    finally:
        _give_back(sqs, url, opened)
    if done is None:
        return Unknown(f"{table} did not answer for all messages of the DLQ")
    completed = [
        one.id for one in known_by if (row := done.get(_key(one))) and is_same_body(one, *row)
    ]
    return Peeked(len(opened), tuple(dict.fromkeys(completed)))


def _key(one: Identity) -> str:
    """What its completion is recorded under."""
    return one.business_key or one.id


def _receive(sqs: SQSClient, url: str) -> list[MessageTypeDef]:
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=BATCH,
        VisibilityTimeout=HIDDEN_SECONDS,
        WaitTimeSeconds=1,  # a short poll asks only some servers
    )
    return answer.get("Messages", [])


def _give_back(sqs: SQSClient, url: str, messages: list[MessageTypeDef]) -> None:
    for start in range(0, len(messages), BATCH):
        entries: list[Any] = [
            {"Id": str(index), "ReceiptHandle": one["ReceiptHandle"], "VisibilityTimeout": 0}
            for index, one in enumerate(messages[start : start + BATCH])
        ]
        sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def _completed(dynamodb: DynamoDBClient, table: str, ids: list[str]) -> dict[str, Digests] | None:
    """The digests of the body that was completed under each of these ids, where one was; None where
    the table does not answer for all of them. Another body under an id is not done."""
    found: dict[str, Digests] = {}
    request: Any = {table: {"Keys": [{"message_id": {"S": one}} for one in ids]}} if ids else {}
    for _ in range(TRIES):
        if not request:
            return found
        answer = dynamodb.batch_get_item(RequestItems=request)
        rows = answer.get("Responses", {}).get(table, ())
        found |= {str(row["message_id"]["S"]): _digests(row) for row in rows}
        request = answer.get("UnprocessedKeys", {})
    return None if request else found


def _digests(row: Mapping[str, Any]) -> Digests:
    digest, canonical = (row.get(name, {}).get("S", "") for name in ("digest", "canonical_digest"))
    return digest, canonical
