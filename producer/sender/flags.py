"""The one table of the producer's flags: name, group, what a value may be, default and help."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import access
from .exits import Exit
from .payloads import ENTRIES_MAX

HUGE = 10**12
OWN = frozenset({"id", "poison"})  # fields of a body that are the producer's to say


@dataclass(frozen=True)
class Kind:
    """What a value may be, in words, and what makes it one; `parse` raises ValueError."""

    allowed: str
    parse: Callable[[str], Any]


@dataclass(frozen=True)
class Flag:
    """One flag; `variable` is the environment's name for it, which counts where it is not given."""

    name: str
    group: str
    kind: Kind
    default: str
    help: str
    variable: str = ""


def whole(low: int = 0, high: int = HUGE) -> Kind:
    """Written as the consumer's settings are: ASCII digits, with or without a sign."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text.strip()) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    upper = "or more" if high == HUGE else f"to {high}"
    return Kind(f"a whole number, {low} {upper}", parse)


def _rate(text: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text.strip()):
        raise ValueError(text)
    if not math.isfinite(value := float(text)) or value < 0:
        raise ValueError(text)
    return value


def _text(allowed: str, pattern: str) -> Kind:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return Kind(allowed, parse)


def _fields() -> Kind:
    def refused(text: str) -> None:
        raise ValueError(text)

    def parse(text: str) -> tuple[dict[str, Any], ...]:
        try:
            found = json.loads(text, parse_constant=refused)
        except RecursionError:
            raise ValueError(text) from None
        turns = found if isinstance(found, list) else [found]
        if not turns or not all(isinstance(one, dict) and not OWN & one.keys() for one in turns):
            raise ValueError(text)
        return tuple(turns)

    named = " or ".join(sorted(OWN))
    return Kind(f"a JSON object without {named}, or a list of such objects, used in turn", parse)


RATE = Kind("a number, 0 or more", _rate)
URL = _text(
    "a queue URL such as https://sqs.us-west-1.amazonaws.com/123456789012/name", access.QUEUE_URL
)
REGION = _text("a region such as us-west-1", access.REGION)
PROFILE = _text("the name of a profile", r"\S(.*\S)?")
FLAGS = (
    Flag("n", "what", whole(), "10", "messages to send; 0 = until interrupted"),
    Flag("poison-count", "what", whole(), "0", "poison messages at random indices"),
    Flag(
        *("poison-every", "what", whole(), "0"),
        "every Nth message is poison (3: indices 2, 5, 8...); overrides --poison-count",
    ),
    Flag(
        *("seed", "what", whole(high=2**63), ""),
        "makes ids, work and poison positions repeatable; a repeated id is a duplicate to consumers"
        " (default: a new seed, which the summary shows)",
    ),
    Flag(
        *("fields", "what", _fields(), ""),
        'more fields for each body, such as {"order_id": "A17"}; may replace work',
    ),
    Flag("rate", "how fast", RATE, "0", "messages per second; 0 = as fast as possible"),
    Flag(
        *("batch-size", "how fast", whole(1, ENTRIES_MAX), str(ENTRIES_MAX)),
        "messages per SendMessageBatch, or fewer if their bodies exceed 1 MiB in total; with"
        " --rate, no message waits over 0.1 s to fill a batch",
    ),
    Flag(
        *("concurrency", "how fast", whole(1, 64), "4"),
        "concurrent calls; with --rate, only if a call takes longer than the time to the next one",
    ),
    Flag("queue-url", "where", URL, "", "the queue to send to", "QUEUE_URL"),
    Flag("region", "where", REGION, "", "the region of the queue", "AWS_REGION"),
    # AWS_PROFILE stays with the SDK: given as an argument, it would outrank the environment's keys.
    Flag("profile", "where", PROFILE, "", "profile with the credentials (default: AWS_PROFILE)"),
)
EPILOG = """environment, or a .env file at the root of the repository:
  QUEUE_URL, AWS_REGION, AWS_PROFILE and all that boto3 itself reads, AWS_ENDPOINT_URL too
  ENV_FILE      another .env; empty = none; no file is read where QUEUE_URL is set already
  JOURNAL_PATH  file to which every event is appended as a line of JSON

exit codes:
""" + "\n".join(f"  {code.value:<3} {code.meaning}" for code in Exit)
