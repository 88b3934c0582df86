"""Rules on calls: what polling costs, and whether lanes and batches have something to do."""

from __future__ import annotations

from collections.abc import Iterator

from doctor.amounts import DEAR, MONTH, dollars, many, mean, money, span
from doctor.facts import Facts, NotKnown, Unknown
from doctor.findings import DANGER, NOTE, WARNING, Finding, Rules
from doctor.rules.visibility import fitting_batch, works
from sqs_worker.loop import SHORT_POLL_PAUSE

RULES = Rules()

IN_FLIGHT = 120_000
"""Messages in flight that a queue allows (quirk 7)."""
NEAR = 0.8
LONGEST_POLL = 20
FULL_BATCH = 10
FED = 0.9
"""So full are receives on average while the queue has enough for all lanes."""


@RULES.rule("what do receives cost that bring nothing?")
def empty_receives(facts: Facts) -> Iterator[Finding]:
    wait = facts.settings.wait_time_seconds
    calls, least = (MONTH / (seconds or SHORT_POLL_PAUSE) for seconds in (wait, LONGEST_POLL))
    if dollars(calls) - dollars(least) <= DEAR:
        return
    receives, empty = _measured(facts)
    measured = f"; the journal has {empty:,.0f} empty ones of {receives:,.0f}" if receives else ""
    yield Finding(
        WARNING if wait == 0 else NOTE,
        f"an idle consumer with WAIT_TIME_SECONDS={wait} makes {calls:,.0f} receives a month, "
        f"{money(dollars(calls))} for each consumer{measured}",
        "a short poll also asks only some of SQS's servers, so it may miss messages that are there"
        if wait == 0
        else f"with WAIT_TIME_SECONDS={LONGEST_POLL} it would be {money(dollars(least))}, and no "
        "slower: a long poll returns as soon as there is a message",
        f"WAIT_TIME_SECONDS={LONGEST_POLL}, and SHUTDOWN_GRACE_SECONDS above it",
        {
            "calls_per_month": calls,
            "usd_per_month": dollars(calls),
            "usd_per_month_with_20": dollars(least),
            "empty_receives": empty,
            "receives": receives,
        },
    )


def _measured(facts: Facts) -> tuple[float, float]:
    """Receives, and those that brought nothing; zeros where no journal tells."""
    if isinstance(facts.evidence, Unknown):
        return 0.0, 0.0
    return facts.evidence.receives, facts.evidence.total("empty_receives")


@RULES.rule("is long polling the queue's default?")
def queue_wait(facts: Facts) -> Iterator[Finding]:
    queue = facts.real_queue()
    if queue.wait == 0:
        yield Finding(
            NOTE,
            f"{queue.name} has a receive wait of 0 s",
            "this consumer sets WAIT_TIME_SECONDS itself. A program that does not uses short "
            "polling and pays for every empty receive",
            f"receive wait of {queue.name}: {LONGEST_POLL} s",
        )


@RULES.rule("are messages received one at a time though ten would fit?")
def one_at_a_time(facts: Facts) -> Iterator[Finding]:
    if facts.settings.max_messages > 1:
        return
    work = works(facts)
    heartbeat = facts.settings.heartbeat_seconds
    fits = FULL_BATCH if heartbeat else fitting_batch(work, facts.visibility())
    if fits > 1:
        one, ten = dollars(2_000_000), dollars(2_000_000 / fits)
        yield Finding(
            NOTE,
            f"MAX_MESSAGES=1 makes 2 SQS calls a message, {money(one)} per million messages; "
            f"{fits} at a time make {2 / fits:.1f}, "
            f"{money(ten)}",
            f"jobs averaging {span(mean(work))} leave time for {fits} within the visibility "
            f"timeout of {span(facts.visibility())}, and one call claims all of them",
            f"MAX_MESSAGES={fits}",
            {"usd_per_million": one, "usd_per_million_batched": ten, "fits": fits},
        )


@RULES.rule("do all lanes get work?")
def idle_lanes(facts: Facts) -> Iterator[Finding]:
    lanes, batch = facts.settings.concurrency, facts.settings.max_messages
    if lanes == 1:
        return
    seen = facts.seen()
    peak = max(run.peak for run in seen.runs)
    brought = seen.receives - seen.total("empty_receives")
    if not peak or brought <= 0:
        raise NotKnown("no run in the journal has worked and then said what its receives brought")
    filled = seen.total("received") / brought
    if peak < lanes and filled < FED * batch:
        yield Finding(
            NOTE,
            f"CONCURRENCY={lanes}, but never more than {peak} worked at a time; a receive "
            f"brought {filled:.1f} messages of MAX_MESSAGES={batch}",
            "a lane is added only after a full receive; idle ones cost threads and connections",
            f"CONCURRENCY={peak}, or a smaller MAX_MESSAGES so that the messages spread",
            {"lanes": lanes, "peak": peak, "per_receive": filled, "max_messages": batch},
        )


@RULES.rule("can a group of completions fill up?")
def commit_batch(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    if settings.commit_batch > settings.max_messages:
        yield Finding(
            NOTE,
            f"COMMIT_BATCH={settings.commit_batch}, but a batch brings {settings.max_messages} "
            "at most (MAX_MESSAGES)",
            "completions are grouped within one batch, so a larger group never fills",
            f"COMMIT_BATCH={settings.max_messages}, or MAX_MESSAGES={settings.commit_batch}",
            {"commit_batch": settings.commit_batch, "max_messages": settings.max_messages},
        )


@RULES.rule("is the queue far from its limit of messages in flight?")
def in_flight(facts: Facts) -> Iterator[Finding]:
    queue = facts.real_queue()
    if queue.in_flight >= NEAR * IN_FLIGHT:
        yield Finding(
            DANGER if queue.in_flight >= IN_FLIGHT else WARNING,
            f"{many(queue.in_flight, 'message')} of {queue.name} are in flight; SQS allows "
            f"{IN_FLIGHT:,}",
            "at the limit receives bring nothing, whatever waits in the queue (quirk 7)",
            "a shorter visibility timeout with a heartbeat, consumers that give back what they "
            "hold, or several queues",
            {"in_flight": queue.in_flight, "limit": IN_FLIGHT},
        )
