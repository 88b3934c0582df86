"""Says times, money and shares of a list in a reader's words; it knows no queue."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from sqs_worker.events import SQS_REQUESTS

MINUTE, HOUR, DAY = 60, 3600, 86_400
MONTH = 30 * DAY
DEAR = 0.5
"""Dollars a month for calls that bring nothing, from which a rule speaks up."""
NAMED = 3
LONGEST = 60
_UNITS = ((2 * DAY, DAY, "days"), (2 * HOUR, HOUR, "h"), (2 * MINUTE, MINUTE, "min"))


def span(seconds: float) -> str:
    """Seconds in the largest unit of which there are two: `45 s`, `15 min`, `4 days`."""
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{_short(seconds / unit)} {name}"
    return f"{_short(seconds)} s"


def _short(number: float) -> str:
    digits = 1 if abs(number) >= 1 else 2
    return f"{number:,.{digits}f}".rstrip("0").rstrip(".") or "0"


def dollars(requests: float) -> float:
    """What so many SQS requests cost (quirk 13)."""
    return requests * SQS_REQUESTS / 1_000_000


def money(amount: float) -> str:
    return f"${amount:,.2f}"


def p99(ordered: Sequence[float]) -> float:
    """The least value that 99 of 100 do not exceed, of an ordered list that is not empty."""
    return ordered[math.ceil(0.99 * len(ordered)) - 1]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def many(number: int, noun: str) -> str:
    """`1 message`, `2 messages`, `2 deliveries`."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else several}"


def some(names: Collection[str]) -> str:
    """The first three names, each at most 60 characters of it: anybody may have made them up."""
    shown = [name if len(name) <= LONGEST else f"{name[:LONGEST]}..." for name in names]
    rest = f" and {len(shown) - NAMED:,} more" if len(shown) > NAMED else ""
    return ", ".join(shown[:NAMED]) + rest


def plain(value: object) -> str:
    """A setting as it stands in the environment."""
    return str(int(value)) if isinstance(value, bool) else str(value)
