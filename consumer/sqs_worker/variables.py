"""The one table of the consumer's variables: name, kind, default, range and help of each.

The table in docs/reference.md, `--help` and the checks of values are all made from it.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .access import QUEUE_URL, REGION

CRASH_POINTS = (
    "after-receive",
    "after-claim",
    "in-work",
    "after-work",
    "before-complete",
    "between-writes",
    "after-complete",
    "before-delete",
    "after-delete",
    "in-heartbeat",
    "in-shutdown",
)
CALLS = ("reserve", "charge", "ship", "cancel", "refund", "release")
"""What can be asked of the services outside; each is a crash point before and after."""
CALL_POINTS = tuple(f"{side}-{call}" for call in CALLS for side in ("before", "after"))
LONGEST_VISIBILITY = 43_200
"""12 hours: the longest that SQS hides a message in all (quirk 2)."""
BATCH_LIMIT = 10
"""Entries in one batch call of SQS (quirk 7)."""


_ALLOWED = {
    "flag": "0 or 1",
    "text": "any text",
    "region": "a region such as us-west-1",
    "url": "a queue URL such as https://sqs.us-west-1.amazonaws.com/123456789012/name",
    "address": "an address such as https://payments.example.com/v1, without user and password",
    "expression": "a JMESPath expression over the payload such as [order_id, action], "
    "with no value for an empty payload",
    "table": "the name of a table, 3 to 255 of A-Z a-z 0-9 _ . -, or its ARN",
}


@dataclass(frozen=True)
class Variable:
    """One variable: `kind` is a key of `_PARSERS`; None is 'no limit'."""

    name: str
    kind: str
    default: str
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.kind in _ALLOWED:
            return _ALLOWED[self.kind]
        if self.kind == "choice":
            return "one of " + ", ".join(choice or "(empty)" for choice in self.choices)
        noun = "a whole number" if self.kind == "integer" else "a number"
        if self.high is None:
            return noun if self.low is None else f"{noun}, {self.low:g} or more"
        return f"{noun} from {self.low:g} to {self.high:g}"

    def parse(self, text: str) -> Any:
        """The typed value of `text`; raises ValueError where it is not allowed."""
        value = _PARSERS[self.kind](text)
        if self.choices and value not in self.choices:
            raise ValueError(text)
        if self.low is not None and value < self.low:
            raise ValueError(text)
        if self.high is not None and value > self.high:
            raise ValueError(text)
        return value


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    """In ASCII digits: `float` alone would take underscores and the digits of any script."""
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text.strip()):
        raise ValueError(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _flag(text: str) -> bool:
    return {"0": False, "1": True}[text.strip()]


def _url(text: str) -> str:
    if not re.fullmatch(QUEUE_URL, text):
        raise ValueError(text)
    return text


def _region(text: str) -> str:
    if not re.fullmatch(REGION, text):
        raise ValueError(text)
    return text


def _address(text: str) -> str:
    """An address whose calls cannot fail for a reason that is in the address."""
    parts = urlsplit(text)
    if not re.fullmatch(r"https?://[^/\s?#@]+(/[!-~]*)?", text) or parts.query or parts.fragment:
        raise ValueError(text)
    if not parts.hostname or parts.port == 0:  # asked for the port, urlsplit refuses a wrong one
        raise ValueError(text)
    parts.hostname.encode("idna")
    return text


def _expression(text: str) -> str:
    from .business import BusinessKey  # noqa: PLC0415 - without the setting nothing of it is needed

    BusinessKey(text)
    return text


def _table(text: str) -> str:
    if not re.fullmatch(
        r"(arn:[a-z-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/)?[A-Za-z0-9_.-]{3,255}", text
    ):
        raise ValueError(text)
    return text


_PARSERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "choice": str,
    "url": _url,
    "region": _region,
    "address": _address,
    "expression": _expression,
    "table": _table,
    "integer": _integer,
    "number": _number,
    "flag": _flag,
}


VARIABLES = (
    Variable("QUEUE_URL", "url", "", "The queue to poll. Required."),
    Variable(
        "AWS_REGION",
        "region",
        "",
        "The region; empty: the default of the AWS SDK, or else the region that QUEUE_URL names.",
    ),
    Variable(
        "START_TIMEOUT_SECONDS",
        "number",
        "60",
        "How long a start waits for AWS to answer, in seconds; 0 = it does not wait.",
        0,
        3600,
    ),
    Variable("WAIT_TIME_SECONDS", "integer", "10", "Length of the long poll, in seconds.", 0, 20),
    Variable("MAX_MESSAGES", "integer", "1", "Maximum number of messages per receive.", 1, 10),
    Variable("CONCURRENCY", "integer", "1", "Worker threads; each processes its own batch.", 1, 64),
    Variable(
        "COMMIT_BATCH", "integer", "1", "Maximum number of completions written in one call.", 1, 10
    ),
    Variable(
        "VISIBILITY_TIMEOUT_SECONDS",
        "integer",
        "",
        "Visibility timeout of each receive, in seconds; empty: that of the queue at the start.",
        0,
        LONGEST_VISIBILITY,
    ),
    Variable(
        "HEARTBEAT_SECONDS",
        "number",
        "0",
        "Interval at which visibility timeouts of messages in flight are extended; 0 = off, or "
        "at least 0.1.",
        0,
        LONGEST_VISIBILITY,
    ),
    Variable(
        "HEARTBEAT_LIMIT_SECONDS",
        "number",
        "3600",
        "Stop extending a message this many seconds after its receive.",
        1,
        LONGEST_VISIBILITY,
    ),
    Variable(
        "SHUTDOWN_GRACE_SECONDS",
        "number",
        "25",
        "Seconds that a stop may take; must be longer than the long poll.",
        1,
        LONGEST_VISIBILITY,
    ),
    Variable(
        "SLEEP_MIN_SECONDS",
        "number",
        "0.1",
        "Simulated work: shortest time, in seconds.",
        0,
        43_200,
    ),
    Variable(
        "SLEEP_MAX_SECONDS", "number", "1.0", "Simulated work: longest time, in seconds.", 0, 43_200
    ),
    Variable(
        "LONG_SLEEP_SECONDS",
        "number",
        "0.0",
        "Additional work that overruns the visibility timeout, in seconds; 0 = off.",
        0,
        43_200,
    ),
    Variable(
        "LONG_SLEEP_EVERY", "integer", "0", "Every Nth message gets LONG_SLEEP_SECONDS; 0 = off.", 0
    ),
    Variable("CRASH_RATE", "number", "0.0", "Probability of a crash per message.", 0, 1),
    Variable(
        "CRASH_AFTER_RECEIVE",
        "flag",
        "0",
        "Crash after the work, before the completion is recorded.",
    ),
    Variable(
        "CRASH_AFTER_SIDE_EFFECT",
        "flag",
        "0",
        "Crash after the completion is recorded, before the delete. Needs the tables.",
    ),
    Variable(
        "CRASH_AT",
        "choice",
        "",
        "Crash at this step; empty = never.",
        choices=("", *CRASH_POINTS, *CALL_POINTS),
    ),
    Variable(
        "CRASH_MAX_RECEIVES",
        "integer",
        "0",
        "Crash only for messages received at most this many times; 0 = any.",
        0,
    ),
    Variable(
        "IDEMPOTENCY_KEY",
        "expression",
        "",
        "Business key that identifies a message; empty: the message id. Needs the tables.",
    ),
    Variable(
        "IDEMPOTENCY_CACHE_SIZE",
        "integer",
        "1000",
        "Size of the in-memory LRU cache of completed ids; 0 = off.",
        0,
    ),
    Variable(
        "MESSAGE_LIMIT", "integer", "0", "Stop after receiving this many messages; 0 = no limit.", 0
    ),
    Variable(
        "IDLE_TIMEOUT_SECONDS",
        "number",
        "0",
        "Exit with 0 after this many seconds without a message; 0 = off.",
        0,
    ),
    Variable(
        "REJECT_PAYLOAD_MARKER",
        "text",
        "",
        "Reject messages whose body contains this text; empty = off.",
    ),
    Variable(
        "MESSAGE_STATUS_TABLE",
        "table",
        "",
        "Table for the status of messages. Set both tables or neither.",
    ),
    Variable(
        "MESSAGE_COMPLETED_TABLE",
        "table",
        "",
        "Table for completion records. Set both tables or neither.",
    ),
    Variable(
        "USE_TRANSACTIONAL_WRITES",
        "flag",
        "0",
        "Write status and completion record in one transaction. Needs the tables.",
    ),
    Variable(
        "USE_PARTIQL_STATEMENTS",
        "flag",
        "0",
        "Batch single writes as PartiQL statements, at half the write units. Needs the tables.",
    ),
    Variable(
        "EFFECT_URL",
        "address",
        "",
        "Address of the service that the work calls; empty: none.",
    ),
    Variable(
        "EFFECT_MODE",
        "choice",
        "",
        "How the work calls the service (docs/reference.md); needs EFFECT_URL.",
        choices=("", "naive", "check", "key", "outbox", "saga"),
    ),
    Variable(
        "EFFECT_TIMEOUT_SECONDS",
        "number",
        "5",
        "Timeout of a whole call to the service, in seconds.",
        0.1,
        900,
    ),
    Variable(
        "LOG_LEVEL",
        "choice",
        "INFO",
        "Lowest level that is logged.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    ),
    Variable(
        "LOG_FORMAT", "choice", "text", "Log as text or as JSON lines.", choices=("text", "json")
    ),
    Variable("JOURNAL_PATH", "text", "", "File to which every event is appended; empty = off."),
    Variable(
        "ENV_FILE", "text", "", "The .env file to read; unset: that of the repository; empty: none."
    ),
)
