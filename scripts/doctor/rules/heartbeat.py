"""Rules on the heartbeat: whether it comes in time, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from doctor.amounts import DEAR, MONTH, dollars, many, money, span
from doctor.facts import Facts
from doctor.findings import DANGER, NOTE, WARNING, Finding, Rules
from doctor.rules.visibility import beating, hold, works

RULES = Rules()


@RULES.rule("is the heartbeat well below the visibility timeout?")
def heartbeat_against_visibility(facts: Facts) -> Iterator[Finding]:
    beat = facts.settings.heartbeat_seconds
    if not beat:
        return
    visibility = facts.visibility()
    numbers = {"heartbeat_seconds": beat, "visibility_seconds": float(visibility)}
    fix = f"{beating(visibility)}, a third of the visibility timeout"
    if beat >= visibility:
        yield Finding(
            DANGER,
            f"HEARTBEAT_SECONDS={beat:g} is not below the visibility timeout of {visibility} s",
            "messages would expire between two beats, so the consumer refuses to start (exit 2)",
            fix,
            numbers,
        )
    elif 2 * beat > visibility:
        yield Finding(
            WARNING,
            f"HEARTBEAT_SECONDS={beat:g} beats less than twice in a visibility timeout of "
            f"{visibility} s",
            "one call that is late or lost, and everything in flight is delivered again",
            fix,
            numbers,
        )


@RULES.rule("what do the heartbeat's calls cost?")
def heartbeat_calls(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    if not settings.heartbeat_seconds:
        return
    hands = math.ceil(settings.concurrency * settings.max_messages / 10)
    calls = hands * MONTH / settings.heartbeat_seconds
    visibility = facts.visibility()
    if dollars(calls) > DEAR and settings.heartbeat_seconds < visibility / 3:
        yield Finding(
            NOTE,
            f"a busy consumer makes {calls:,.0f} heartbeat calls a month, {money(dollars(calls))}",
            "a beat at a third of the visibility timeout keeps messages hidden as well",
            beating(visibility),
            {"calls_per_month": calls, "usd_per_month": dollars(calls)},
        )


@RULES.rule("did heartbeats come too late?")
def refused_heartbeats(facts: Facts) -> Iterator[Finding]:
    refused = sum(run.refused for run in facts.seen().runs)
    if refused:
        yield Finding(
            WARNING,
            f"{refused} extensions of visibility were refused",
            "their visibility timeouts had expired before the heartbeat; other consumers may have "
            "received the messages",
            f"a shorter HEARTBEAT_SECONDS (now {facts.settings.heartbeat_seconds:g}), or a longer "
            "visibility timeout",
            {"refused": refused},
        )


@RULES.rule("does the heartbeat last as long as the work?")
def heartbeat_limit(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    if not settings.heartbeat_seconds:
        return
    limit, held = settings.heartbeat_limit_seconds, hold(works(facts), settings.max_messages)
    ended = sum(run.ended for run in facts.seen().runs)
    if held <= limit and not ended:
        return
    yield Finding(
        DANGER if held > limit else WARNING,
        f"a message is extended for {span(limit)} after its receive (HEARTBEAT_LIMIT_SECONDS); a "
        f"full batch is held for {span(held)}, and {many(ended, 'message')} met the limit",
        "what is still held then is delivered again while it is worked on"
        if held > limit
        else "that work hung: it is left to its visibility timeout, and the rest of its batch is "
        "given back, one receive poorer",
        f"HEARTBEAT_LIMIT_SECONDS={math.ceil(2 * held)}, or a smaller MAX_MESSAGES"
        if held > limit
        else "a time-out in the work itself, below HEARTBEAT_LIMIT_SECONDS",
        {"limit_seconds": limit, "hold_seconds": held, "ended": ended},
    )
