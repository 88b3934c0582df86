"""Turns answers of SQS and DynamoDB into facts; pure, and it asks nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from doctor.facts import Queue, Rows, Unknown

_WRITTEN = ("completed_at", "failed_at", "last_claimed_at")
_DEFAULT_RECEIVES = 10
"""Of a redrive policy that names no maxReceiveCount."""


def queue(found: Mapping[Any, str], sources: tuple[str, ...] | Unknown) -> Queue:
    """A queue from the attributes that GetQueueAttributes gives."""
    redrive = json.loads(found.get("RedrivePolicy") or "{}")
    target = redrive.get("deadLetterTargetArn")
    return Queue(
        name=found["QueueArn"].rpartition(":")[2],
        arn=found["QueueArn"],
        visibility=int(found.get("VisibilityTimeout", 30)),
        wait=int(found.get("ReceiveMessageWaitTimeSeconds", 0)),
        retention=int(found.get("MessageRetentionPeriod", 345_600)),
        max_receives=int(redrive.get("maxReceiveCount", _DEFAULT_RECEIVES)) if target else None,
        dlq_arn=target,
        encrypted=found.get("SqsManagedSseEnabled") == "true" or bool(found.get("KmsMasterKeyId")),
        policy=json.loads(found["Policy"]) if found.get("Policy") else None,
        takes_from=json.loads(found.get("RedriveAllowPolicy") or "{}") or None,
        fifo=found.get("FifoQueue") == "true",
        visible=int(found.get("ApproximateNumberOfMessages", 0)),
        in_flight=int(found.get("ApproximateNumberOfMessagesNotVisible", 0)),
        delayed=int(found.get("ApproximateNumberOfMessagesDelayed", 0)),
        sources=sources,
    )


def key(table: Mapping[str, Any]) -> str:
    """A table's key in words: `message_id (S)`."""
    kinds = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    keys = sorted(table["KeySchema"], key=lambda one: str(one["KeyType"]))  # HASH before RANGE
    names = [one["AttributeName"] for one in keys]
    return ", ".join(f"{name} ({kinds.get(name)})" for name in names)


def write_units(table: Mapping[str, Any]) -> int | None:
    """Write units a second, None where the table is billed on demand."""
    if table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST":
        return None
    return int(table.get("ProvisionedThroughput", {}).get("WriteCapacityUnits", 0))


def expiry(told: Mapping[str, Any]) -> str | None:
    """The attribute of a TTL that is on, or on its way."""
    is_on = told.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return str(told.get("AttributeName")) if is_on else None


def rows(items: Iterable[Mapping[str, Any]]) -> Rows:
    """What a sample of rows says of their life."""
    seen = [{name: _number(value) for name, value in item.items()} for item in items]
    lives = []
    for row in seen:
        written = [at for name in _WRITTEN if (at := row.get(name)) is not None]
        expires = row.get("expires_at")
        if written and expires is not None:
            lives.append(expires - max(written))
    unmarked = sum(row.get("expires_at") is None for row in seen)
    return Rows(len(seen), min(lives, default=None), unmarked)


def _number(value: Mapping[str, Any]) -> float | None:
    return float(value["N"]) if "N" in value else None
