"""Rules on time: whether a message stays hidden for as long as the work on it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from doctor.amounts import HOUR, many, mean, p99, span
from doctor.evidence import CLOCK_SLACK, End
from doctor.facts import Facts, NotKnown
from doctor.findings import DANGER, WARNING, Finding, Rules
from sqs_worker.variables import LONGEST_VISIBILITY

RULES = Rules()

ROOM = 1.5
"""Work may take up to two thirds of the time that hides it: the next one may be slower."""
OVERLONG = 10
"""So many times the longest hold is more than slow work explains."""


def works(facts: Facts) -> tuple[float, ...]:
    """Seconds of every work seen, in order; raises NotKnown where none was."""
    work = facts.seen().work
    if not work:
        raise NotKnown("no work is in the journal")
    return work


def hold(work: tuple[float, ...], batch: int) -> float:
    """How long the last message of a full batch is held: average works, and then a slow one."""
    return (batch - 1) * mean(work) + p99(work)


def fitting_batch(work: tuple[float, ...], visibility: float) -> int:
    """The largest batch, of 10, that is through in time and with room; 0 where not even one is."""
    return max((n for n in range(1, 11) if hold(work, n) * ROOM <= visibility), default=0)


def longer(seconds: float) -> str:
    """What to set so that this long a hold is hidden with room."""
    visibility = min(LONGEST_VISIBILITY, math.ceil(2 * seconds))
    return (
        f"a visibility timeout of {visibility} s (VISIBILITY_TIMEOUT_SECONDS={visibility}, or the "
        "queue's own)"
    )


def beating(visibility: float) -> str:
    """A heartbeat at a third of the visibility timeout: two may be lost."""
    return f"HEARTBEAT_SECONDS={max(0.1, round(visibility / 3, 1)):g}"


@RULES.rule("does a receive hide its message at all?")
def visibility_zero(facts: Facts) -> Iterator[Finding]:
    if facts.visibility() == 0:
        yield Finding(
            DANGER,
            "the visibility timeout is 0: a received message is not hidden",
            "every consumer that polls receives every message, while another one is processing it",
            "VISIBILITY_TIMEOUT_SECONDS above the longest work, or unset for the queue's own",
            {"visibility_seconds": 0},
        )


@RULES.rule("is one message's work shorter than the visibility timeout?")
def work_outlasts_visibility(facts: Facts) -> Iterator[Finding]:
    visibility, work = facts.visibility(), works(facts)
    slow = p99(work)
    if facts.settings.heartbeat_seconds or slow <= visibility:
        return
    yield Finding(
        DANGER,
        f"a job takes up to {span(slow)} (p99 of {many(len(work), 'job')}), but the visibility "
        f"timeout is {span(visibility)} and HEARTBEAT_SECONDS is off",
        "the message is redelivered while the first consumer still works on it: the work is done "
        "twice, the first delete comes too late, and the message can go to the DLQ",
        f"{beating(visibility)}, or {longer(slow)}",
        {"work_p99_seconds": slow, "visibility_seconds": visibility, "works": len(work)},
    )


@RULES.rule("is a full batch through before its last message is visible again?")
def batch_outlasts_visibility(facts: Facts) -> Iterator[Finding]:
    visibility, work, batch = facts.visibility(), works(facts), facts.settings.max_messages
    held, slow = hold(work, batch), p99(work)
    if facts.settings.heartbeat_seconds or slow > visibility or held * ROOM <= visibility:
        return
    fits = fitting_batch(work, visibility)
    smaller = f"MAX_MESSAGES={fits}, or " if fits else ""
    yield Finding(
        DANGER if held > visibility else WARNING,
        f"{_queueing(work, batch)}, and a message is hidden for {span(visibility)}",
        "a message that is held longer than it is hidden is redelivered and processed twice"
        if held > visibility
        else f"it fits, but with no room: jobs {ROOM:g} times as long would not",
        f"{smaller}{beating(visibility)}, or {longer(held)}",
        {
            "hold_seconds": held,
            "work_mean_seconds": mean(work),
            "work_p99_seconds": slow,
            "visibility_seconds": visibility,
            "max_messages": batch,
        },
    )


def _queueing(work: tuple[float, ...], batch: int) -> str:
    slow = f"{span(p99(work))} (p99 of {many(len(work), 'job')})"
    if batch == 1:
        return f"a job takes up to {slow}"
    return (
        f"a worker thread processes its batch one by one: with MAX_MESSAGES={batch} the last "
        "message is "
        f"held for {span(hold(work, batch))}, {batch - 1} jobs averaging {span(mean(work))} "
        f"and a slow one of {slow}"
    )


@RULES.rule("were messages finished after their visibility timeout expired?")
def late_finishes(facts: Facts) -> Iterator[Finding]:
    seen = facts.seen()
    late = [d for d in seen.deliveries if d.late > CLOCK_SLACK or d.end is End.STALE]
    if not late:
        return
    stale = sum(delivery.end is End.STALE for delivery in late)
    worst = max(delivery.late for delivery in late)
    yield Finding(
        DANGER if stale or not facts.settings.has_tables else WARNING,
        f"{many(len(late), 'delivery')} of {len(seen.deliveries):,} ended after the message was "
        f"visible again, by up to {span(max(0, worst))}; {stale} of those deletes had a stale "
        "handle and deleted nothing",
        "another consumer may have received the message meanwhile. A stale receipt handle proves "
        "it, but SQS seldom reports one (quirk 3). A completed message can still end in the DLQ, "
        "because its receives are used up",
        f"{beating(facts.visibility())}, or {longer(_longest(facts))}",
        {"late": len(late), "stale_deletes": stale, "worst_seconds": worst},
    )


def _longest(facts: Facts) -> float:
    """The longest hold that was measured: the visibility, and what the latest finish was late."""
    worst = max((delivery.late for delivery in facts.seen().deliveries), default=0.0)
    return facts.visibility() + max(0.0, worst)


@RULES.rule("how long does a consumer that dies hide what it held?")
def overlong_visibility(facts: Facts) -> Iterator[Finding]:
    visibility = facts.visibility()
    if visibility <= HOUR:
        return
    held = hold(works(facts), facts.settings.max_messages)
    if visibility > OVERLONG * held:
        yield Finding(
            WARNING,
            f"a message is hidden for {span(visibility)}, and held for {span(held)} at most",
            f"a consumer that is killed cannot give back its messages: they stay hidden for "
            f"{span(visibility)}",
            f"HEARTBEAT_SECONDS, and {longer(held)}",
            {"visibility_seconds": visibility, "hold_seconds": held},
        )


@RULES.rule("may the call to the outside outlast the visibility timeout?")
def effect_timeout(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    if not settings.effect_mode or settings.effect_mode == "outbox" or settings.heartbeat_seconds:
        return
    calls = 3 if settings.effect_mode == "saga" else 1
    most, visibility = calls * settings.effect_timeout_seconds, facts.visibility()
    if most >= visibility:
        yield Finding(
            WARNING,
            f"the external services may take {span(most)} to answer ({calls} x "
            f"EFFECT_TIMEOUT_SECONDS={settings.effect_timeout_seconds:g}), and a message is hidden "
            f"for {span(visibility)}",
            "while the consumer waits for a slow service, the message is redelivered",
            f"{beating(visibility)}, or EFFECT_TIMEOUT_SECONDS={visibility / calls / 2:g}",
            {"answer_seconds": most, "visibility_seconds": visibility},
        )
