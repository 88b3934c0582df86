"""The one table of the consumer's variables: name, kind, default, range and help of each.

The README's table, `--help` and the checks of values are all made from it.
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
        "The region; empty: what the AWS SDK finds by itself, else the one that QUEUE_URL names.",
    ),
    Variable(
        "START_TIMEOUT_SECONDS",
        "number",
        "60",
        "How long a start waits for AWS to answer; 0 = not at all.",
        0,
        3600,
    ),
    Variable("WAIT_TIME_SECONDS", "integer", "10", "Long poll, in seconds.", 0, 20),
    Variable("MAX_MESSAGES", "integer", "1", "Messages per receive.", 1, 10),
    Variable("CONCURRENCY", "integer", "1", "Lanes, each with a batch of its own.", 1, 64),
    Variable("COMMIT_BATCH", "integer", "1", "Completions written in one call.", 1, 10),
    Variable(
        "VISIBILITY_TIMEOUT_SECONDS",
        "integer",
        "",
        "Seconds a receive hides a message; empty: the queue's own at the start.",
        0,
        LONGEST_VISIBILITY,
    ),
    Variable(
        "HEARTBEAT_SECONDS",
        "number",
        "0",
        "How often the visibility of all in flight is extended; 0 = off, else 0.1 or more.",
        0,
        LONGEST_VISIBILITY,
    ),
    Variable(
        "HEARTBEAT_LIMIT_SECONDS",
        "number",
        "3600",
        "Seconds after its receive for which a message is extended; then it comes back.",
        1,
        LONGEST_VISIBILITY,
    ),
    Variable(
        "SHUTDOWN_GRACE_SECONDS",
        "number",
        "25",
        "Seconds that a stop may take; longer than the long poll.",
        1,
        LONGEST_VISIBILITY,
    ),
    Variable("SLEEP_MIN_SECONDS", "number", "0.1", "Simulated work, at least.", 0, 43_200),
    Variable("SLEEP_MAX_SECONDS", "number", "1.0", "Simulated work, at most.", 0, 43_200),
    Variable(
        "LONG_SLEEP_SECONDS",
        "number",
        "0.0",
        "Long work, to overrun the visibility timeout; 0 = off.",
        0,
        43_200,
    ),
    Variable(
        "LONG_SLEEP_EVERY", "integer", "0", "Every Nth message has the long work; 0 = off.", 0
    ),
    Variable("CRASH_RATE", "number", "0.0", "Probability of a crash per message.", 0, 1),
    Variable(
        "CRASH_AFTER_RECEIVE",
        "flag",
        "0",
        "Crash after the work, before completion is recorded and before delete.",
    ),
    Variable(
        "CRASH_AFTER_SIDE_EFFECT",
        "flag",
        "0",
        "Crash after completion is recorded, before delete. Needs the tables.",
    ),
    Variable(
        "CRASH_AT",
        "choice",
        "",
        "Crash at this boundary of the path; empty = never.",
        choices=("", *CRASH_POINTS, *CALL_POINTS),
    ),
    Variable(
        "CRASH_MAX_RECEIVES",
        "integer",
        "0",
        "Crash only with a message received at most so often; 0 = any. With 1 each is hit once.",
        0,
    ),
    Variable(
        "IDEMPOTENCY_KEY",
        "expression",
        "",
        "What effects are counted by, out of the payload; empty: the message id. Needs the tables.",
    ),
    Variable(
        "IDEMPOTENCY_CACHE_SIZE", "integer", "1000", "In-memory LRU of finished ids; 0 = off.", 0
    ),
    Variable("MESSAGE_LIMIT", "integer", "0", "Stop after this many messages; 0 = no limit.", 0),
    Variable(
        "IDLE_TIMEOUT_SECONDS",
        "number",
        "0",
        "Exit 0 after this long with no message; 0 = off.",
        0,
    ),
    Variable(
        "REJECT_PAYLOAD_MARKER", "text", "", "Reject messages whose body contains it; empty = off."
    ),
    Variable("MESSAGE_STATUS_TABLE", "table", "", "Table of states; both tables or neither."),
    Variable("MESSAGE_COMPLETED_TABLE", "table", "", "Table of completions; both or neither."),
    Variable(
        "USE_TRANSACTIONAL_WRITES",
        "flag",
        "0",
        "Status and completion record in one transaction. Needs the tables.",
    ),
    Variable(
        "USE_PARTIQL_STATEMENTS",
        "flag",
        "0",
        "Group single writes as statements, at half the units of a transaction. Needs the tables.",
    ),
    Variable(
        "EFFECT_URL",
        "address",
        "",
        "The services that the work calls; empty: it calls none.",
    ),
    Variable(
        "EFFECT_MODE",
        "choice",
        "",
        "How it calls them, see the README; needs EFFECT_URL.",
        choices=("", "naive", "check", "key", "outbox", "saga"),
    ),
    Variable("EFFECT_TIMEOUT_SECONDS", "number", "5", "How long a call may take in all.", 0.1, 900),
    Variable(
        "LOG_LEVEL",
        "choice",
        "INFO",
        "How much is logged.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    ),
    Variable("LOG_FORMAT", "choice", "text", "Text, or JSON lines.", choices=("text", "json")),
    Variable("JOURNAL_PATH", "text", "", "File that every event is appended to; empty = off."),
    Variable("ENV_FILE", "text", "", "The .env to load; unset: the repository's; empty: none."),
)
