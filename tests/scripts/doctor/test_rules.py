"""Every rule of the doctor: it fires, is silent, says that it does not know; at the boundary."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import pytest

from doctor.evidence import End
from doctor.facts import Facts, Peeked, Rows, Unknown
from doctor.findings import DANGER, NOTE, WARNING, Finding, Severity, examine
from doctor.rules import RULES
from doctor.rules.visibility import beating, fitting_batch, longer
from support.children import ROOT
from support.healthy_facts import (
    ARN,
    DAY,
    DELIVERIES,
    GONE,
    HEALTHY,
    NO_DLQ,
    NO_JOURNAL,
    NO_QUEUE,
    NO_TABLE,
    REFUSED,
    RUN,
    SETTINGS,
    delivery,
    dlq,
    having,
    queue,
    run,
    seen,
    summary,
    table,
    told,
    works,
)

UNKNOWN = "not known"
SILENT = None


class Case(NamedTuple):
    """`says` is the worst severity, nothing, or that it is not known; `words` stand in the text."""

    rule: str
    facts: Facts
    says: Severity | str | None
    words: tuple[str, ...] = ()


SHORT = told(WAIT_TIME_SECONDS="0")
BEAT_10 = told(HEARTBEAT_SECONDS="10")
SLOW = {"MAX_MESSAGES": "1"}
KEYED = told(IDEMPOTENCY_KEY="order")
LIMITED = {"HEARTBEAT_SECONDS": "10", "HEARTBEAT_LIMIT_SECONDS": "60"}
SPENT_1 = (delivery(0, end=End.SHUTDOWN, done=False),)
SPENT = tuple(delivery(0, end=end, done=False) for end in (End.DIED, End.SHUTDOWN) * 3)
OPEN = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": ARN}
SAID_YES = delivery(1, receive_count=5, late=0.4)
DONE_LATE = delivery(1, end=End.STALE, receive_count=5, late=0.4)


def policy(*statements: dict[str, object]) -> Facts:
    return queue(policy={"Statement": [*QUEUE_POLICY, *statements]})


QUEUE_POLICY = HEALTHY.real_queue().policy["Statement"]  # type: ignore[index]
BACKED_UP = queue(visible=345_601)  # at one a second for four days

CASES = [
    Case("visibility-zero", told(VISIBILITY_TIMEOUT_SECONDS="0"), DANGER),
    Case("visibility-zero", queue(visibility=0), DANGER),
    Case("visibility-zero", told(queue(visibility=0), VISIBILITY_TIMEOUT_SECONDS="1"), SILENT),
    Case("visibility-zero", NO_QUEUE, UNKNOWN),
    # work_outlasts: p99 above, not at
    Case(
        "work-outlasts-visibility",
        works(1, 30.1),
        DANGER,
        ("30.1 s", "is 30 s", "HEARTBEAT_SECONDS=10", "VISIBILITY_TIMEOUT_SECONDS=61"),
    ),
    Case("work-outlasts-visibility", works(1, 30.0), SILENT),
    Case("work-outlasts-visibility", works(*[1] * 198, 99, 99), SILENT),  # not in the p99
    Case("work-outlasts-visibility", works(*[1] * 97, 99, 99, 99), DANGER),
    Case("work-outlasts-visibility", works(1, 99, facts=BEAT_10), SILENT),
    Case(
        "work-outlasts-visibility", works(31, facts=told(VISIBILITY_TIMEOUT_SECONDS="32")), SILENT
    ),
    Case("work-outlasts-visibility", NO_JOURNAL, UNKNOWN),
    Case("work-outlasts-visibility", seen(deliveries=()), UNKNOWN),
    Case("work-outlasts-visibility", NO_QUEUE, UNKNOWN),
    # ten works of 2 s are 20 s: times 1.5 just fits into 30 s
    Case("batch-outlasts-visibility", works(2, 2), SILENT),
    Case(
        "batch-outlasts-visibility", works(2.01, 2.01), WARNING, ("9 jobs averaging 2 s", "20.1 s")
    ),
    Case("batch-outlasts-visibility", works(3, 3), WARNING, ("MAX_MESSAGES=6",)),
    Case("batch-outlasts-visibility", works(3.01, 3.01), DANGER, ("30.1 s", "MAX_MESSAGES=6")),
    Case("batch-outlasts-visibility", works(3.01, facts=told(MAX_MESSAGES="6")), SILENT),
    Case("batch-outlasts-visibility", works(3.01, facts=BEAT_10), SILENT),
    Case("batch-outlasts-visibility", works(31), SILENT),  # that is the other rule's
    Case("batch-outlasts-visibility", works(20, facts=told(**SLOW)), SILENT),
    Case(
        "batch-outlasts-visibility",
        works(20.1, facts=told(**SLOW)),
        WARNING,
        ("a job takes up to",),
    ),
    Case(
        "batch-outlasts-visibility",
        works(30, facts=told(**SLOW)),
        WARNING,
        ("30 s (p99", "1.5 times as long"),
    ),
    Case("batch-outlasts-visibility", works(15), DANGER, ("MAX_MESSAGES=1, or",)),
    Case("batch-outlasts-visibility", NO_JOURNAL, UNKNOWN),
    # late finishes
    Case("late-finishes", seen(deliveries=(delivery(late=0.06),)), WARNING, ("1 delivery of 1",)),
    Case("late-finishes", seen(deliveries=(delivery(late=0.05),)), SILENT),
    Case(
        "late-finishes",
        seen(deliveries=(delivery(late=2.5, end=End.STALE), delivery(1))),
        DANGER,
        ("2.5 s", "1 of those deletes", "VISIBILITY_TIMEOUT_SECONDS=65"),
    ),
    Case(
        "late-finishes",
        seen(deliveries=(delivery(late=-1.0, end=End.STALE),)),
        DANGER,
        ("by up to 0 s", "VISIBILITY_TIMEOUT_SECONDS=60"),
    ),
    Case(
        "late-finishes",
        seen(
            told(MESSAGE_STATUS_TABLE="", MESSAGE_COMPLETED_TABLE=""),
            deliveries=(delivery(late=0.06),),
        ),
        DANGER,
    ),
    Case("late-finishes", NO_JOURNAL, UNKNOWN),
    # overlong: above an hour, and above ten holds
    Case("overlong-visibility", queue(visibility=3601), WARNING, ("60 min", "10 s at most")),
    Case("overlong-visibility", queue(visibility=3600), SILENT),
    Case("overlong-visibility", works(37, facts=queue(visibility=3700)), SILENT),
    Case("overlong-visibility", works(36.9, facts=queue(visibility=3700)), WARNING),
    Case("overlong-visibility", having(queue(visibility=3601), evidence=REFUSED), UNKNOWN),
    Case("overlong-visibility", NO_QUEUE, UNKNOWN),
    Case("effect-timeout", told(EFFECT_URL="http://x/", EFFECT_MODE="key"), SILENT),
    Case(
        "effect-timeout",
        told(EFFECT_URL="http://x/", EFFECT_MODE="key", EFFECT_TIMEOUT_SECONDS="30"),
        WARNING,
        ("1 x", "EFFECT_TIMEOUT_SECONDS=15"),
    ),
    Case(
        "effect-timeout",
        told(EFFECT_URL="http://x/", EFFECT_MODE="key", EFFECT_TIMEOUT_SECONDS="29.9"),
        SILENT,
    ),
    Case(
        "effect-timeout",
        told(EFFECT_URL="http://x/", EFFECT_MODE="saga", EFFECT_TIMEOUT_SECONDS="10"),
        WARNING,
        ("3 x",),
    ),
    Case(
        "effect-timeout",
        told(
            EFFECT_URL="http://x/",
            EFFECT_MODE="saga",
            EFFECT_TIMEOUT_SECONDS="10",
            HEARTBEAT_SECONDS="9",
        ),
        SILENT,
    ),
    Case("effect-timeout", told(NO_QUEUE, EFFECT_URL="http://x/", EFFECT_MODE="key"), UNKNOWN),
    # heartbeat
    Case("heartbeat-against-visibility", told(HEARTBEAT_SECONDS="15"), SILENT),
    Case("heartbeat-against-visibility", told(HEARTBEAT_SECONDS="15.1"), WARNING, ("30 s",)),
    Case("heartbeat-against-visibility", told(HEARTBEAT_SECONDS="29.9"), WARNING),
    Case("heartbeat-against-visibility", told(HEARTBEAT_SECONDS="30"), DANGER, ("exit 2",)),
    Case("heartbeat-against-visibility", told(NO_QUEUE, HEARTBEAT_SECONDS="1"), UNKNOWN),
    # one beat in 2.0736 s for one call is half a dollar a month
    Case("heartbeat-calls", told(HEARTBEAT_SECONDS="2.0735"), NOTE, ("$0.50",)),
    Case("heartbeat-calls", told(HEARTBEAT_SECONDS="2.0736"), SILENT),
    Case(
        "heartbeat-calls",
        told(HEARTBEAT_SECONDS="9", CONCURRENCY="11"),
        NOTE,
        ("3,168,000", "$1.27", "HEARTBEAT_SECONDS=10"),
    ),
    Case("heartbeat-calls", told(HEARTBEAT_SECONDS="10", CONCURRENCY="11"), SILENT),
    Case("heartbeat-calls", told(HEARTBEAT_SECONDS="4", CONCURRENCY="2"), NOTE, ("$0.52",)),
    Case(
        "heartbeat-calls", told(queue(visibility=6), HEARTBEAT_SECONDS="2"), SILENT
    ),  # a third already
    Case("heartbeat-calls", told(NO_QUEUE, HEARTBEAT_SECONDS="1"), UNKNOWN),
    Case("refused-heartbeats", run(refused=1), WARNING, ("1 extension",)),
    Case("refused-heartbeats", NO_JOURNAL, UNKNOWN),
    Case("heartbeat-limit", works(6, facts=told(**LIMITED)), SILENT),
    Case(
        "heartbeat-limit",
        works(6.1, facts=told(**LIMITED)),
        DANGER,
        ("60 s after", "61 s", "HEARTBEAT_LIMIT_SECONDS=122"),
    ),
    Case("heartbeat-limit", run(told(**LIMITED), ended=1), WARNING, ("1 message met",)),
    Case(
        "heartbeat-limit",
        run(works(6, facts=told(**LIMITED)), ended=1),
        WARNING,
        ("that work hung", "a time-out in the work"),
    ),
    Case("heartbeat-limit", run(ended=1), SILENT),
    Case("heartbeat-limit", told(NO_JOURNAL, **LIMITED), UNKNOWN),
    # grace: 25 s, one of them for the last calls
    Case("grace", works(24), SILENT),
    Case("grace", works(24.1), WARNING, ("24.1 s", "SHUTDOWN_GRACE_SECONDS=27")),
    Case(
        "grace",
        seen(deliveries=(delivery(), delivery(1, end=End.ABANDONED, work=None))),
        WARNING,
        ("1 were abandoned", "SHUTDOWN_GRACE_SECONDS=27"),
    ),
    Case("grace", NO_JOURNAL, UNKNOWN),
    Case("grace-over-platform", told(SHUTDOWN_GRACE_SECONDS="30"), NOTE),
    Case("grace-over-platform", told(SHUTDOWN_GRACE_SECONDS="29.9"), SILENT),
    Case("journal-torn", seen(torn=("a: line 3 is torn",)), WARNING, ("line 3",)),
    Case("journal-torn", NO_JOURNAL, UNKNOWN),
    Case(
        "ended-without-stop",
        seen(
            runs=(RUN, replace(RUN, reason=None)),
            deliveries=(
                *(delivery(place, end=End.DIED, done=False) for place in (1, 2)),
                delivery(3, end=End.DIED),
            ),
        ),
        WARNING,
        ("1 of 2 runs", "1 killed", "2 messages in hand"),
    ),
    Case("ended-without-stop", run(reason=None, crashed="in-work"), WARNING, ("1 by a crash",)),
    Case("ended-without-stop", run(reason=None, alive=True), SILENT),
    Case("ended-without-stop", NO_JOURNAL, UNKNOWN),
    Case("stopped-by-error", run(reason="error"), DANGER, ("1 run",)),
    Case("stopped-by-error", summary(errors=2), WARNING, ("2 unforeseen",)),
    Case("stopped-by-error", NO_JOURNAL, UNKNOWN),
    Case(
        "other-settings",
        told(MAX_MESSAGES="5"),
        NOTE,
        ("MAX_MESSAGES 10, now 5",),
    ),
    Case("other-settings", told(MAX_MESSAGES="1"), NOTE, ("now default",)),
    Case("other-settings", told(MESSAGE_LIMIT="1"), SILENT),
    Case("other-settings", NO_JOURNAL, UNKNOWN),
    # receives
    Case("few-receives", queue(max_receives=1), DANGER),
    Case("few-receives", queue(max_receives=2), NOTE, ("on purpose", "maxReceiveCount 5")),
    Case("few-receives", queue(max_receives=3), SILENT),
    Case("few-receives", queue(max_receives=None), SILENT),
    Case("few-receives", NO_QUEUE, UNKNOWN),
    Case("receives-spent-unfailed", seen(deliveries=SPENT[:3]), SILENT),
    Case(
        "receives-spent-unfailed",
        seen(deliveries=SPENT[:4]),
        WARNING,
        ("up to 4 of the 5", "2 its consumer died", "2 given back at a stop", "maxReceiveCount 7"),
    ),
    Case("receives-spent-unfailed", seen(deliveries=SPENT[:5]), DANGER, ("1 message used up",)),
    Case("receives-spent-unfailed", seen(queue(max_receives=2), deliveries=SPENT_1), WARNING),
    Case(
        "receives-spent-unfailed",
        seen(queue(max_receives=2), deliveries=(delivery(end=End.DIED),)),
        SILENT,
    ),  # it was completed
    Case(
        "receives-spent-unfailed",
        seen(queue(max_receives=2), deliveries=(delivery(end=End.FAILED, done=False),) * 2),
        SILENT,
    ),
    Case("receives-spent-unfailed", seen(queue(max_receives=None), deliveries=SPENT), SILENT),
    Case("receives-spent-unfailed", seen(deliveries=(delivery(receive_count=2),)), UNKNOWN),
    Case(
        "receives-spent-unfailed",
        seen(deliveries=(delivery(), delivery(receive_count=2))),
        SILENT,
    ),
    Case("receives-spent-unfailed", NO_JOURNAL, UNKNOWN),
    Case("receives-spent-unfailed", NO_QUEUE, UNKNOWN),
    # hidden: (receives - 3) x 30 s above an hour
    Case("hidden-poison", queue(max_receives=123), SILENT),
    Case("hidden-poison", queue(max_receives=124), WARNING, ("it has 124", "60.5 min")),
    Case("hidden-poison", queue(max_receives=None), WARNING, ("4 days", "no last one")),
    Case("hidden-poison", NO_QUEUE, UNKNOWN),
    # dead letters
    Case("no-dlq", queue(max_receives=None, dlq_arn=None), DANGER, ("11,520 times", "4 days")),
    Case("no-dlq", NO_QUEUE, UNKNOWN),
    Case("dlq-missing", having(dlq=GONE), DANGER, ("gone",)),
    Case("dlq-missing", NO_DLQ, UNKNOWN),
    Case("dlq-is-itself", queue(dlq_arn=ARN), DANGER),
    Case("dlq-is-itself", NO_QUEUE, UNKNOWN),
    Case("dlq-consumed", dlq(in_flight=1), WARNING, ("1 message of orders-dlq",)),
    Case("dlq-consumed", dlq(in_flight=1, arn=ARN), SILENT),
    Case("dlq-consumed", NO_DLQ, UNKNOWN),
    Case("dlq-shared", dlq(sources=("orders", "bills")), NOTE, ("bills",)),
    Case("dlq-shared", dlq(sources=REFUSED), UNKNOWN),
    Case("dlq-shared", NO_DLQ, UNKNOWN),
    Case("dlq-chain", dlq(max_receives=3), WARNING, ("3 receives",)),
    Case("dlq-chain", dlq(max_receives=3, arn=ARN), SILENT),
    Case("dlq-chain", NO_DLQ, UNKNOWN),
    Case("dlq-refuses", dlq(takes_from={"redrivePermission": "denyAll"}), DANGER),
    Case(
        "dlq-refuses",
        dlq(takes_from={"redrivePermission": "byQueue", "sourceQueueArns": ["other"]}),
        DANGER,
    ),
    Case("dlq-refuses", dlq(takes_from={"redrivePermission": "allowAll"}), SILENT),
    Case("dlq-refuses", dlq(takes_from=None), SILENT),
    Case("dlq-refuses", NO_DLQ, UNKNOWN),
    Case("reads-a-dlq", queue(sources=("bills",)), WARNING, ("bills",)),
    Case("reads-a-dlq", queue(sources=("orders",)), SILENT),  # it is its own: another rule
    Case("reads-a-dlq", queue(sources=REFUSED), UNKNOWN),
    Case("dlq-holds", dlq(visible=1), WARNING, ("1 message in orders-dlq", "14 days")),
    Case("dlq-holds", dlq(visible=1, arn=ARN), SILENT),
    Case("dlq-holds", NO_DLQ, UNKNOWN),
    Case("completed-in-dlq", seen(deliveries=(DONE_LATE,)), WARNING, ("1 message", "id-1")),
    Case(
        "completed-in-dlq",
        seen(deliveries=(replace(DONE_LATE, receive_count=4),)),
        SILENT,
    ),
    Case(
        "completed-in-dlq",
        seen(deliveries=(DONE_LATE, delivery(1, receive_count=5))),
        SILENT,
    ),  # deleted after all
    Case(
        "completed-in-dlq",
        seen(deliveries=(replace(DONE_LATE, done=False),)),
        SILENT,
    ),
    Case("completed-in-dlq", having(peeked=Peeked(3, ("id-7",))), WARNING, ("of 3", "id-7")),
    Case("completed-in-dlq", having(dlq(visible=3), peeked=Peeked(3, ())), SILENT),
    Case("completed-in-dlq", dlq(visible=3), UNKNOWN),
    Case("completed-in-dlq", seen(deliveries=(SAID_YES,)), UNKNOWN),
    Case("completed-in-dlq", seen(deliveries=(replace(SAID_YES, receive_count=4),)), SILENT),
    Case("completed-in-dlq", seen(deliveries=(replace(SAID_YES, late=0.05),)), SILENT),
    Case("completed-in-dlq", having(peeked=Unknown("refused")), UNKNOWN),
    Case("completed-in-dlq", NO_JOURNAL, UNKNOWN),
    # keeping
    Case("dlq-retention", dlq(retention=4 * DAY), DANGER, ("4 days", "1209600 s")),
    Case("dlq-retention", dlq(retention=4 * DAY + 1), SILENT),
    Case("dlq-retention", dlq(queue(fifo=True), retention=4 * DAY), SILENT),
    Case("dlq-retention", dlq(retention=1, arn=ARN), SILENT),
    Case("dlq-retention", NO_DLQ, UNKNOWN),
    Case("retention-before-dlq", queue(retention=150), DANGER, ("5 receives", "150 s")),
    Case("retention-before-dlq", queue(retention=151), SILENT),
    Case("retention-before-dlq", queue(retention=150, max_receives=None), SILENT),
    Case("retention-before-dlq", NO_QUEUE, UNKNOWN),
    Case("backlog-outlives-retention", BACKED_UP, DANGER, ("345,601", "4 days")),
    Case("backlog-outlives-retention", queue(visible=345_600), SILENT),
    Case("backlog-outlives-retention", queue(visible=345_600, delayed=1), DANGER),
    Case("backlog-outlives-retention", summary(queue(visible=1), completed=0), UNKNOWN),
    Case("backlog-outlives-retention", summary(queue(visible=1), seconds="?"), UNKNOWN),
    Case("backlog-outlives-retention", NO_JOURNAL, UNKNOWN),
    Case("backlog-outlives-retention", NO_QUEUE, UNKNOWN),
    Case("no-tables", told(MESSAGE_STATUS_TABLE="", MESSAGE_COMPLETED_TABLE=""), DANGER),
    Case("table-missing", having(status=GONE), DANGER, ("MESSAGE_STATUS_TABLE names gone",)),
    Case("table-missing", NO_TABLE, UNKNOWN),
    Case("table-key", table(key="id (S)"), DANGER, ("id (S)",)),
    Case("table-key", NO_TABLE, UNKNOWN),
    Case("table-key", having(status=GONE), SILENT),
    Case("expiry-off", table(expiry=None), WARNING, ("is off", "1,000 bytes")),
    Case("expiry-off", table(expiry="gone_at"), WARNING, ("on gone_at",)),
    Case("expiry-off", table(expiry=REFUSED), UNKNOWN),
    # 4 + 14 + 4 days
    Case("rows-expire-early", table(rows=Rows(3, 22 * DAY - 1.0)), DANGER, ("22 days",)),
    Case("rows-expire-early", table(rows=Rows(3, 22.0 * DAY)), SILENT),
    Case("rows-expire-early", table(rows=Rows(0, None)), SILENT),
    Case("rows-expire-early", table(having(row_life=DAY), rows=Rows(0, None)), DANGER),
    Case("rows-expire-early", table(having(dlq=None), rows=Rows(3, 8.0 * DAY)), SILENT),
    Case(
        "rows-expire-early",
        table(having(dlq=None), rows=Rows(3, 7.9 * DAY)),
        DANGER,
        ("7.9 days", "8 days", "0 s in the DLQ"),
    ),
    Case("rows-expire-early", table(rows=REFUSED), UNKNOWN),
    Case("rows-expire-early", NO_QUEUE, UNKNOWN),
    Case("unmarked-rows", table(rows=Rows(25, 1e9, 1)), NOTE, ("1 of 25",)),
    Case("unmarked-rows", table(rows=REFUSED), UNKNOWN),
    Case("provisioned", table(write_units=3), DANGER, ("3 write units", "4.0")),
    Case("provisioned", table(write_units=4), NOTE),
    Case("provisioned", table(summary(seconds=0), write_units=4), UNKNOWN),
    Case("provisioned", table(NO_JOURNAL, write_units=4), UNKNOWN),
    Case("provisioned", NO_TABLE, UNKNOWN),
    Case(
        "ledger-outages",
        run(outages=("ThrottlingException: slow", "no answer")),
        WARNING,
        ("2 times", "1 of them throttled", "no answer"),
    ),
    Case("ledger-outages", NO_JOURNAL, UNKNOWN),
    Case("message-ids", seen(deliveries=(delivery(id="sqs-0"),)), WARNING, ("1 message",)),
    Case("message-ids", NO_JOURNAL, UNKNOWN),
    Case(
        "message-ids",
        seen(told(IDEMPOTENCY_KEY="order"), deliveries=(delivery(id="sqs-0"),)),
        SILENT,
    ),
    Case("unkeyed-messages", summary(told(IDEMPOTENCY_KEY="order"), no_key=2), WARNING, ("order",)),
    Case("unkeyed-messages", summary(no_key=2), SILENT),
    Case("unkeyed-messages", told(NO_JOURNAL, IDEMPOTENCY_KEY="order"), UNKNOWN),
    Case("shared-ids", seen(deliveries=(delivery(end=End.CHANGED),)), DANGER, ("id-0",)),
    Case("shared-ids", NO_JOURNAL, UNKNOWN),
    # polling: half a dollar more than with 20 s lies between 1 and 2 s
    Case("empty-receives", SHORT, WARNING, ("$2.07", "5,184,000", "1 empty ones of 3", "=20, and")),
    Case("empty-receives", told(WAIT_TIME_SECONDS="1"), NOTE, ("$1.04", "$0.05")),
    Case("empty-receives", told(WAIT_TIME_SECONDS="2"), SILENT),
    Case("empty-receives", having(SHORT, evidence=REFUSED), WARNING),
    Case("queue-wait", queue(wait=0), NOTE),
    Case("queue-wait", queue(wait=1), SILENT),
    Case("queue-wait", NO_QUEUE, UNKNOWN),
    Case("one-at-a-time", told(**SLOW), NOTE, ("$0.80", "make 0.2, $0.08", "MAX_MESSAGES=10")),
    Case("one-at-a-time", told(MAX_MESSAGES="2"), SILENT),
    Case("one-at-a-time", works(10, facts=told(**SLOW)), NOTE, ("MAX_MESSAGES=2",)),
    Case("one-at-a-time", works(10.1, facts=told(**SLOW)), SILENT),
    Case(
        "one-at-a-time",
        works(10.1, facts=told(**SLOW, HEARTBEAT_SECONDS="9")),
        NOTE,
        ("MAX_MESSAGES=10",),
    ),
    Case("one-at-a-time", told(NO_JOURNAL, **SLOW), UNKNOWN),
    Case("idle-lanes", told(summary(received=17), CONCURRENCY="2"), NOTE, ("more than 1", "8.5")),
    Case("idle-lanes", told(summary(received=18), CONCURRENCY="2"), SILENT),
    Case(
        "idle-lanes",
        told(run(peak=2, summary={**RUN.summary, "received": 3}), CONCURRENCY="2"),
        SILENT,
    ),
    Case(
        "idle-lanes",
        told(summary(received=3, calls={"sqs.ReceiveMessage": 2}), CONCURRENCY="2"),
        NOTE,
        ("3.0 messages",),
    ),
    Case("idle-lanes", told(run(peak=0), CONCURRENCY="2"), UNKNOWN),
    Case("idle-lanes", told(run(summary={}), CONCURRENCY="2"), UNKNOWN),
    Case("idle-lanes", told(NO_JOURNAL, CONCURRENCY="2"), UNKNOWN),
    Case("commit-batch", told(COMMIT_BATCH="6", MAX_MESSAGES="5"), NOTE, ("COMMIT_BATCH=6",)),
    Case("commit-batch", told(COMMIT_BATCH="5", MAX_MESSAGES="5"), SILENT),
    Case("in-flight", queue(in_flight=95_999), SILENT),
    Case("in-flight", queue(in_flight=96_000), WARNING, ("96,000",)),
    Case("in-flight", queue(in_flight=120_000), DANGER),
    Case("in-flight", NO_QUEUE, UNKNOWN),
    # left on or open
    Case("failure-knobs", told(CRASH_RATE="0.2"), DANGER, ("CRASH_RATE=0.2",)),
    Case("failure-knobs", told(CRASH_AFTER_RECEIVE="1"), DANGER, ("CRASH_AFTER_RECEIVE=1",)),
    Case("failure-knobs", told(CRASH_AFTER_SIDE_EFFECT="1"), DANGER),
    Case("failure-knobs", told(CRASH_AT="in-work"), DANGER, ("in-work",)),
    Case("failure-knobs", told(REJECT_PAYLOAD_MARKER="poison"), WARNING, ("'poison'",)),
    Case("failure-knobs", told(LONG_SLEEP_SECONDS="9", LONG_SLEEP_EVERY="2"), WARNING, ("9 s",)),
    Case("ends-by-itself", told(MESSAGE_LIMIT="5"), NOTE, ("5 messages",)),
    Case("ends-by-itself", told(IDLE_TIMEOUT_SECONDS="5"), NOTE, ("5 s",)),
    Case("debug-logs", told(LOG_LEVEL="DEBUG"), NOTE),
    Case("effect-mode", told(EFFECT_URL="http://x/", EFFECT_MODE="naive"), DANGER),
    Case("effect-mode", told(EFFECT_URL="http://x/", EFFECT_MODE="check"), DANGER),
    Case("effect-mode", told(EFFECT_URL="http://x/", EFFECT_MODE="key"), SILENT),
    Case("not-encrypted", queue(encrypted=False), WARNING, ("orders is",)),
    Case("not-encrypted", dlq(encrypted=False), WARNING, ("orders-dlq is",)),
    Case("not-encrypted", NO_QUEUE, UNKNOWN),
    Case("open-policy", policy(OPEN), DANGER, ("orders allows everyone: sqs:*",)),
    Case("open-policy", policy({**OPEN, "Principal": {"AWS": "*"}}), DANGER),
    Case("open-policy", policy({**OPEN, "Principal": {"AWS": ["x", "*"]}}), DANGER),
    Case("open-policy", queue(policy={"Statement": OPEN}), DANGER),
    Case(
        "open-policy",
        policy({**OPEN, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}),
        DANGER,
    ),
    Case(
        "open-policy",
        policy({**OPEN, "Condition": {"ArnLike": {"aws:SourceArn": ARN}}}),
        SILENT,
    ),
    Case("open-policy", policy({**OPEN, "Principal": {"Service": "sns.amazonaws.com"}}), SILENT),
    Case("open-policy", policy({**OPEN, "Principal": {"AWS": ARN}}), SILENT),
    Case("open-policy", NO_QUEUE, UNKNOWN),
    Case("plain-http", queue(policy=None), NOTE),
    Case("plain-http", NO_QUEUE, UNKNOWN),
    Case("fifo", queue(fifo=True), WARNING),
    Case("fifo", NO_QUEUE, UNKNOWN),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.says}")
def test_a_rule_says_what_it_should(case: Case) -> None:
    (rule,) = [one for one in RULES if one.name == case.rule]
    diagnosis = examine(case.facts, [rule])
    found = max((one.severity for one in diagnosis.findings), default=None)
    assert (UNKNOWN if diagnosis.unanswered else found) == case.says, diagnosis
    text = " ".join(f"{one.what} {one.why} {one.fix}" for one in diagnosis.findings)
    assert [word for word in case.words if word not in text] == [], text


def test_nothing_is_found_on_a_healthy_set_and_nothing_stays_open() -> None:
    diagnosis = examine(HEALTHY, RULES)
    assert diagnosis.findings == ()
    assert diagnosis.unanswered == ()


@pytest.mark.parametrize(
    ("visibility", "beat"), [(0, "0.1"), (1, "0.3"), (3, "1"), (10, "3.3"), (30, "10")]
)
def test_a_heartbeat_is_a_third(visibility: int, beat: str) -> None:
    assert beating(visibility) == f"HEARTBEAT_SECONDS={beat}"


def test_receives_are_not_made_up_where_no_journal_tells_of_them() -> None:
    (found,) = examine(having(SHORT, evidence=REFUSED), RULES).findings
    assert "the journal has" not in found.what
    assert found.numbers["receives"] == 0


def test_no_batch_is_told_to_fit_where_not_even_one_message_does() -> None:
    assert fitting_batch((20.1,), 30) == 0
    assert fitting_batch((20.0,), 30) == 1
    assert fitting_batch((0.0,), 30) == 10
    assert "43200 s" in longer(43_199)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_has_its_cases(rule: object) -> None:
    """One where it fires; and where it reads more than settings, one where it does not know."""
    name = rule.name  # type: ignore[attr-defined]
    said = {case.says for case in CASES if case.rule == name}
    assert said & set(Severity), f"{name} fires in no case"
    blind = having(NO_QUEUE, status=REFUSED, completed=REFUSED, evidence=REFUSED)
    unknown = {one.rule for one in examine(blind, RULES).unanswered}
    if name in unknown:
        assert UNKNOWN in said, f"{name} is not known in no case"


def test_names_are_unlike_each_other() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert not [rule for rule in RULES if not rule.asks.endswith("?")]


def every_finding() -> list[Finding]:
    return [one for case in CASES for one in examine(case.facts, RULES).findings]


def test_every_finding_is_whole() -> None:
    for finding in every_finding():
        for text in (finding.what, finding.why, finding.fix):
            assert text.strip(), finding
            assert "None" not in text, finding
            assert "  " not in text, finding
        assert all(isinstance(number, int | float) for number in finding.numbers.values()), finding


def test_blindness_is_told_and_never_health() -> None:
    blind = having(NO_QUEUE, status=REFUSED, completed=REFUSED, evidence=REFUSED)
    diagnosis = examine(blind, RULES)
    assert diagnosis.findings == ()
    only_settings = {"no-tables", "failure-knobs", "ends-by-itself", "debug-logs", "effect-mode"}
    only_settings |= {"commit-batch", "empty-receives", "grace-over-platform"}
    # nothing to know where the feature is off
    off = {"effect-timeout", "heartbeat-against-visibility", "heartbeat-calls"}
    off |= {"one-at-a-time", "idle-lanes", "heartbeat-limit", "unkeyed-messages"}
    told_open = {one.rule for one in diagnosis.unanswered}
    assert {rule.name for rule in RULES} - told_open == only_settings | off


def test_the_worst_comes_first() -> None:
    ill = having(told(CRASH_RATE="1", LOG_LEVEL="DEBUG"), queue=queue(encrypted=False).queue)
    severities = [one.severity for one in examine(ill, RULES).findings]
    assert severities == sorted(severities, reverse=True)
    assert severities[0] is DANGER
    assert len(severities) == 3


def test_the_settings_of_the_healthy_are_those_of_their_journal() -> None:
    assert HEALTHY.settings.max_messages == int(SETTINGS["MAX_MESSAGES"])
    assert len(DELIVERIES) == 20


def test_the_page_lists_every_rule_and_no_other() -> None:
    page = (ROOT / "plans" / "doctor.md").read_text(encoding="utf-8")
    table = page.partition("## The rules")[2].partition("\n## ")[0]
    listed = [name for row in re.findall(r"^\| (`.+?) \|", table, re.M) for name in row.split(", ")]
    assert sorted(name.strip("`") for name in listed) == sorted(rule.name for rule in RULES)
