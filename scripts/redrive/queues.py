"""SQS as a redrive needs it: the pair of queues, receive, send, delete, give back.

It decides nothing. Each call that answers in parts gives one answer for each message.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redrive.dead_letters import DeadLetter
from redrive.exits import (
    AWS_ERRORS,
    RedriveError,
    RefusedError,
    explain,
    is_silence,
    is_throttled,
    reason_of,
)
from redrive.rules import BATCH, Outgoing
from sqs_worker.message import Identity, identity_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType as Name

WAIT_SECONDS = 1  # an empty long poll has asked all servers, an empty short one only some
ARN = re.compile(r"arn:[\w-]+:sqs:[\w-]+:(\w+):([\w.-]+)")
IN_FLIGHT: Final = "ApproximateNumberOfMessagesNotVisible"
SYSTEM: Final = ("AWSTraceHeader", "MessageGroupId")  # what a sender may set; the rest SQS sets


@dataclass(frozen=True)
class Pair:
    """A queue and its DLQ. `max_bytes`: the largest message that the queue takes.

    `max_receives`: the receives after which it sends a message to the DLQ, 0 where it sends none.
    """

    queue_url: str
    queue_arn: str
    dlq_url: str
    dlq_arn: str
    max_bytes: int
    max_receives: int
    spends_receives: bool  # the DLQ has a redrive policy of its own: each look spends a receive


def find_pair(sqs: SQSClient, queue_url: str, dlq_arn: str, *, insist: bool) -> Pair:
    """The queue and the DLQ of its redrive policy; RedriveError where they are of no use.

    `dlq_arn` must be that DLQ, unless `insist`: then it is used if its allow policy admits it.
    """
    if queue_url.endswith(".fifo"):
        raise RedriveError(
            f"{queue_url}: a FIFO queue. A move message by message would lose the order of its "
            "groups, and repeats within five minutes; StartMessageMoveTask of AWS keeps them"
        )
    own = _attributes(sqs, queue_url)
    policy = json.loads(own.get("RedrivePolicy", "{}"))
    named = policy.get("deadLetterTargetArn", "")
    if not (named or insist):
        raise RedriveError(f"{queue_url}: it has no redrive policy, so no DLQ; --dlq-arn names one")
    if dlq_arn and dlq_arn != named and not insist:
        raise RedriveError(
            f"DLQ_ARN names {dlq_arn}, the redrive policy of {queue_url} names {named}: one of "
            "them belongs to another queue; unset DLQ_ARN, or say --dlq-arn"
        )
    arn = dlq_arn or named
    if arn.split(":")[3] != own["QueueArn"].split(":")[3]:
        raise RedriveError(f"{arn}: must be in the region of {own['QueueArn']}, as every DLQ is")
    dlq_url = _url_of(sqs, arn)
    dead = _attributes(sqs, dlq_url)
    _check_allowed(dead, own["QueueArn"], arn)
    return Pair(
        queue_url,
        own["QueueArn"],
        dlq_url,
        arn,
        int(own.get("MaximumMessageSize", 262_144)),
        int(policy.get("maxReceiveCount", 0)),
        "RedrivePolicy" in dead,
    )


def _attributes(sqs: SQSClient, url: str) -> Mapping[Any, str]:
    names: list[Name] = ["All"]
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]


def _url_of(sqs: SQSClient, arn: str) -> str:
    found = ARN.fullmatch(arn)
    if not found:
        raise RedriveError(f"{arn!r}: must be the ARN of a queue")
    owner, name = found.groups()
    return sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=owner)["QueueUrl"]


def _check_allowed(dead: Mapping[Any, str], queue_arn: str, dlq_arn: str) -> None:
    """The DLQ says whose dead letters it takes; what lies in it cannot come from another queue."""
    policy = json.loads(dead.get("RedriveAllowPolicy", "{}"))
    permission = policy.get("redrivePermission", "allowAll")
    sources = policy.get("sourceQueueArns", [])
    if permission == "denyAll" or (permission == "byQueue" and queue_arn not in sources):
        allowed = ", ".join(sources) or "no queue"
        raise RedriveError(f"{dlq_arn}: its redrive allow policy admits {allowed}, not {queue_arn}")


@dataclass(frozen=True)
class Answer:
    """What became of one message in a call; `reason` is empty where it went well.

    `again`: the same call may succeed later. `unknown`: it may have been carried out.
    """

    reason: str = ""
    again: bool = False
    unknown: bool = False
    new_id: str = ""


class Queues:
    """The calls on one pair.

    `sender` is a client that never repeats a call by itself: a repeated send makes a second
    message, and whether that may be is not the SDK's to decide.
    """

    def __init__(
        self,
        sqs: SQSClient,
        sender: SQSClient,
        pair: Pair,
        visibility: int,
        identify: Callable[[str, str], Identity] = identity_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sqs, self._sender, self.pair = sqs, sender, pair
        self._visibility, self._identify, self._clock = visibility, identify, clock

    def receive(self, count: int) -> list[DeadLetter]:
        """Up to `count` messages of the DLQ, hidden from others for the visibility timeout."""
        asked = self._clock()
        answer = self._sqs.receive_message(
            QueueUrl=self.pair.dlq_url,
            MaxNumberOfMessages=count,
            VisibilityTimeout=self._visibility,
            WaitTimeSeconds=WAIT_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        # Hidden at some moment of the call: from its begin on is what can be relied on.
        hidden_until = asked + self._visibility
        return [self._letter(raw, hidden_until) for raw in answer.get("Messages", ())]

    def _letter(self, raw: Any, deadline: float) -> DeadLetter:
        system: Mapping[str, str] = raw.get("Attributes", {})
        return DeadLetter(
            sqs_id=raw["MessageId"],
            handle=raw["ReceiptHandle"],
            body=raw["Body"],
            sent=int(system.get("SentTimestamp", 0)),
            receives=self._receives(system),
            source_arn=system.get("DeadLetterQueueSourceArn", ""),
            deadline=deadline,
            identity=self._identify(raw["Body"], raw["MessageId"]),
            attributes=raw.get("MessageAttributes", {}),
            system={name: system[name] for name in SYSTEM if name in system},
        )

    def _receives(self, system: Mapping[str, str]) -> int:
        """Receives by consumers. SQS goes on counting in the DLQ, so each look there adds one.

        The queue sends a message to the DLQ after `max_receives`: what exceeds them are looks.
        """
        counted = int(system.get("ApproximateReceiveCount", 1)) - 1  # this very receive
        most, source = self.pair.max_receives, system.get("DeadLetterQueueSourceArn")
        return min(counted, most) if most and source == self.pair.queue_arn else counted

    def send(self, messages: Sequence[Outgoing]) -> dict[str, Answer]:
        """One SendMessageBatch to the queue; an answer for each MessageId in the DLQ.

        RefusedError where the call as a whole was refused, and no other would fare better.
        """
        entries = [_entry(place, message) for place, message in enumerate(messages)]
        ids = [message.letter.sqs_id for message in messages]
        try:
            answer = self._sender.send_message_batch(QueueUrl=self.pair.queue_url, Entries=entries)
        except AWS_ERRORS as error:
            silent = is_silence(error)
            if not (silent or is_throttled(error)):
                raise RefusedError(explain(error)) from error
            return dict.fromkeys(ids, Answer(reason_of(error), again=True, unknown=silent))
        found = dict.fromkeys(ids, Answer("the answer did not name it", again=True, unknown=True))
        for sent in answer.get("Successful", []):
            found[ids[int(sent["Id"])]] = Answer(new_id=sent["MessageId"])
        return found | _failures(answer.get("Failed", []), ids)

    def delete(self, letters: Sequence[DeadLetter]) -> dict[str, Answer]:
        """One DeleteMessageBatch in the DLQ; an answer for each MessageId."""
        ids = [letter.sqs_id for letter in letters]
        entries: list[Any] = [
            {"Id": str(place), "ReceiptHandle": letter.handle}
            for place, letter in enumerate(letters)
        ]
        answer = self._sqs.delete_message_batch(QueueUrl=self.pair.dlq_url, Entries=entries)
        found = dict.fromkeys(ids, Answer("the answer did not name it", again=True))
        found |= {ids[int(done["Id"])]: Answer() for done in answer.get("Successful", [])}
        return found | _failures(answer.get("Failed", []), ids)

    def give_back(self, handles: Sequence[str]) -> int:
        """Make these visible again at once; returns how many could not be."""
        failed = 0
        for start in range(0, len(handles), BATCH):
            entries: list[Any] = [
                {"Id": str(place), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for place, handle in enumerate(handles[start : start + BATCH])
            ]
            answer = self._sqs.change_message_visibility_batch(
                QueueUrl=self.pair.dlq_url, Entries=entries
            )
            failed += len(answer.get("Failed", []))
        return failed

    def in_flight(self) -> int:
        """How many messages of the DLQ are hidden now, about (quirk 5)."""
        names: list[Name] = [IN_FLIGHT]
        answer = self._sqs.get_queue_attributes(QueueUrl=self.pair.dlq_url, AttributeNames=names)
        return int(answer["Attributes"].get(IN_FLIGHT, 0))


def _failures(failed: Sequence[Any], ids: Sequence[str]) -> dict[str, Answer]:
    return {
        ids[int(one["Id"])]: Answer(
            f"{one['Code']}: {one.get('Message', '')}", again=not one["SenderFault"]
        )
        for one in failed
    }


def _entry(place: int, message: Outgoing) -> Any:
    letter = message.letter
    entry: dict[str, Any] = {"Id": str(place), "MessageBody": letter.body}
    if message.attributes:
        entry["MessageAttributes"] = dict(message.attributes)
    if trace := letter.system.get("AWSTraceHeader"):
        header = {"DataType": "String", "StringValue": trace}
        entry["MessageSystemAttributes"] = {"AWSTraceHeader": header}
    if group := letter.system.get("MessageGroupId"):
        entry["MessageGroupId"] = group
    return entry
