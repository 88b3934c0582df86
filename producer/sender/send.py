"""Sends one batch with SendMessageBatch: one outcome per message; counts API calls, retries too."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import botocore.exceptions as aws

from .access import CredentialsError, shown
from .payloads import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Meter:
    """Counts HTTP requests of one client by `service.Operation`."""

    def __init__(self, client: SQSClient) -> None:
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        client.meta.events.register("before-send", self._count)

    def _count(self, event_name: str, **_: object) -> None:
        with self._lock:
            self.calls[event_name.removeprefix("before-send.")] += 1


TRIES = 8  # calls that a message is part of at most; each has the SDK's own attempts inside
BACKOFF_SECONDS, BACKOFF_MAX_SECONDS = 0.1, 2.0
SERVER_ERROR = 500
THROTTLED = ("Throttl", "OverLimit", "TooManyRequests", "RequestLimitExceeded")
CLIENT: Mapping[str, Any] = {
    "retries": {"mode": "standard"},
    "parameter_validation": False,  # the parameters are built here, so checking them only costs CPU
    "connect_timeout": 5,
    "read_timeout": 20,
}
AWS_ERRORS = (aws.ClientError, aws.BotoCoreError)
ADVICE = {
    "NonExistentQueue": "check --queue-url and --region; `make infra-up` or `local-up` make it",
    "Credentials": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "Region": "set AWS_REGION or --region",
    "Profile": "check --profile and AWS_PROFILE against `aws configure list-profiles`",
    "AccessDenied": "the credentials need sqs:SendMessage on the queue",
    "": "check AWS_ENDPOINT_URL, --queue-url and the credentials; `make local-status` shows the"
    " local stack",
}

SMALLER = "give smaller --fields, or raise the queue's MaximumMessageSize (1 MiB at most)"


@dataclass(frozen=True)
class Outcome:
    """What became of one message: `sqs_id` (its MessageId) if sent, else `code` and `reason`."""

    message: Message
    sqs_id: str = ""
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """Outcomes in the batch's order; `refusal` says why no other batch would fare better."""

    outcomes: tuple[Outcome, ...]
    refusal: str = ""


class Sender:
    """Sends batches to one queue; threads may share it."""

    def __init__(
        self, client: SQSClient, queue_url: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._sleep = sleep
        self._reached = False

    def send(self, batch: Sequence[Message]) -> Answer:
        """Send up to 10 messages, the failed ones again with exponential backoff and full jitter.

        A batch whose answer was lost may have been taken: sending it again then makes duplicates,
        which a standard queue allows anyway. Not sending it again could lose it. A call that is
        refused for its size is split: a queue may take less than SQS does.
        """
        unsent = {str(message.index): message for message in batch}
        outcomes: dict[str, Outcome] = {}
        refusal = ""
        for attempt in range(TRIES):
            if attempt:
                ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_SECONDS * 2**attempt)
                self._sleep(random.uniform(0, ceiling))
            try:
                self._attempt(unsent, outcomes)
            except AWS_ERRORS as error:
                code, said = code_of(error), reason_of(error)
                outcomes |= {i: _failure(m, code, said) for i, m in unsent.items()}
                if _is_size(code, said):
                    refusal = self._send_alone(unsent, outcomes)
                    break
                refusal = "" if self._may_pass(error) else explain(error)
            if refusal or not unsent:
                break
        return Answer(tuple(outcomes[str(message.index)] for message in batch), refusal)

    def _send_alone(self, unsent: Mapping[str, Message], outcomes: dict[str, Outcome]) -> str:
        """Send each message of a call that was too large in a call of its own."""
        refusal = ""
        for message in unsent.values() if len(unsent) > 1 else ():
            answer = self.send([message])
            outcomes[str(message.index)] = answer.outcomes[0]
            refusal = refusal or answer.refusal
        return refusal

    def _attempt(self, unsent: dict[str, Message], outcomes: dict[str, Outcome]) -> None:
        """One call; takes out of `unsent` what needs no other."""
        answer = self._client.send_message_batch(
            QueueUrl=self._queue_url,
            Entries=[{"Id": i, "MessageBody": message.body} for i, message in unsent.items()],
        )
        self._reached = True
        for sent in answer.get("Successful", []):
            outcomes[sent["Id"]] = Outcome(unsent.pop(sent["Id"]), sqs_id=sent["MessageId"])
        for i, message in unsent.items():
            outcomes[i] = Outcome(message, code="NoAnswer", reason="the answer did not name it")
        for failed in answer.get("Failed", []):
            i, code = failed["Id"], failed["Code"]
            outcomes[i] = _failure(unsent[i], code, failed.get("Message", ""))
            if failed["SenderFault"] and not _throttled(code):
                del unsent[i]

    def _may_pass(self, error: Exception) -> bool:
        """Whether the same call may succeed later."""
        if isinstance(error, aws.ClientError):
            self._reached = True
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return status >= SERVER_ERROR or _throttled(code_of(error))
        # Before any answer, a connection that fails is a wrong or silent endpoint: say so at once.
        return self._reached and isinstance(error, (aws.ConnectionError, aws.HTTPClientError))


def code_of(error: Exception) -> str:
    """The AWS error code, or the name of the SDK's own error."""
    if isinstance(error, aws.ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def reason_of(error: Exception) -> str:
    """What AWS or the SDK said, in one line."""
    said = error.response.get("Error", {}) if isinstance(error, aws.ClientError) else {}
    return " ".join(shown(str(said.get("Message") or error)).split())


def explain(error: Exception) -> str:
    """One line: what AWS or the SDK said, and what to do about it."""
    if isinstance(error, CredentialsError):  # it names the source, and says what to do
        return str(error)
    code = code_of(error)
    advice = next(text for part, text in ADVICE.items() if part in code)
    return f"{code}: {reason_of(error)}; {advice}"


def _failure(message: Message, code: str, said: str) -> Outcome:
    return Outcome(
        message, code=code, reason=f"{said}; {SMALLER}" if _is_size(code, said) else said
    )


def _is_size(code: str, said: str) -> bool:
    """A batch that is too large has a code of its own, one message only a text."""
    return "TooLong" in code or ("InvalidParameterValue" in code and "shorter than" in said)


def _throttled(code: str) -> bool:
    return any(part in code for part in THROTTLED)
