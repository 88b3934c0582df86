"""Makes the business key of a message: what IDEMPOTENCY_KEY, a JMESPath expression, finds in it.

It knows payloads and expressions, and nothing of queues or tables. plans/business-idempotency.md
says which keys are the same, and why nothing falls back to the message id.
"""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from .message import KEY_BYTES, KEYED, Identity, Message, digest_of, hashed, identity_of
from .ports import Rejected, Work

SETTING = "IDEMPOTENCY_KEY"
Path = tuple[str | int, ...]


class BusinessKey:
    """An expression at work; raises ValueError where it is none, or has a value for `{}`.

    What has a value though nothing is given is no key: every message would have that one.
    """

    def __init__(self, expression: str) -> None:
        import jmespath  # noqa: PLC0415 - a consumer without the setting need not load it

        self._expression = expression
        try:
            self._compiled = jmespath.compile(expression)
            value = self._compiled.search({})
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        except jmespath.exceptions.JMESPathTypeError:
            return  # a function that wants what an empty payload does not have
        if _absent(value) is None:
            raise ValueError("it has a value for an empty payload")

    def identify(self, body: str, sqs_id: str) -> Identity:
        """The identity of a body, with its key, or with the reason why it has none.

        Never raises: one body must not cost its whole batch the receive.
        """
        own = identity_of(body, sqs_id)
        try:
            payload = _payload(body)
            value = self._compiled.search(payload)
            if (path := _absent(value)) is not None:
                return self._without(own, f"{self._named(path)} is missing, null or empty")
            rest = {name: part for name, part in payload.items() if name != "id"}
            return Identity(own.id, digest_of(canonical(rest)), key_of(value))
        except RecursionError:
            return self._without(own, "the payload is nested too deeply")
        except _Unusable as error:
            return self._without(own, str(error))
        except Exception as error:  # what a function of the expression makes of what it is given
            return self._without(own, _told(error))

    def _without(self, own: Identity, why: str) -> Identity:
        return Identity(own.id, own.digest, unkeyed=f"{SETTING}={self._expression!r}: {why}")

    def _named(self, path: Path) -> str:
        """What is absent: by its name where the expression spells one, else by its place."""
        node, rest = self._compiled.parsed, path
        if node["type"] == "multi_select_list" and path:
            node, rest = node["children"][path[0]], path[1:]
        name = "" if rest else _spelt(node)
        places = [str(part + 1) if isinstance(part, int) else part for part in path]
        return name or (f"part {'.'.join(places)} of its value" if path else "its value")


class _Unusable(Exception):
    """A payload that can have no key, whatever the expression."""


def _told(error: Exception) -> str:
    """What went wrong, without the values: a payload does not belong into logs and rows."""
    function, kind = getattr(error, "function_name", ""), getattr(error, "actual_type", "")
    return f"{function}() was given {kind}" if function and kind else f"{type(error).__name__}"


def requiring_key(work: Work, count: Callable[[str], object]) -> Work:
    """Work that refuses a message without a key before it begins; `count` is told of each."""

    def keyed_work(message: Message) -> None:
        if message.unkeyed:
            count("no_key")
            raise Rejected(message.unkeyed)
        work(message)

    return keyed_work


def key_of(value: Any) -> str:
    """The key that stands for a JSON value, 1 to 2,048 bytes of ASCII; the same for the same."""
    text = canonical(value)
    return KEYED + (text if len(KEYED + text) <= KEY_BYTES else hashed(text))


def canonical(value: Any) -> str:
    """One text for one JSON value, in ASCII: names sorted, no spaces, 1.0 as 1."""
    again = json.loads(json.dumps(value, allow_nan=False), parse_float=_number)
    return json.dumps(again, sort_keys=True, separators=(",", ":"))


def _payload(body: str) -> dict[str, Any]:
    try:
        payload = json.loads(body, parse_float=_number, parse_constant=_number)
    except ValueError as error:
        raise _Unusable("the body is no JSON") from error
    if not isinstance(payload, dict):
        raise _Unusable("the body is no JSON object")
    return payload


def _number(text: str) -> int | float:
    """A number as what it is worth: 1.0 and 1e0 are 1. Without an end it is worth nothing."""
    number = float(text)
    if not math.isfinite(number):
        raise _Unusable("a number in the payload is not finite")
    return int(number) if number.is_integer() else number


def _absent(value: Any) -> Path | None:
    """Where in a value the first null, "", [] or {} is; () for the value itself, None nowhere."""
    if value is None or value in ("", [], {}):
        return ()
    parts: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
    for name, part in parts:
        if (path := _absent(part)) is not None:
            return (name, *path)
    return None


def _spelt(node: Any) -> str:
    """How a field, or a field of a field, is written in the expression; empty for all else."""
    if node["type"] == "field":
        return str(node["value"])
    names = [_spelt(child) for child in node["children"]]
    return ".".join(names) if node["type"] == "subexpression" and all(names) else ""
