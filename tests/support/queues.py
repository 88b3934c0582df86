"""One queue, its DLQ and two tables for a test, with readers that see what was last written."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

from local_stack.provision import local_session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

REGION = "us-west-1"
COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
Row = dict[str, Any]


@dataclass(frozen=True)
class QueueSet:
    """Names, an environment for a door, and readers. ``env`` reaches this set only."""

    queue_url: str
    dlq_url: str
    dlq_arn: str
    status_table: str
    completed_table: str
    env: dict[str, str]
    sqs: SQSClient = field(repr=False)
    dynamodb: DynamoDBClient = field(repr=False)

    def send(self, *bodies: str | dict[str, Any]) -> None:
        """Send each body; a dict goes as JSON."""
        for body in bodies:
            text = body if isinstance(body, str) else json.dumps(body)
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=text)

    def send_many(self, count: int) -> list[str]:
        """Send `count` plain messages, ten to a call; returns their ids."""
        ids = [str(uuid.uuid4()) for _ in range(count)]
        for start in range(0, count, 10):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(n), "MessageBody": json.dumps({"id": one, "work": 1})}
                for n, one in enumerate(ids[start : start + 10])
            ]
            answer = self.sqs.send_message_batch(QueueUrl=self.queue_url, Entries=entries)
            assert not answer.get("Failed"), answer["Failed"]
        return ids

    def depth(self) -> int:
        """Messages in the queue: visible, in flight and delayed."""
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=COUNTS)
        return sum(int(answer["Attributes"][name]) for name in COUNTS)

    def dlq_messages(self) -> list[dict[str, Any]]:
        """What the DLQ holds now, as ReceiveMessage gives it; the messages stay visible there."""
        found: list[dict[str, Any]] = []
        while batch := self.sqs.receive_message(
            QueueUrl=self.dlq_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=60,
            WaitTimeSeconds=0,
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            found += [dict(message) for message in batch]
        for message in found:
            self.sqs.change_message_visibility(
                QueueUrl=self.dlq_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return found

    def status_rows(self) -> dict[str, Row]:
        """Rows of the status table by message id, read consistently."""
        return self._rows(self.status_table)

    def completed_rows(self) -> dict[str, Row]:
        """Rows of the completed table by message id, read consistently."""
        return self._rows(self.completed_table)

    def _rows(self, table: str) -> dict[str, Row]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        rows = [_plain(item) for page in pages for item in page["Items"]]
        return {row["message_id"]: row for row in rows}


class QueueSets:
    """Makes sets with names of their own on one endpoint."""

    def __init__(self, endpoint: str, environment: dict[str, str]) -> None:
        session = local_session(REGION)
        direct = Config(proxies={})
        self._sqs = session.client("sqs", endpoint_url=endpoint, config=direct)
        self._dynamodb = session.client("dynamodb", endpoint_url=endpoint, config=direct)
        self._environment = environment

    def __call__(self, visibility: int = 2, wait: int = 1, max_receive_count: int = 2) -> QueueSet:
        base = f"t-{uuid.uuid4().hex[:12]}"
        dlq_url, dlq_arn = self._queue(f"{base}-dlq", {})
        redrive = {"deadLetterTargetArn": dlq_arn, "maxReceiveCount": max_receive_count}
        attributes = {
            "VisibilityTimeout": str(visibility),
            "ReceiveMessageWaitTimeSeconds": str(wait),
            "RedrivePolicy": json.dumps(redrive),
        }
        queue_url, _ = self._queue(base, attributes)
        status, completed = (self._table(f"{base}-{kind}") for kind in ("status", "completed"))
        env = {
            **self._environment,
            "QUEUE_URL": queue_url,
            "DLQ_ARN": dlq_arn,
            "MESSAGE_STATUS_TABLE": status,
            "MESSAGE_COMPLETED_TABLE": completed,
        }
        return QueueSet(
            queue_url, dlq_url, dlq_arn, status, completed, env, self._sqs, self._dynamodb
        )

    def _queue(self, name: str, attributes: dict[str, str]) -> tuple[str, str]:
        url = self._sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]  # type: ignore[arg-type]
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, answer["Attributes"]["QueueArn"]

    def _table(self, name: str) -> str:
        self._dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
        )
        return name


def _plain(item: dict[str, Any]) -> Row:
    read = TypeDeserializer().deserialize
    return {name: _number(read(value)) for name, value in item.items()}


def _number(value: Any) -> Any:
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)
