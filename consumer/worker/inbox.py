"""Talks to SQS: receive, delete, release, extend, each answering for every message it was given.

It knows the limits and quirks of SQS and nothing of what a message means.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .message import Identity, Message, delivery_of, identity_of
from .ports import Deletion, InboxDown, QueueFacts

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH_LIMIT = 10
"""Entries in one batch call (quirk 7)."""

_STALE = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"})
"""Answers to a delete with a handle whose delivery has ended; SQS mostly says nothing (quirk 3)."""

log = logging.getLogger(__name__)


class SqsInbox:
    """The `Inbox` port on one SQS queue.

    `visibility` overrides, in seconds, how long a receive hides a message; None leaves it to the
    queue. `identify` gives the identity of a body with this MessageId, and never raises. All
    methods may be called from several threads.
    """

    def __init__(
        self,
        sqs: "SQSClient",
        queue_url: str,
        visibility: int | None,
        identify: Callable[[str, str], Identity] = identity_of,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._override = visibility
        self._identify = identify
        self._visibility = visibility or 0

    def facts(self) -> QueueFacts:
        """What the queue's attributes say; raises botocore's errors, for the start to report."""
        answer = self._sqs.get_queue_attributes(
            QueueUrl=self._queue_url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
        )
        attributes: Any = answer.get("Attributes", {})
        if self._override is None:
            self._visibility = int(attributes["VisibilityTimeout"])
        return QueueFacts(self._visibility, _max_receives(attributes.get("RedrivePolicy")))

    def receive(self, limit: int, wait: int) -> list[Message]:
        """Up to `limit` messages, after at most `wait` seconds; raises InboxDown."""
        request: dict[str, Any] = {
            "QueueUrl": self._queue_url,
            "MaxNumberOfMessages": min(limit, BATCH_LIMIT),
            "WaitTimeSeconds": wait,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
        }
        if self._override is not None:
            request["VisibilityTimeout"] = self._override
        try:
            answer = self._sqs.receive_message(**request)
        except (ClientError, BotoCoreError) as error:
            raise InboxDown(f"receive from {self._queue_url}: {error}") from error
        return [self._message(raw) for raw in answer.get("Messages", ())]

    def delete(self, messages: Sequence[Message]) -> list[Deletion]:
        """Delete from the queue; a handle that has gone stale is an answer, not an error."""
        codes = self._in_batches(self._sqs.delete_message_batch, messages, {})
        return [_deletion(code) for code in codes]

    def release(self, messages: Sequence[Message]) -> list[bool]:
        """Make messages visible again at once; True where SQS took it."""
        return self._set_visibility(messages, 0)

    def extend(self, messages: Sequence[Message], seconds: int) -> list[bool]:
        """Hide messages for `seconds` from now; True where SQS took it."""
        return self._set_visibility(messages, seconds)

    def _set_visibility(self, messages: Sequence[Message], seconds: int) -> list[bool]:
        call = self._sqs.change_message_visibility_batch
        codes = self._in_batches(call, messages, {"VisibilityTimeout": seconds})
        return [code == "" for code in codes]

    def _in_batches(
        self, call: Callable[..., Any], messages: Sequence[Message], extra: dict[str, Any]
    ) -> list[str]:
        """For each message the error code of its entry, '' where there is none.

        A call that fails as a whole gives its code to each of its messages.
        """
        codes: list[str] = []
        for start in range(0, len(messages), BATCH_LIMIT):
            part = messages[start : start + BATCH_LIMIT]
            entries = [
                {"Id": str(index), "ReceiptHandle": message.handle, **extra}
                for index, message in enumerate(part)
            ]
            try:
                answer = call(QueueUrl=self._queue_url, Entries=entries)
            except (ClientError, BotoCoreError) as error:
                log.warning("%s messages: %s; they stay as they are", len(part), error)
                codes += [type(error).__name__] * len(part)
                continue
            failed = {entry["Id"]: entry["Code"] for entry in answer.get("Failed", ())}
            codes += [failed.get(str(index), "") for index in range(len(part))]
        return codes

    def _message(self, raw: Any) -> Message:
        attributes = raw.get("Attributes", {})
        identity = self._identify(raw["Body"], raw["MessageId"])
        return Message(
            id=identity.id,
            sqs_id=raw["MessageId"],
            handle=raw["ReceiptHandle"],
            delivery=delivery_of(raw["ReceiptHandle"]),
            body=raw["Body"],
            digest=identity.digest,
            receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
            sent=int(attributes.get("SentTimestamp", 0)) / 1000,
            visible_at=round(time.time() + self._visibility, 3),
            deadline=time.monotonic() + self._visibility,
            business_key=identity.business_key,
            unkeyed=identity.unkeyed,
            canonical=identity.canonical,
        )


def _deletion(code: str) -> Deletion:
    if not code:
        return Deletion.DELETED
    return Deletion.STALE if code in _STALE else Deletion.UNKNOWN


def _max_receives(redrive_policy: str | None) -> int | None:
    return int(json.loads(redrive_policy)["maxReceiveCount"]) if redrive_policy else None
