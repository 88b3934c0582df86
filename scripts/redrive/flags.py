"""The table of redrive.py's flags: name, allowed values, default, help, and for which verb.

Filters are JMESPath expressions, the language of the aws CLI's --query.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from redrive.exits import Exit
from redrive.rules import Filter
from sender.flags import PROFILE, RATE, REGION, URL, Kind, whole
from sqs_worker.business import BusinessKey


def compiled(expression: str) -> Filter:
    """A filter that lets through what the expression finds true; ValueError where it is none.

    The filter itself raises ValueError for a message that the expression cannot be asked of.
    """
    try:
        parsed = jmespath.compile(expression)
    except JMESPathError as error:
        raise ValueError(expression) from error

    def matches(document: Mapping[str, Any]) -> bool:
        try:
            found = parsed.search(document)
        except (JMESPathError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{expression}: {error}") from error
        # 0 is true in JMESPath; false are only these.
        return not (found is None or found is False or found in ("", [], {}))

    return matches


class Verb(StrEnum):
    """What is to be done; `native` is a move that AWS does."""

    INSPECT = "inspect"
    MOVE = "move"
    NATIVE = "move --native"


EVERY = tuple(Verb)
OURS = (Verb.INSPECT, Verb.MOVE)
MOVES = (Verb.MOVE, Verb.NATIVE)


@dataclass(frozen=True)
class Flag:
    """`kind` None: a switch without a value. `variable` counts where the flag is not given."""

    name: str
    kind: Kind | None
    default: str
    help: str
    counts_for: tuple[Verb, ...]
    variable: str = ""

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")


def _matching(allowed: str, pattern: str) -> Kind:
    return Kind(allowed, _fitting(pattern))


def _fitting(pattern: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return parse


DLQ_ARN = _matching("the ARN of a queue", r"arn:[\w-]+:sqs:[\w-]+:\w+:[\w.-]+")
TABLE = _matching("the name of a table; empty = none", r"[\w.:/-]{0,1024}")
KEY = Kind("a JMESPath expression without a value for an empty payload", BusinessKey)
TAG = _matching("1 to 64 of A-Z a-z 0-9 . _ -", r"[\w.-]{1,64}")

FLAGS = (
    Flag("queue-url", URL, "", "the queue to move messages to", EVERY, "QUEUE_URL"),
    Flag(
        *("dlq-arn", DLQ_ARN, "", "its DLQ, if its redrive policy does not name one"),
        *(EVERY, "DLQ_ARN"),
    ),
    Flag(
        *("status-table", TABLE, "", "the table that has the reasons", OURS),
        "MESSAGE_STATUS_TABLE",
    ),
    Flag(
        *("idempotency-key", KEY, "", "business key, as in the consumer's setting", OURS),
        "IDEMPOTENCY_KEY",
    ),
    Flag("region", REGION, "", "the region of the queue", EVERY, "AWS_REGION"),
    Flag("profile", PROFILE, "", "profile with the credentials (default: AWS_PROFILE)", EVERY),
    Flag(
        *("filter", Kind("a JMESPath expression", compiled), ""),
        *("only messages for which this expression is true", OURS),
    ),
    Flag("limit", whole(0), "0", "maximum number of messages; 0 = all", OURS),
    Flag(
        *("visibility-timeout", whole(1, 43_200), "30"),
        *("seconds that received messages stay hidden if this script dies", OURS),
    ),
    Flag("bodies", None, "", "show payloads, truncated and escaped", (Verb.INSPECT,)),
    Flag("json", None, "", "print JSON lines", (Verb.INSPECT,)),
    Flag(
        *("rate", RATE, "0"),
        *("messages per second; 0 = as fast as possible", MOVES),
    ),
    Flag("dry-run", None, "", "show what would happen to each message, move nothing", (Verb.MOVE,)),
    Flag(
        *("max-replays", whole(0), "2"),
        *("skip messages already moved this many times; 0 = no limit", (Verb.MOVE,)),
    ),
    Flag(
        *("run", TAG, "", "name of this run in the tag (default: date and a random part)"),
        (Verb.MOVE,),
    ),
    Flag(
        *("drop-completed", None, "", "delete messages that the table says are completed"),
        (Verb.MOVE,),
    ),
    Flag(
        *("allow-new-ids", None, "", "also move messages whose only id is the MessageId"),
        MOVES,
    ),
    Flag(
        *("allow-untagged", None, "", "also move messages that have no room for the tag"),
        (Verb.MOVE,),
    ),
    Flag(
        *("native", None, "", "let AWS move all messages (StartMessageMoveTask)"),
        (Verb.NATIVE,),
    ),
)
NATIVE_RATE = whole(0, 500)

EPILOG = """A filter sees: id, message_id, payload, body, attributes, receive_count,
replay_count, age_seconds, status and reason. Such as:
  --filter 'payload.poison && receive_count < `5`'

environment, or a .env file at the root of the repository:
  QUEUE_URL, DLQ_ARN, MESSAGE_STATUS_TABLE, IDEMPOTENCY_KEY, AWS_REGION,
                AWS_PROFILE and all that boto3 itself reads
  ENV_FILE      another .env; empty = none; not read where QUEUE_URL is set
  JOURNAL_PATH  the journal of the DLQ (default: its own in .local/redrive/)

exit codes:
""" + "\n".join(f"  {code.value:<3} {code.meaning}" for code in Exit)
