"""Talks to SQS: receive, delete, release, extend, each answering for every message it was given.

It knows the limits and quirks of SQS, and when the server gave an answer that arrived late. It does
not know what a message means.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from . import aws
from .message import SNS_REMEDY, Identity, Message, delivery_of, identity_of, is_sns_envelope
from .ports import Deletion, Down, InboxDown, QueueFacts
from .variables import BATCH_LIMIT

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class ServerClock:
    """How far the server's clock is ahead of the local monotonic one, in bounds.

    An answer with the Date D was given between D and D + 1 of the server's clock, and between its
    request and its arrival of the local one. Each answer bounds the difference, and the narrowest
    bounds count. Where they contradict each other a clock has been set, and only the latest count.
    All times are in seconds. May be used by several threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._low, self._high = -math.inf, math.inf

    def note(self, sent: float, arrived: float, date: float) -> None:
        """An answer with this Date came between these two local moments."""
        low, high = date - arrived, date + 1 - sent
        with self._lock:
            self._low, self._high = max(self._low, low), min(self._high, high)
            if self._low > self._high:
                self._low, self._high = low, high

    def earliest(self, server_time: float) -> float:
        """The earliest local moment at which it can have been so late at the server."""
        with self._lock:
            return server_time - self._high


LONGEST_CALL, SHORTEST_CALL = 5.0, 1.0
"""Seconds that any call but a receive waits for its answer; see `call_timeout`."""
_STALE = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"})
"""Answers to a delete with a handle whose delivery has ended; SQS mostly says nothing (quirk 3)."""
_OPEN = "no answer"
"""Stands for the code of an entry whose outcome is not known."""
_REQUIRED = ("MessageId", "ReceiptHandle", "Body")
_JSON = "application/x-amz-json"

log = logging.getLogger(__name__)


def call_timeout(visibility: int) -> float:
    """Seconds to wait for an answer where a message is hidden for so long.

    The SDK tries twice. Both tries take a third of the visibility timeout at most: a heartbeat at
    the first third that nobody answers leaves time for another one. Below 6 s it does not.
    """
    return min(LONGEST_CALL, max(SHORTEST_CALL, visibility / 6))


class SqsQueue:
    """The `Inbox` port on one SQS queue.

    `receiver` may wait as long as a long poll takes; `connect` makes the client of all other calls,
    which waits for an answer for at most so many seconds. `visibility` overrides, in seconds, how
    long a receive hides a message; None leaves it to the queue. `identify` gives the identity of a
    body with this MessageId, and never raises. All methods may be called from several threads.
    """

    def __init__(
        self,
        receiver: "SQSClient",
        connect: Callable[[float], "SQSClient"],
        queue_url: str,
        visibility: int | None,
        identify: Callable[[str, str], Identity] = identity_of,
    ) -> None:
        self._receiver = receiver
        self._connect = connect
        self._sqs = connect(LONGEST_CALL)
        self._queue_url = queue_url
        self._visibility = visibility
        self._identify = identify
        self._warned = False
        self._clock = ServerClock()

    def facts(self) -> QueueFacts:
        """What the queue's attributes say; raises InboxDown."""
        names = ["VisibilityTimeout", "RedrivePolicy"]
        answer = self._call(
            self._sqs.get_queue_attributes, {"AttributeNames": names}, _has_visibility
        )
        attributes = answer["Attributes"]
        if self._visibility is None:
            self._visibility = int(attributes["VisibilityTimeout"])
        self._sqs = self._connect(call_timeout(self._visibility))
        try:
            most = _max_receives(attributes.get("RedrivePolicy"))
        except (KeyError, TypeError, ValueError) as error:
            raise InboxDown(
                f"{self._queue_url}: RedrivePolicy={attributes['RedrivePolicy']!r} has no "
                "maxReceiveCount",
                passing=False,
            ) from error
        return QueueFacts(self._visibility, most)

    def receive(self, limit: int, wait: int) -> list[Message]:
        """Up to `limit` messages, after at most `wait` seconds; raises InboxDown.

        The visibility timeout goes along with each request: somebody may lower the queue's own
        while the consumer counts on the one that it found at the start.
        """
        request: dict[str, Any] = {
            "MaxNumberOfMessages": min(limit, BATCH_LIMIT),
            "WaitTimeSeconds": wait,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
        }
        if self._visibility is not None:
            request["VisibilityTimeout"] = self._visibility
        sent = time.monotonic()
        answer = self._call(self._receiver.receive_message, request, _is_from_sqs)
        found = list(_whole(answer))
        since = self._hidden_since(answer, found, sent, wait)
        return [self._message(raw, since) for raw in found]

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
        """For each message the error code of its entry, '' where SQS says that it was done.

        A call that fails as a whole leaves each of its messages open.
        """
        codes: list[str] = []
        for start in range(0, len(messages), BATCH_LIMIT):
            part = messages[start : start + BATCH_LIMIT]
            entries = [
                {"Id": str(index), "ReceiptHandle": message.handle, **extra}
                for index, message in enumerate(part)
            ]
            try:
                answer = self._call(call, {"Entries": entries}, _has_outcomes)
            except InboxDown as error:
                log.warning("no outcome for %s messages: %s", len(part), error)
                answer = {}
            codes += _codes(answer, len(part))
        return codes

    def _call(
        self, method: Callable[..., Any], request: Mapping[str, Any], proof: Callable[[Any], bool]
    ) -> Any:
        """The answer of SQS; raises InboxDown, which names the queue, where there is none."""
        sent = time.monotonic()
        try:
            answer = aws.call(method, {"QueueUrl": self._queue_url, **request}, proof, InboxDown)
        except ClientError as error:
            raise self._named(aws.down_by(error, InboxDown)) from error
        except InboxDown as down:
            raise self._named(down) from down.__cause__
        if date := _date(answer):
            self._clock.note(sent, time.monotonic(), date)
        return answer

    def _hidden_since(self, answer: Any, found: Sequence[Any], sent: float, wait: int) -> float:
        """The earliest local moment at which the messages of an answer can have been hidden.

        A message that was sent to the queue while the poll was open was hidden after that, which
        its SentTimestamp says in milliseconds. An answer without a Date is not from AWS: it counts
        from its arrival, or from the end of the poll where it came later still. From its request
        would be safe, and every message of a long poll would be overdue when it arrives.
        """
        arrived, date = time.monotonic(), _date(answer)
        if date is None:
            return min(arrived, sent + wait)
        times = [_attribute(raw, "SentTimestamp", 0) / 1000 for raw in found]
        latest = min(max([date, *times]), date + 1)
        return min(arrived, max(sent, self._clock.earliest(latest)))

    def _named(self, down: Down) -> InboxDown:
        reason = f"{self._queue_url}: {down}"
        return InboxDown(reason, passing=down.passing, throttled=down.throttled)

    def _warn_of_envelope(self, body: str, message_id: str) -> None:
        """Once: each message of the topic is one."""
        if not self._warned and is_sns_envelope(body):
            self._warned = True
            log.warning(
                "message %s is an SNS envelope: the payload is a text inside it, so its MessageId "
                "takes the place of the payload's id; %s. Later envelopes are not reported",
                message_id,
                SNS_REMEDY,
            )

    def _message(self, raw: Any, hidden_since: float) -> Message:
        identity = self._identify(raw["Body"], raw["MessageId"])
        if identity.id == raw["MessageId"] and not identity.unkeyed:
            self._warn_of_envelope(raw["Body"], identity.id)
        deadline = hidden_since + (self._visibility or 0)
        return Message(
            id=identity.id,
            sqs_id=raw["MessageId"],
            handle=raw["ReceiptHandle"],
            delivery=delivery_of(raw["ReceiptHandle"]),
            body=raw["Body"],
            digest=identity.digest,
            receive_count=_attribute(raw, "ApproximateReceiveCount", 1),
            sent=_attribute(raw, "SentTimestamp", 0) / 1000,
            visible_at=round(time.time() - time.monotonic() + deadline, 3),
            deadline=deadline,
            business_key=identity.business_key,
            unkeyed=identity.unkeyed,
            canonical=identity.canonical,
        )


def _is_from_sqs(answer: Any) -> bool:
    """Whether SQS sent this answer, which may be empty: then it has a request id, in JSON and in
    XML. A stand-in for SQS that sends none has the content type of AWS's JSON (quirk 18)."""
    metadata = answer.get("ResponseMetadata", {})
    content = metadata.get("HTTPHeaders", {}).get("content-type", "")
    return "RequestId" in metadata or content.startswith(_JSON)


def _has_visibility(answer: Any) -> bool:
    return str(answer.get("Attributes", {}).get("VisibilityTimeout", "")).isdecimal()


def _has_outcomes(answer: Any) -> bool:
    return "Successful" in answer or "Failed" in answer


def _codes(answer: Mapping[str, Any], count: int) -> list[str]:
    """The code of each entry; one that the answer does not name is open, and not done."""
    done = {entry.get("Id"): "" for entry in answer.get("Successful", ()) if entry}
    failed = {
        entry.get("Id"): entry.get("Code", _OPEN) for entry in answer.get("Failed", ()) if entry
    }
    return [(done | failed).get(str(index), _OPEN) for index in range(count)]


def _whole(answer: Mapping[str, Any]) -> Iterator[Any]:
    """The messages of an answer that can be worked on and deleted; the others stay hidden."""
    for raw in answer.get("Messages", ()):
        missing = [name for name in _REQUIRED if not isinstance((raw or {}).get(name), str)]
        if not missing:
            yield raw
            continue
        log.error(
            "SQS returned a message without %s: the consumer neither processes nor deletes it, and "
            "it is redelivered when its visibility timeout expires; check what answers at the "
            "endpoint",
            " and ".join(missing),
        )


def _attribute(raw: Mapping[str, Any], name: str, default: int) -> int:
    text = str(raw.get("Attributes", {}).get(name))
    return int(text) if text.isdecimal() else default


def _date(answer: Any) -> float | None:
    """The Date of an answer in epoch seconds, None where it has none that can be read."""
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(text).timestamp()
    except (OverflowError, ValueError):
        return None


def _deletion(code: str) -> Deletion:
    if not code:
        return Deletion.DELETED
    return Deletion.STALE if code in _STALE else Deletion.UNKNOWN


def _max_receives(redrive_policy: str | None) -> int | None:
    return int(json.loads(redrive_policy)["maxReceiveCount"]) if redrive_policy else None
