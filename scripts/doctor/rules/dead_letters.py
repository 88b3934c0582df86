"""Rules on the DLQ: whether there is one that keeps what it gets, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator

from doctor.amounts import many, some, span
from doctor.evidence import CLOCK_SLACK, End
from doctor.facts import Facts, Missing, NotKnown, Unknown, known
from doctor.findings import DANGER, NOTE, WARNING, Finding, Rules

RULES = Rules()

SENSIBLE = 5
"""Receives that leave room for two crashes or stops beside three honest tries."""


@RULES.rule("is there a DLQ?")
def no_dlq(facts: Facts) -> Iterator[Finding]:
    queue = facts.real_queue()
    if queue.max_receives is None:
        visibility = max(1, facts.visibility())
        times = queue.retention // visibility
        yield Finding(
            DANGER,
            f"{queue.name} has no redrive policy",
            f"a message that cannot be processed comes back every {span(visibility)} for "
            f"{span(queue.retention)}, up to {times:,} times, and is then deleted unseen",
            f"a DLQ and a redrive policy with maxReceiveCount {SENSIBLE}",
            {"retention_seconds": queue.retention, "receives_of_a_poison_message": times},
        )


@RULES.rule("does the DLQ exist?")
def dlq_missing(facts: Facts) -> Iterator[Finding]:
    dlq = known(facts.dlq)
    if isinstance(dlq, Missing):
        yield Finding(
            DANGER,
            f"the redrive policy names {dlq.name}, which does not exist",
            "there is nowhere to move a message that has used up its receives",
            f"create {dlq.name}, or name another queue",
        )


@RULES.rule("is the DLQ another queue than the queue?")
def dlq_is_itself(facts: Facts) -> Iterator[Finding]:
    queue = facts.real_queue()
    if queue.dlq_arn == queue.arn:
        yield Finding(
            DANGER,
            f"{queue.name} is its own DLQ",
            "poison stays among the good messages and is received again and again",
            "a redrive policy that names another queue",
        )


@RULES.rule("does somebody consume the DLQ?")
def dlq_consumed(facts: Facts) -> Iterator[Finding]:
    dlq = facts.real_dlq()
    if dlq and dlq.arn != facts.real_queue().arn and dlq.in_flight:
        yield Finding(
            WARNING,
            f"{many(dlq.in_flight, 'message')} of {dlq.name} are in flight: somebody receives from "
            "the DLQ",
            "dead letters that a consumer takes are not there when a person looks for them",
            "find that consumer and stop it, unless it is a redrive under way",
            {"in_flight": dlq.in_flight},
        )


@RULES.rule("does the DLQ serve this queue alone?")
def dlq_shared(facts: Facts) -> Iterator[Finding]:
    dlq = facts.real_dlq()
    sources = known(dlq.sources) if dlq else ()
    if dlq and len(sources) > 1:
        others = [name for name in sources if name != facts.real_queue().name]
        yield Finding(
            NOTE,
            f"{dlq.name} is the DLQ of {len(sources)} queues, also of {some(others)}",
            "its depth does not say whose messages failed, and the retention must suit all of them",
            "a DLQ for each queue",
            {"sources": len(sources)},
        )


@RULES.rule("do messages stay in the DLQ?")
def dlq_chain(facts: Facts) -> Iterator[Finding]:
    dlq = facts.real_dlq()
    if dlq and dlq.arn != facts.real_queue().arn and dlq.max_receives is not None:
        yield Finding(
            WARNING,
            f"{dlq.name} has a redrive policy of its own, after {dlq.max_receives} receives",
            "whoever looks at a dead letter so often moves it on, to where nobody looks",
            f"no redrive policy on {dlq.name}",
            {"max_receive_count": dlq.max_receives},
        )


@RULES.rule("does the DLQ take this queue's messages?")
def dlq_refuses(facts: Facts) -> Iterator[Finding]:
    dlq, queue = facts.real_dlq(), facts.real_queue()
    allow = (dlq and dlq.takes_from) or {}
    permission = allow.get("redrivePermission", "allowAll")
    refused = permission == "byQueue" and queue.arn not in allow.get("sourceQueueArns", ())
    if dlq and (permission == "denyAll" or refused):
        yield Finding(
            DANGER,
            f"the redrive allow policy of {dlq.name} does not name {queue.name}",
            "SQS may not move this queue's dead letters there",
            f"{queue.arn} among sourceQueueArns of {dlq.name}",
        )


@RULES.rule("is this queue somebody's DLQ?")
def reads_a_dlq(facts: Facts) -> Iterator[Finding]:
    queue = facts.real_queue()
    others = [name for name in known(queue.sources) if name != queue.name]
    if others:
        yield Finding(
            WARNING,
            f"QUEUE_URL names {queue.name}, which is the DLQ of {some(others)}",
            "this consumer works off dead letters as if they were new",
            "QUEUE_URL of the queue itself",
            {"sources": len(others)},
        )


@RULES.rule("is the DLQ empty?")
def dlq_holds(facts: Facts) -> Iterator[Finding]:
    dlq = facts.real_dlq()
    if dlq and dlq.arn != facts.real_queue().arn and dlq.visible:
        yield Finding(
            WARNING,
            f"{many(dlq.visible, 'message')} in {dlq.name}",
            f"each is deleted {span(dlq.retention)} after it was first sent, looked at or not",
            "`scripts/redrive.py inspect` shows them with the reasons; fix the cause, then `move` "
            "them",
            {"messages": dlq.visible, "dlq_retention_seconds": dlq.retention},
        )


@RULES.rule("were messages of the DLQ completed all the same?")
def completed_in_dlq(facts: Facts) -> Iterator[Finding]:
    """A look into the DLQ settles it; else the journals tell of completed ones without a delete."""
    if isinstance(facts.peeked, Unknown):
        raise NotKnown(facts.peeked.reason)
    if facts.peeked is not None:
        ids, where = facts.peeked.completed, f"of {facts.peeked.opened} that were opened"
    else:
        ids, where = _undeleted(facts), "by the journal"
    if ids:
        yield Finding(
            WARNING,
            f"{many(len(ids), 'message')} {where}: completed and yet in the DLQ, or on the way "
            f"there at the next receive: {some(ids)}",
            "their work is done, but the delete came after the visibility timeout had expired; a "
            "DLQ may contain finished work",
            "do not redo them by hand: `scripts/redrive.py move --drop-completed` removes them, "
            "and the claim of a redriven one finds it completed; fix the late finishes",
            {"completed": len(ids)},
        )
    elif facts.peeked is None:
        _doubt(facts)


def _doubt(facts: Facts) -> None:
    """Raises NotKnown where only a look into the DLQ could tell."""
    dlq, found = facts.real_dlq(), facts.queue_with_dlq()
    if dlq and dlq.visible:
        raise NotKnown(f"{many(dlq.visible, 'message')} in the DLQ; --peek opens them")
    late = [d for d in facts.seen().deliveries if d.end is End.DELETED and d.late > CLOCK_SLACK]
    last = [d for d in late if found and d.receive_count >= found[1]]
    if last:
        raise NotKnown(
            f"{many(len(last), 'late delete')} at a last receive: SQS says yes to such a delete "
            "and may delete nothing (quirk 3); --peek opens the DLQ"
        )


def _undeleted(facts: Facts) -> tuple[str, ...]:
    """Completed messages whose last receive was their last one, and whose delete failed."""
    found = facts.queue_with_dlq()
    if not found:
        return ()
    done: dict[str, str] = {}
    deliveries = facts.seen().deliveries
    gone = {delivery.sqs_id for delivery in deliveries if delivery.end is End.DELETED}
    completed = {delivery.sqs_id for delivery in deliveries if delivery.done}
    for delivery in deliveries:
        is_last = delivery.receive_count >= found[1] and delivery.end is not End.IN_HAND
        if is_last and delivery.sqs_id in completed - gone:
            done[delivery.sqs_id] = delivery.id
    return tuple(done.values())
