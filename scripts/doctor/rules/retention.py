"""Rules on what is kept, and how long: retention of queues, tables and the life of their rows."""

from __future__ import annotations

from collections.abc import Iterator

from doctor.amounts import many, span
from doctor.facts import Facts, Missing, NotKnown, known
from doctor.findings import DANGER, NOTE, WARNING, Finding, Rules

RULES = Rules()

LONGEST_RETENTION = 1_209_600
"""14 days, the limit of SQS."""
KEY = "message_id (S)"
EXPIRY = "expires_at"
THROTTLES = ("Throttl", "ProvisionedThroughputExceeded", "RequestLimitExceeded")


@RULES.rule("does the DLQ keep messages for longer than the queue?")
def dlq_retention(facts: Facts) -> Iterator[Finding]:
    """FIFO queues start the clock anew, so the rule is for standard ones."""
    queue, dlq = facts.real_queue(), facts.real_dlq()
    if not dlq or dlq.arn == queue.arn or queue.fifo or dlq.retention > queue.retention:
        return
    yield Finding(
        DANGER,
        f"{dlq.name} keeps messages for {span(dlq.retention)}, {queue.name} for "
        f"{span(queue.retention)}",
        "the clock runs from the first send, not from the move (quirk 4): a message that fails "
        f"after {span(dlq.retention)} in the queue is deleted the moment it reaches the DLQ",
        f"retention of {dlq.name}: {LONGEST_RETENTION} s (14 days), and less than that for the "
        "queue",
        {"dlq_retention_seconds": dlq.retention, "retention_seconds": queue.retention},
    )


@RULES.rule("does a failing message reach the DLQ before it expires?")
def retention_before_dlq(facts: Facts) -> Iterator[Finding]:
    queue = facts.real_queue()
    if queue.max_receives is None:
        return
    needed = queue.max_receives * facts.visibility()
    if needed >= queue.retention:
        yield Finding(
            DANGER,
            f"{queue.name} keeps a message for {span(queue.retention)}; {queue.max_receives} "
            f"receives of {span(facts.visibility())} each take {span(needed)}",
            "a message that fails is deleted before it has used up its receives: it never reaches "
            "the DLQ, it is gone",
            f"retention above {needed} s, or a lower maxReceiveCount",
            {"retention_seconds": queue.retention, "until_dlq_seconds": needed},
        )


@RULES.rule("is the backlog worked off before it expires?")
def backlog_outlives_retention(facts: Facts) -> Iterator[Finding]:
    queue, seen = facts.real_queue(), facts.seen()
    waiting = queue.visible + queue.delayed
    seconds, finished = seen.total("seconds"), seen.total("completed") + seen.total("already_done")
    if not waiting:
        return
    if not finished or not seconds:
        raise NotKnown("no run in the journal has finished a message and said how long it took")
    rate = finished / seconds
    needed = waiting / rate
    if needed > queue.retention:
        yield Finding(
            DANGER,
            f"{many(waiting, 'message')} wait; at {rate:.2g} a second, as measured, one consumer "
            f"needs {span(needed)}, and they are kept for {span(queue.retention)}",
            "those at the end expire unprocessed, and no DLQ gets them",
            "more lanes or more consumers, or a longer retention",
            {"waiting": waiting, "per_second": rate, "needed_seconds": needed},
        )


@RULES.rule("is there a memory of what was done?")
def no_tables(facts: Facts) -> Iterator[Finding]:
    if not facts.settings.has_tables:
        yield Finding(
            DANGER,
            "MESSAGE_STATUS_TABLE and MESSAGE_COMPLETED_TABLE are not set",
            "a standard queue delivers at least once (quirk 1): each second delivery does the work "
            "again, unless the same process still has it in its cache of "
            f"{facts.settings.idempotency_cache_size} ids",
            "both tables",
            {"cache": facts.settings.idempotency_cache_size},
        )


@RULES.rule("do the tables exist?")
def table_missing(facts: Facts) -> Iterator[Finding]:
    for variable, table in facts.tables.items():
        found = known(table)
        if isinstance(found, Missing):
            yield Finding(
                DANGER,
                f"{variable} names {found.name}, which does not exist",
                "the consumer does not start (exit 3)",
                f"create {found.name}, hash key message_id (S); `make infra-up` does",
            )


@RULES.rule("are the tables keyed by the message id?")
def table_key(facts: Facts) -> Iterator[Finding]:
    for variable, table in facts.real_tables().items():
        if table.key != KEY:
            yield Finding(
                DANGER,
                f"the key of {table.name} ({variable}) is {table.key}, not {KEY}",
                "every claim is refused, so nothing is received",
                f"a table with hash key message_id of type S and no range key as {variable}",
            )


@RULES.rule("are rows removed when their time is over?")
def expiry_off(facts: Facts) -> Iterator[Finding]:
    for variable, table in facts.real_tables().items():
        expiry = known(table.expiry)
        if expiry != EXPIRY:
            yield Finding(
                WARNING,
                f"time to live of {table.name} ({variable}) is "
                + ("off" if expiry is None else f"on {expiry}, not on {EXPIRY}"),
                f"no row ever goes: the table holds {table.size_bytes:,} bytes and grows with "
                "every message"
                if expiry is None
                else f"the rows carry their time in {EXPIRY}; what {expiry} holds decides instead",
                f"TTL of {table.name} on the attribute {EXPIRY}",
                {"size_bytes": table.size_bytes},
            )


@RULES.rule("does a row outlive its message?")
def rows_expire_early(facts: Facts) -> Iterator[Finding]:
    """What a message can live: in the queue, in the DLQ, and again in the queue after a redrive."""
    tables = facts.real_tables()
    if not tables:
        return
    queue, dlq = facts.real_queue(), facts.real_dlq()
    life = 2 * queue.retention + (dlq.retention if dlq else 0)
    for variable, table in tables.items():
        rows = known(table.rows)
        keeps = facts.row_life if rows.keeps is None else rows.keeps
        if keeps < life:
            yield Finding(
                DANGER,
                f"rows of {table.name} ({variable}) are kept for {span(keeps)}, a message can live "
                f"for {span(life)}: {span(queue.retention)} in the queue, "
                f"{span(dlq.retention if dlq else 0)} in the DLQ, {span(queue.retention)} after a "
                "redrive",
                "a message that is redriven after its row has gone is done a second time",
                f"{EXPIRY} at least {int(life)} s after the write, or shorter retentions",
                {"row_seconds": keeps, "message_seconds": life, "rows_seen": rows.seen},
            )


@RULES.rule("do all rows carry a time of expiry?")
def unmarked_rows(facts: Facts) -> Iterator[Finding]:
    for variable, table in facts.real_tables().items():
        rows = known(table.rows)
        if rows.unmarked:
            yield Finding(
                NOTE,
                f"{rows.unmarked} of {rows.seen} rows looked at in {table.name} ({variable}) have "
                f"no {EXPIRY}",
                "TTL leaves them alone: they stay for ever. Another program, or an outbox whose "
                "intents are open, wrote them",
                f"{EXPIRY} in each of them, if that is not meant so",
                {"rows": rows.unmarked, "rows_seen": rows.seen},
            )


@RULES.rule("can the tables take the writes?")
def provisioned(facts: Facts) -> Iterator[Finding]:
    for variable, table in facts.real_tables().items():
        if table.write_units is None:
            continue
        seen = facts.seen()
        seconds = seen.total("seconds")
        if not seconds:
            raise NotKnown("no run in the journal has said how long it took")
        used = seen.total("write_units") / seconds
        yield Finding(
            DANGER if used > table.write_units else NOTE,
            f"{table.name} ({variable}) takes {table.write_units} write units a second; the "
            f"consumer used {used:.1f}, both tables together",
            "more than that is throttled: the consumer then holds what it has for up to a minute "
            "and gives it back, which spends a receive of each message",
            "on-demand billing (PAY_PER_REQUEST), or auto scaling",
            {"write_units": table.write_units, "used_per_second": used},
        )


@RULES.rule("did the tables answer all the time?")
def ledger_outages(facts: Facts) -> Iterator[Finding]:
    outages = [reason for run in facts.seen().runs for reason in run.outages]
    if not outages:
        return
    throttled = sum(any(word in reason for word in THROTTLES) for reason in outages)
    yield Finding(
        WARNING,
        f"the tables were out of reach {many(len(outages), 'time')}, {throttled} of them "
        f"throttled; the last: {outages[-1][:200]}",
        "nothing is received meanwhile, and what is held for longer than a minute is given back, "
        "one receive poorer",
        "on-demand billing where it was throttling; else look at network and permissions",
        {"outages": len(outages), "throttled": throttled},
    )
