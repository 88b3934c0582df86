"""Facts for the doctor, made up: a healthy queue and consumer, and ways to make them ill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from doctor.evidence import Delivery, End, Evidence, Run
from doctor.facts import Facts, Missing, Queue, Rows, Table, Unknown
from local_stack.provision import tls_only
from sqs_worker.rows import KEEP_SECONDS
from sqs_worker.settings import read

ARN = "arn:aws:sqs:us-west-1:123456789012:orders"
DAY = 86_400
REFUSED = Unknown("refused")

QUEUE = Queue(
    name="orders",
    arn=ARN,
    visibility=30,
    wait=20,
    retention=4 * DAY,
    max_receives=5,
    dlq_arn=f"{ARN}-dlq",
    encrypted=True,
    policy=tls_only(ARN),
)
DLQ = Queue(
    name="orders-dlq",
    arn=f"{ARN}-dlq",
    retention=14 * DAY,
    encrypted=True,
    policy=tls_only(f"{ARN}-dlq"),
    takes_from={"redrivePermission": "byQueue", "sourceQueueArns": [ARN]},
    sources=("orders",),
)
TABLE = Table(
    name="orders-status",
    key="message_id (S)",
    write_units=None,
    size_bytes=1000,
    expiry="expires_at",
    rows=Rows(25, KEEP_SECONDS - 1.0),
)
SETTINGS = {
    "QUEUE_URL": "https://sqs.us-west-1.amazonaws.com/123456789012/orders",
    "MESSAGE_STATUS_TABLE": "orders-status",
    "MESSAGE_COMPLETED_TABLE": "orders-completed",
    "MAX_MESSAGES": "10",
    "WAIT_TIME_SECONDS": "20",
}
SUMMARY = {
    "received": 20,
    "completed": 20,
    "empty_receives": 1,
    "write_units": 80,
    "seconds": 20.0,
    "calls": {"sqs.ReceiveMessage": 3},
}
RUN = Run("consumer-1", "signal", None, alive=False, peak=1, summary=SUMMARY)


def delivery(place: int = 0, **changed: Any) -> Delivery:
    """A message that was worked on for a second and deleted."""
    whole = Delivery(f"id-{place}", f"sqs-{place}", 1, End.DELETED, 1.0, -20.0, done=True)
    return replace(whole, **changed)


DELIVERIES = tuple(delivery(place) for place in range(20))
EVIDENCE = Evidence(
    files=("consumer",),
    torn=(),
    runs=(RUN,),
    deliveries=DELIVERIES,
    settings={
        name: int(value) if value.isdecimal() else value
        for name, value in SETTINGS.items()
        if name != "QUEUE_URL"
    },
)
HEALTHY = Facts(
    settings=read(SETTINGS),
    queue=QUEUE,
    dlq=DLQ,
    status=TABLE,
    completed=replace(TABLE, name="orders-completed"),
    evidence=EVIDENCE,
    row_life=KEEP_SECONDS,
)


def having(facts: Facts = HEALTHY, **changed: Any) -> Facts:
    """The facts with other ones in their place."""
    return replace(facts, **changed)


def told(facts: Facts = HEALTHY, **variables: str) -> Facts:
    """With these variables in the consumer's environment."""
    return replace(facts, settings=read({**SETTINGS, **variables}))


def queue(facts: Facts = HEALTHY, **changed: Any) -> Facts:
    return replace(facts, queue=replace(QUEUE, **changed))


def dlq(facts: Facts = HEALTHY, **changed: Any) -> Facts:
    return replace(facts, dlq=replace(DLQ, **changed))


def table(facts: Facts = HEALTHY, **changed: Any) -> Facts:
    return replace(facts, completed=replace(TABLE, name="orders-completed", **changed))


def seen(facts: Facts = HEALTHY, **changed: Any) -> Facts:
    """With other evidence from the journals, on top of what is changed already."""
    evidence = facts.evidence if isinstance(facts.evidence, Evidence) else EVIDENCE
    return replace(facts, evidence=replace(evidence, **changed))


def works(*seconds: float, facts: Facts = HEALTHY) -> Facts:
    """With works of these lengths in the journal."""
    return seen(facts, deliveries=tuple(delivery(n, work=one) for n, one in enumerate(seconds)))


def run(facts: Facts = HEALTHY, **changed: Any) -> Facts:
    return seen(facts, runs=(replace(RUN, **changed),))


def summary(facts: Facts = HEALTHY, **changed: Any) -> Facts:
    return run(facts, summary={**SUMMARY, **changed})


NO_QUEUE = having(queue=REFUSED, dlq=REFUSED)
NO_DLQ = having(dlq=REFUSED)
NO_JOURNAL = having(evidence=REFUSED)
NO_TABLE = having(completed=REFUSED)
GONE = Missing("gone")
