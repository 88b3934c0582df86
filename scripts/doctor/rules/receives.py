"""Rules on receives: how many a message has, and who spends them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from doctor.amounts import HOUR, many, span
from doctor.evidence import SPENT
from doctor.facts import Facts, NotKnown
from doctor.findings import DANGER, NOTE, WARNING, Finding, Rules
from doctor.rules.dead_letters import SENSIBLE

RULES = Rules()

DEMO = 2
"""What the sets of this workbench have."""
UNSEEN = 3
"""From this receive on a message does not count in ApproximateAgeOfOldestMessage."""


@RULES.rule("does a message have receives to spare?")
def few_receives(facts: Facts) -> Iterator[Finding]:
    found = facts.queue_with_dlq()
    if not found or found[1] > DEMO:
        return
    queue, most = found
    yield Finding(
        DANGER if most == 1 else NOTE,
        f"maxReceiveCount of {queue.name} is {most}",
        "a receive is spent by a failure, but as well by a crash, a stop, a lost answer or a late "
        + (
            "delete: the first of them dead-letters a healthy message"
            if most == 1
            else "delete: two of them dead-letter a healthy message. The sets of this workbench "
            "have 2 on purpose, so that poison is in the DLQ within seconds"
        ),
        f"maxReceiveCount {SENSIBLE} in production (`max_receive_count` in terraform/variables.tf)",
        {"max_receive_count": most},
    )


@RULES.rule("did messages lose receives without having failed?")
def receives_spent_unfailed(facts: Facts) -> Iterator[Finding]:
    """What other consumers did, only their journals tell."""
    found = facts.queue_with_dlq()
    if not found:
        return
    most, seen = found[1], facts.seen()
    spent = [d for d in seen.ended(*SPENT) if not d.done]
    if not spent:
        if seen.untold:
            raise NotKnown(
                f"{many(seen.untold, 'receive')} in no run that was looked at; "
                "pass the journal of every consumer"
            )
        return
    counts = Counter(delivery.sqs_id for delivery in spent)
    worst, why = max(counts.values()), Counter(delivery.end for delivery in spent)
    if worst < most - 1:
        return
    gone = sum(count >= most for count in counts.values())
    told = ", ".join(f"{count} {end}" for end, count in why.most_common())
    yield Finding(
        DANGER if gone else WARNING,
        f"{many(len(counts), 'message')} spent receives without having failed, up to {worst} of "
        f"the {most} that they have: {told}",
        f"{many(gone, 'message')} used up all of them and went to the DLQ unfailed"
        if gone
        else "one more crash, stop or late delete and the message is in the DLQ, though nothing is "
        "wrong with it",
        f"maxReceiveCount {max(SENSIBLE, worst + 3)}; and stops that finish or give back "
        "(SHUTDOWN_GRACE_SECONDS, SIGTERM before SIGKILL)",
        {"messages": len(counts), "worst": worst, "max_receive_count": most, "dead_lettered": gone},
    )


@RULES.rule("does poison hide from the age metric?")
def hidden_poison(facts: Facts) -> Iterator[Finding]:
    queue = facts.real_queue()
    visibility = facts.visibility()
    most = queue.max_receives
    tries = queue.retention / max(1, visibility) if most is None else most
    hidden = min(queue.retention, (tries - UNSEEN) * visibility)
    if hidden <= HOUR:
        return
    yield Finding(
        WARNING,
        f"a message that fails every time is out of ApproximateAgeOfOldestMessage for "
        f"{span(hidden)}: from its {UNSEEN}rd receive on, and it has "
        + ("no last one" if most is None else f"{most:,}"),
        "SQS leaves messages received three times or more out of that metric (quirk 16), so an "
        "alarm on age is silent while poison circles",
        f"maxReceiveCount {SENSIBLE}, and an alarm on the depth of the DLQ beside the one on age",
        {"hidden_seconds": hidden, "visibility_seconds": visibility},
    )
