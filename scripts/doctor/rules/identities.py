"""Rules on what a message is known by: ids of its own, business keys, one body for each."""

from __future__ import annotations

from collections.abc import Iterator

from doctor.amounts import many, some
from doctor.evidence import End
from doctor.facts import Facts
from doctor.findings import DANGER, WARNING, Finding, Rules

RULES = Rules()


@RULES.rule("do messages carry an id of their own?")
def message_ids(facts: Facts) -> Iterator[Finding]:
    if facts.settings.idempotency_key:  # what is done is known by that, in whatever message
        return
    deliveries = facts.seen().deliveries
    bare = {delivery.sqs_id for delivery in deliveries if delivery.id == delivery.sqs_id}
    if bare:
        yield Finding(
            WARNING,
            f"{many(len(bare), 'message')} had no `id` in the payload and are keyed by MessageId",
            "a redrive from the DLQ gives a new MessageId (quirk 4), so a message that was done is "
            "done again",
            "an `id` from the producer in each payload",
            {"messages": len(bare)},
        )


@RULES.rule("has every message a business key, where one is asked for?")
def unkeyed_messages(facts: Facts) -> Iterator[Finding]:
    if not facts.settings.idempotency_key:
        return
    unkeyed = int(facts.seen().total("no_key"))
    if unkeyed:
        yield Finding(
            WARNING,
            f"{many(unkeyed, 'delivery')} had no key by IDEMPOTENCY_KEY="
            f"{facts.settings.idempotency_key!r}",
            "a message without a key is refused, comes back and ends in the DLQ; nothing falls "
            "back to its id",
            "an expression that finds a value in every payload, or producers that send one",
            {"deliveries": unkeyed},
        )


@RULES.rule("has each id one body?")
def shared_ids(facts: Facts) -> Iterator[Finding]:
    changed = {d.id for d in facts.seen().deliveries if d.end is End.CHANGED}
    if changed:
        yield Finding(
            DANGER,
            f"{many(len(changed), 'id')} came with another body than the one that was completed: "
            f"{some(sorted(changed))}",
            "the second message is never done: it is left in the queue and ends in the DLQ",
            "an id of its own for every message; send those in the DLQ again under one",
            {"ids": len(changed)},
        )
