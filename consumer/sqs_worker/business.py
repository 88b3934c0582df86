"""Makes the business key of a message: what IDEMPOTENCY_KEY, a JMESPath expression, finds in it.

It knows payloads and expressions, and nothing of queues or tables. plans/business-idempotency.md
says which keys are the same, and why nothing falls back to the message id.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from .message import (
    KEY_BYTES,
    KEYED,
    SNS_REMEDY,
    Identity,
    Message,
    NoNumber,
    canonical,
    canonical_of_parsed,
    digest_of,
    hashed,
    identity_of,
    is_sns_envelope,
    message_id,
    parsed,
    parsed_as_doubles,
    parsed_for_functions,
)
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
            calls = _calls_a_function(self._compiled.parsed)
            self._parse = parsed_for_functions if calls else parsed
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
        try:
            value = self._compiled.search(_payload(self._parse, body))
            if (path := _absent(value)) is not None:
                return self._without(body, sqs_id, f"{self._named(path)} is missing, null or empty")
            return Identity(
                message_id(body, sqs_id),
                _digest(_payload(parsed_as_doubles, body)),
                canonical=_digest(_payload(parsed, body)),
                business_key=key_of(value),
            )
        except RecursionError:
            return self._without(body, sqs_id, "the payload is nested too deeply")
        except _Unusable as error:
            return self._without(body, sqs_id, str(error))
        except Exception as error:  # what a function of the expression makes of what it is given
            return self._without(body, sqs_id, _told(error))

    def _without(self, body: str, sqs_id: str, why: str) -> Identity:
        own = identity_of(body, sqs_id)
        if is_sns_envelope(body):
            why += f"; the body is an SNS envelope: {SNS_REMEDY}"
        return replace(own, unkeyed=f"{SETTING}={self._expression!r}: {why}")

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


def _payload(parse: Callable[[str], Any], body: str) -> dict[str, Any]:
    try:
        payload = parse(body)
    except NoNumber as error:
        raise _Unusable(str(error)) from error
    except ValueError as error:
        raise _Unusable("the body is no JSON") from error
    if not isinstance(payload, dict):
        raise _Unusable("the body is no JSON object")
    return payload


def _digest(payload: dict[str, Any]) -> str:
    """The digest of a payload without its id, which messages of one business do not share."""
    rest = {name: part for name, part in payload.items() if name != "id"}
    return digest_of(canonical_of_parsed(rest))


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


def _calls_a_function(node: Any) -> bool:
    if not isinstance(node, dict):  # a bound of a slice
        return False
    return node["type"] == "function_expression" or any(map(_calls_a_function, node["children"]))


def _spelt(node: Any) -> str:
    """How a field, or a field of a field, is written in the expression; empty for all else."""
    if node["type"] == "field":
        return str(node["value"])
    names = [_spelt(child) for child in node["children"]]
    return ".".join(names) if node["type"] == "subexpression" and all(names) else ""
