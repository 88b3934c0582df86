"""The exit codes of redrive.py, and what it says when AWS refuses a call."""

from __future__ import annotations

from enum import IntEnum

import botocore.exceptions as aws
from botocore.exceptions import BotoCoreError, ClientError

from sender.access import shown


class Exit(IntEnum):
    """What the caller learns from the exit code."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Exit:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "every message to be moved was moved; without a move, the DLQ was shown"
    FAILED = 1, "some messages were not moved; they are named, and are still in the DLQ"
    SETTINGS = 2, "a setting is wrong; all problems are listed, and no call was made"
    AWS = 3, "cannot use queue, DLQ, table, credentials or endpoint; nothing was moved"
    BUSY = 4, "another redrive of this DLQ is running on this machine; nothing was moved"
    INTERRUPTED = 130, "Ctrl-C: the current batch was finished, and the rest was released"
    TERMINATED = 143, "SIGTERM: the same"


AWS_ERRORS = (ClientError, BotoCoreError)
SERVER_ERROR = 500
THROTTLED = ("Throttl", "OverLimit", "TooManyRequests", "RequestLimitExceeded")
ADVICE = {
    "NonExistentQueue": "check --queue-url, --dlq-arn and --region; `make local-up` or"
    " `make infra-up` make the queues",
    "ResourceNotFound": "check MESSAGE_STATUS_TABLE; --status-table '' goes without it",
    "Credentials": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "Region": "set AWS_REGION or --region",
    "Profile": "check --profile against `aws configure list-profiles`",
    "AccessDenied": "plans/redrive.md lists the IAM actions that a redrive needs",
    "InvalidAction": "the endpoint does not know this call; without --native it is not needed",
    "UnsupportedOperation": "without --native it is not needed",
    "": "check AWS_ENDPOINT_URL, --queue-url and the credentials",
}


class RedriveError(Exception):
    """Nothing can be moved: one line for the user."""


class RefusedError(RedriveError):
    """A send was refused as a whole, and no other would fare better."""


def code_of(error: Exception) -> str:
    """The AWS error code, or the name of the SDK's own error."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def reason_of(error: Exception) -> str:
    """Code and text in one line."""
    said = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
    return f"{code_of(error)}: {' '.join(shown(str(said.get('Message') or error)).split())}"


def explain(error: Exception) -> str:
    """The reason, and what to do about it; an error of our own says both itself."""
    if not isinstance(error, AWS_ERRORS):
        return str(error)
    advice = next(text for part, text in ADVICE.items() if part in code_of(error))
    return f"{reason_of(error)}; {advice}"


def is_throttled(error: Exception) -> bool:
    """Refused for the moment, and certainly not carried out."""
    return isinstance(error, ClientError) and any(part in code_of(error) for part in THROTTLED)


def is_silence(error: Exception) -> bool:
    """No answer, or the server's own failure: the call may have been carried out."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= SERVER_ERROR
    return isinstance(error, (aws.ConnectionError, aws.HTTPClientError))
