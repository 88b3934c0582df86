"""What the runner itself does with queues and tables: depth, draining, messages and rows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from harness.history import Held, Sample

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageTypeDef

COUNTS: tuple[QueueAttributeNameType, ...] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
BATCH = 10  # entries of a receive or a batch call (quirk 7)
LOOK_SECONDS = 30  # for so long a message that the runner looks at is hidden from others
EMPTY_RECEIVES = 2  # in a row, before the runner believes that nothing visible is left


@dataclass(frozen=True)
class Drained:
    """What an earlier run had left, and what could not be reached."""

    queue: int
    dlq: int
    in_flight: int

    def __str__(self) -> str:
        rest = f"; {self.in_flight} are in other hands" if self.in_flight else ""
        return f"drained {self.queue} from the queue and {self.dlq} from the DLQ{rest}"


class Queues:
    """The queue and the DLQ of one set."""

    def __init__(self, sqs: SQSClient, queue_url: str, dlq_url: str, wait: int) -> None:
        """`wait`: seconds of long poll; on AWS at least 1, a short poll asks only some servers."""
        self._sqs = sqs
        self._queue_url = queue_url
        self._dlq_url = dlq_url
        self._wait = wait

    def sample(self) -> Sample:
        visible, in_flight, delayed = self._counts(self._queue_url)
        return Sample(time.time(), visible, in_flight, delayed, self._counts(self._dlq_url)[0])

    def visibility(self) -> int:
        """The queue's own visibility timeout in seconds."""
        answer = self._sqs.get_queue_attributes(
            QueueUrl=self._queue_url, AttributeNames=["VisibilityTimeout"]
        )
        return int(answer["Attributes"]["VisibilityTimeout"])

    def drain(self, seconds: float, wait: Callable[[float], None]) -> Drained:
        """Delete all that is there, also what becomes visible within `seconds`."""
        deadline = time.monotonic() + seconds
        queue = dlq = 0
        while True:
            queue += self._drain(self._queue_url)
            dlq += self._drain(self._dlq_url)
            counts = [self._counts(url)[:2] for url in (self._queue_url, self._dlq_url)]
            # Also what is visible: it may have come back since the last receive.
            if not any(map(any, counts)) or time.monotonic() > deadline:
                return Drained(queue, dlq, sum(in_flight for _, in_flight in counts))
            wait(0.2)

    def left_in_queue(self, wanted: Iterable[str]) -> dict[str, Held]:
        """Which of these messages can be received from the queue now; they stay there."""
        return self._look(self._queue_url, wanted)

    def dead_lettered(self, wanted: Iterable[str]) -> dict[str, Held]:
        """Which of these messages can be received from the DLQ now; they stay there."""
        return self._look(self._dlq_url, wanted)

    def _look(self, url: str, wanted: Iterable[str]) -> dict[str, Held]:
        missing, seen, found = set(wanted), list["MessageTypeDef"](), dict[str, Held]()
        empty = 0
        while missing and empty < EMPTY_RECEIVES:
            batch = self._receive(url)
            empty = 0 if batch else empty + 1
            seen += batch
            for message in batch:
                held = _held(message)
                if held.id in missing:
                    found[held.id] = held
                    missing.discard(held.id)
        self._give_back(url, seen)
        return found

    def _drain(self, url: str) -> int:
        deleted = empty = 0
        while empty < EMPTY_RECEIVES:
            batch = self._receive(url)
            empty = 0 if batch else empty + 1
            if batch:
                entries = [_entry(index, message) for index, message in enumerate(batch)]
                answer = self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)
                deleted += len(answer.get("Successful", ()))
        return deleted

    def _receive(self, url: str) -> list[MessageTypeDef]:
        answer = self._sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=LOOK_SECONDS,
            WaitTimeSeconds=self._wait,
            MessageSystemAttributeNames=["All"],
        )
        return answer.get("Messages", [])

    def _give_back(self, url: str, messages: list[MessageTypeDef]) -> None:
        for start in range(0, len(messages), BATCH):
            entries: list[Any] = [
                {**_entry(index, message), "VisibilityTimeout": 0}
                for index, message in enumerate(messages[start : start + BATCH])
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)

    def _counts(self, url: str) -> tuple[int, int, int]:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=COUNTS)
        counts: Mapping[Any, str] = answer["Attributes"]
        visible, in_flight, delayed = (int(counts.get(name, 0)) for name in COUNTS)
        return visible, in_flight, delayed


def _entry(index: int, message: MessageTypeDef) -> Any:
    return {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}


def _held(message: MessageTypeDef) -> Held:
    attributes: Mapping[Any, str] = message.get("Attributes", {})
    return Held(
        id=_payload_id(message["Body"]) or message["MessageId"],
        sqs_id=message["MessageId"],
        receive_count=int(attributes.get("ApproximateReceiveCount", 0)),
        source_arn=attributes.get("DeadLetterQueueSourceArn"),
    )


def _payload_id(body: str) -> str | None:
    try:
        found = json.loads(body)["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


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
