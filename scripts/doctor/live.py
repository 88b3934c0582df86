"""Asks AWS for the facts, and opens messages of the DLQ where that is asked for.

It is the only module here that calls AWS, and it changes nothing. A fact that may not be read
becomes Unknown, and a resource that does not exist becomes Missing. plans/doctor.md lists the
permissions. Opening a message counts as a receive, so it needs --peek.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.config import Config
from botocore.exceptions import ClientError

from doctor import answers
from doctor.evidence import Evidence
from doctor.facts import Facts, Missing, Peeked, Queue, Rows, Table, Unknown
from sqs_worker import access
from sqs_worker.business import BusinessKey
from sqs_worker.message import Identity, identity_of, is_same_body
from sqs_worker.rows import KEEP_SECONDS
from sqs_worker.settings import Settings

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


T = TypeVar("T")

SAMPLE = 25
"""Rows that are read of each table: a few read units."""
_ABSENT = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)
_NOBODY = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_NO_SUCH_CALL = frozenset({"InvalidAction", "UnsupportedOperation", "UnknownOperationException"})
"""What emulators answer; MiniStack has no ListDeadLetterSourceQueues."""


class Unusable(RuntimeError):
    """AWS knows neither us nor the queue: there is nothing to look at."""


class _Absent(Exception):
    """What was asked about does not exist."""


@dataclass(frozen=True)
class Clients:
    """Where the facts come from."""

    sqs: SQSClient
    dynamodb: DynamoDBClient


def connect(settings: Settings) -> Clients:
    """Clients as the consumer's; raises RegionError, CredentialsError and the SDK's errors."""
    session = access.opened(settings.queue_url, settings.aws_region or None)
    config = Config(
        connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
    )
    sqs = session.client("sqs", config=config)
    access.check_region(settings.queue_url, sqs.meta.endpoint_url)
    return Clients(sqs, session.client("dynamodb", config=config))


def facts(
    clients: Clients, settings: Settings, evidence: Evidence | Unknown, *, opening: bool
) -> Facts:
    """Everything that the rules may look at; `opening` also opens messages of the DLQ.

    Raises Unusable, and botocore's own errors where nobody answers.
    """
    queue = _the_queue(clients.sqs, settings.queue_url)
    dlq_url, dlq = _dlq(clients.sqs, queue)
    completed = _table(clients.dynamodb, settings.message_completed_table)
    peeked: Peeked | Unknown | None = None
    if opening:
        peeked = _peeked(clients, settings, dlq_url, dlq)
    return Facts(
        settings=settings,
        queue=queue,
        dlq=dlq,
        status=_table(clients.dynamodb, settings.message_status_table),
        completed=completed,
        evidence=evidence,
        row_life=KEEP_SECONDS,
        peeked=peeked,
    )


def _asked(action: str, call: Callable[[], T]) -> T | Unknown:
    """The answer, or Unknown where it is refused; `action` is the IAM action that it needs."""
    try:
        return call()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _ABSENT:
            raise _Absent from error
        if code in _NOBODY:
            raise Unusable(f"{action}: {error}") from error
        if code in _NO_SUCH_CALL:
            return Unknown(f"this endpoint does not know {action}")
        return Unknown(f"{action} was refused: {code}")


def _the_queue(sqs: SQSClient, url: str) -> Queue | Unknown:
    try:
        return _queue(sqs, url)
    except _Absent:
        raise Unusable(f"{url}: there is no such queue") from None


def _queue(sqs: SQSClient, url: str) -> Queue | Unknown:
    """The queue at this URL; raises _Absent."""
    answer = _asked(
        "sqs:GetQueueAttributes",
        lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]),
    )
    if isinstance(answer, Unknown):
        return answer
    return answers.queue(answer.get("Attributes", {}), _sources(sqs, url))


def _sources(sqs: SQSClient, url: str) -> tuple[str, ...] | Unknown:
    def pages() -> tuple[str, ...]:
        found = sqs.get_paginator("list_dead_letter_source_queues").paginate(QueueUrl=url)
        return tuple(one.rpartition("/")[2] for page in found for one in page.get("queueUrls", ()))

    return _asked("sqs:ListDeadLetterSourceQueues", pages)


def _dlq(sqs: SQSClient, queue: Queue | Unknown) -> tuple[str, Queue | Missing | Unknown | None]:
    """URL and facts of the queue that the redrive policy names."""
    if isinstance(queue, Unknown):
        return "", queue
    if queue.dlq_arn is None:
        return "", None
    *_, owner, name = queue.dlq_arn.split(":")
    try:
        answer = _asked(
            "sqs:GetQueueUrl",
            lambda: sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=owner),
        )
        if isinstance(answer, Unknown):
            return "", answer
        return answer["QueueUrl"], _queue(sqs, answer["QueueUrl"])
    except _Absent:
        return "", Missing(name)


def _table(dynamodb: DynamoDBClient, name: str) -> Table | Missing | Unknown | None:
    if not name:
        return None
    try:
        answer = _asked("dynamodb:DescribeTable", lambda: dynamodb.describe_table(TableName=name))
        if isinstance(answer, Unknown):
            return answer
        table: Mapping[str, Any] = answer["Table"]
        return Table(
            name=name,
            key=answers.key(table),
            write_units=answers.write_units(table),
            size_bytes=int(table.get("TableSizeBytes", 0)),
            expiry=_expiry(dynamodb, name),
            rows=_rows(dynamodb, name),
        )
    except _Absent:
        return Missing(name)


def _expiry(dynamodb: DynamoDBClient, name: str) -> str | Unknown | None:
    answer = _asked(
        "dynamodb:DescribeTimeToLive", lambda: dynamodb.describe_time_to_live(TableName=name)
    )
    if isinstance(answer, Unknown):
        return answer
    return answers.expiry(answer["TimeToLiveDescription"])


def _rows(dynamodb: DynamoDBClient, name: str) -> Rows | Unknown:
    answer = _asked("dynamodb:Scan", lambda: dynamodb.scan(TableName=name, Limit=SAMPLE))
    if isinstance(answer, Unknown):
        return answer
    return answers.rows(answer["Items"])


def _peeked(
    clients: Clients, settings: Settings, url: str, dlq: Queue | Missing | Unknown | None
) -> Peeked | Unknown:
    if not isinstance(dlq, Queue):
        return dlq if isinstance(dlq, Unknown) else Unknown("there is no DLQ to open")
    if dlq.max_receives is not None:
        return Unknown(f"{dlq.name} has a redrive policy: opening its messages would move them on")
    table = settings.message_completed_table
    if not table:
        return Unknown("there is no table that says what was completed")
    key = settings.idempotency_key
    identify = BusinessKey(key).identify if key else identity_of
    actions = "sqs:ReceiveMessage, sqs:ChangeMessageVisibility or dynamodb:BatchGetItem"
    try:
        return _asked(actions, lambda: peek(clients.sqs, clients.dynamodb, url, table, identify))
    except _Absent:
        return Unknown(f"{table} does not exist")
