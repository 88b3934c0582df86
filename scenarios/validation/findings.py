"""Compares attributes as read with what they should be; pure: it asks nobody and prints nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One attribute of one resource."""

    resource: str
    attribute: str
    expected: str
    seen: str

    @property
    def ok(self) -> bool:
        return self.expected == self.seen


def queue_findings(
    name: str, arn: str, live: Attributes | None, settings: Attributes, spec: Attributes
) -> list[Finding]:
    """Judge a set's queue; ``arn`` is its own, ``settings`` and ``spec`` come from the outputs."""
    expected = {
        "visibility timeout": f"{settings['queue_visibility_timeout']} s",
        "receive wait": f"{settings['queue_receive_wait']} s",
        "retention": f"{spec['message_retention_seconds']} s",
        "redrive target": _short(f"{arn}-dlq", arn),
        "redrive after": f"{spec['max_receive_count']} receives",
        "encryption": "SSE-SQS",
        "plain HTTP": "refused",
    }
    return list(_compare(name, expected, live and _queue_words(live, arn)))


def dlq_findings(
    name: str, arn: str, live: Attributes | None, spec: Attributes, source_arn: str
) -> list[Finding]:
    """Judge a dead-letter queue; ``source_arn`` is the one queue that may redrive to it."""
    expected = {
        "retention": f"{spec['dlq_message_retention_seconds']} s",
        "redrive from": f"byQueue {_short(source_arn, arn)}",
        "encryption": "SSE-SQS",
        "plain HTTP": "refused",
    }
    return list(_compare(name, expected, live and _queue_words(live, arn)))


def table_findings(name: str, live: Attributes | None) -> list[Finding]:
    """Judge one of a set's two tables."""
    expected = {
        "key": "message_id (S)",
        "billing": "PAY_PER_REQUEST",
        "expiry": "expires_at",
        "point-in-time recovery": "on",
    }
    return list(_compare(name, expected, live and _table_words(live)))


def _compare(
    name: str, expected: Mapping[str, str], seen: Mapping[str, str] | None
) -> Iterator[Finding]:
    yield Finding(name, "exists", "yes", "no" if seen is None else "yes")
    if seen is not None:
        for attribute, text in expected.items():
            yield Finding(name, attribute, text, seen[attribute])


def _queue_words(live: Attributes, arn: str) -> dict[str, str]:
    redrive = live.get("redrive_policy") or {}
    allow = live.get("redrive_allow_policy") or {}
    sources = " ".join(_short(source, arn) for source in allow.get("sourceQueueArns", []))
    key = live.get("kms_master_key_id")
    return {
        "visibility timeout": f"{live.get('visibility_timeout_seconds')} s",
        "receive wait": f"{live.get('receive_wait_time_seconds')} s",
        "retention": f"{live.get('message_retention_seconds')} s",
        "redrive target": _short(redrive.get("deadLetterTargetArn", "none"), arn),
        "redrive after": f"{redrive.get('maxReceiveCount', 'no number of')} receives",
        "redrive from": f"{allow.get('redrivePermission', 'any queue')} {sources}".strip(),
        "encryption": "SSE-SQS" if live.get("sqs_managed_sse_enabled") else f"{key or 'none'}",
        "plain HTTP": "refused" if refuses_plain_http(live.get("policy"), arn) else "allowed",
    }


def _short(arn: str, own: str) -> str:
    """The name alone, where account and region are those of ``own``."""
    return arn.removeprefix(own.rpartition(":")[0] + ":")


def refuses_plain_http(policy: Attributes | None, arn: str) -> bool:
    """A Deny for everyone and everything on this queue when aws:SecureTransport is false."""
    statements = (policy or {}).get("Statement", [])
    return any(
        statement.get("Effect") == "Deny"
        and statement.get("Principal") in ("*", {"AWS": "*"})
        and str(statement.get("Action")).lower() in ("sqs:*", "*")
        and statement.get("Resource") in (arn, "*")
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in ([statements] if isinstance(statements, dict) else statements)
    )


def _table_words(live: Attributes) -> dict[str, str]:
    kinds = {one["name"]: one["type"] for one in live["attribute"]}
    hash_key, range_key = live["hash_key"], live["range_key"]
    key = f"{hash_key} ({kinds.get(hash_key)})" + (f", {range_key}" if range_key else "")
    expiry = live["ttl"][0]
    return {
        "key": key,
        "billing": live["billing_mode"],
        "expiry": expiry["attribute_name"] if expiry["enabled"] else "off",
        "point-in-time recovery": "on" if live["point_in_time_recovery"][0]["enabled"] else "off",
    }
