"""Rules on what was left on or open: failure knobs, logs, encryption, policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from doctor.amounts import plain, span
from doctor.facts import Facts, Queue
from doctor.findings import DANGER, NOTE, WARNING, Finding, Rules
from validation.findings import refuses_plain_http

RULES = Rules()

_CRASHES = ("CRASH_RATE", "CRASH_AFTER_RECEIVE", "CRASH_AFTER_SIDE_EFFECT", "CRASH_AT")
_NO_LOCK = {"aws:securetransport"}
"""Conditions that ask how somebody comes, not who."""


@RULES.rule("is a failure knob left on?")
def failure_knobs(facts: Facts) -> Iterator[Finding]:
    on = {name: value for name, value in facts.settings.changed.items() if name in _CRASHES}
    if on:
        told = ", ".join(f"{name}={plain(value)}" for name, value in on.items())
        yield Finding(
            DANGER,
            f"a crash setting is on: {told}",
            "the consumer dies on purpose (exit 86), gives nothing back and spends the receives of "
            "all it holds",
            f"unset {', '.join(on)}; look into the shell and .env",
        )
    marker = facts.settings.reject_payload_marker
    if marker:
        yield Finding(
            WARNING,
            f"REJECT_PAYLOAD_MARKER={marker!r} is set",
            "every message whose body contains it is refused until it is in the DLQ",
            "unset REJECT_PAYLOAD_MARKER",
        )
    if facts.settings.long_sleep_every:
        yield Finding(
            WARNING,
            f"every {facts.settings.long_sleep_every}. message sleeps "
            f"{span(facts.settings.long_sleep_seconds)} longer (LONG_SLEEP_SECONDS)",
            "it is there to overrun the visibility timeout",
            "unset LONG_SLEEP_SECONDS and LONG_SLEEP_EVERY",
            {"long_sleep_seconds": facts.settings.long_sleep_seconds},
        )


@RULES.rule("does the consumer go on for ever?")
def ends_by_itself(facts: Facts) -> Iterator[Finding]:
    limit, idle = facts.settings.message_limit, facts.settings.idle_timeout_seconds
    told = [f"after {limit} messages (MESSAGE_LIMIT)"] if limit else []
    told += [f"after {span(idle)} without a message (IDLE_TIMEOUT_SECONDS)"] if idle else []
    if told:
        yield Finding(
            NOTE,
            f"the consumer ends {' or '.join(told)}",
            "right for a job or a test; a service stops consuming, with exit code 0",
            "unset them for a service",
        )


@RULES.rule("does the log keep bodies out?")
def debug_logs(facts: Facts) -> Iterator[Finding]:
    if facts.settings.log_level == "DEBUG":
        yield Finding(
            NOTE,
            "LOG_LEVEL=DEBUG",
            "above DEBUG no body, key or receipt handle is logged; below, that is not promised",
            "LOG_LEVEL=INFO",
        )


@RULES.rule("is the effect outside done once?")
def effect_mode(facts: Facts) -> Iterator[Finding]:
    mode = facts.settings.effect_mode
    if mode in {"naive", "check"}:
        yield Finding(
            DANGER,
            f"EFFECT_MODE={mode} charges again when a delivery is repeated"
            + (" at the same time" if mode == "check" else ""),
            "no transaction reaches the service outside; only a key makes a repeated call harmless",
            "EFFECT_MODE=key, or outbox where the service cannot be called from the work",
        )


@RULES.rule("are queue and DLQ encrypted?")
def not_encrypted(facts: Facts) -> Iterator[Finding]:
    for queue in _queues(facts):
        if not queue.encrypted:
            yield Finding(
                WARNING,
                f"{queue.name} is not encrypted at rest",
                "bodies lie on disk in the clear; SSE-SQS is free and changes nothing else",
                f"SqsManagedSseEnabled=true on {queue.name}",
            )


def _queues(facts: Facts) -> list[Queue]:
    queue, dlq = facts.real_queue(), facts.real_dlq()
    return [queue, *([dlq] if dlq and dlq.arn != queue.arn else [])]


@RULES.rule("is the queue closed to strangers?")
def open_policy(facts: Facts) -> Iterator[Finding]:
    for queue in _queues(facts):
        open_to_all = [one for one in _statements(queue) if _is_open(one)]
        if open_to_all:
            actions = ", ".join(str(one.get("Action")) for one in open_to_all)
            yield Finding(
                DANGER,
                f"the policy of {queue.name} allows everyone: {actions}",
                "anybody with an AWS account can do that to the queue, there is no condition",
                "a principal or a condition (aws:SourceArn, aws:PrincipalOrgID) in that statement",
                {"statements": len(open_to_all)},
            )


def _statements(queue: Queue) -> list[Mapping[str, Any]]:
    found = (queue.policy or {}).get("Statement", [])
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _is_open(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    named = principal.get("AWS", ()) if isinstance(principal, dict) else principal
    everyone = "*" in named if isinstance(named, list) else named == "*"
    tests = [test for test in (statement.get("Condition") or {}).values() if test]
    keys = {str(key).lower() for test in tests for key in test}
    return statement.get("Effect") == "Allow" and everyone and keys <= _NO_LOCK


@RULES.rule("is plain HTTP refused?")
def plain_http(facts: Facts) -> Iterator[Finding]:
    for queue in _queues(facts):
        if not refuses_plain_http(queue.policy, queue.arn):
            yield Finding(
                NOTE,
                f"{queue.name} takes requests over plain HTTP",
                "SQS offers it; one client with http:// in its endpoint sends bodies in the clear",
                "a Deny on aws:SecureTransport false, as `tls_only` in terraform/policies.tf",
            )


@RULES.rule("is the queue a standard queue?")
def fifo(facts: Facts) -> Iterator[Finding]:
    if facts.real_queue().fifo:
        yield Finding(
            WARNING,
            f"{facts.real_queue().name} is a FIFO queue",
            "this consumer goes on with the rest of a group when one of its messages fails: the "
            "order that the queue keeps is lost",
            "a standard queue",
        )
