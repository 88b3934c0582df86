"""The questions that cases ask about work that outlasts the visibility timeout, and its extension.

Pure, from a history to a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.deliveries import (
    RECEIVE_SLACK,
    SQS_OR_CONSUMER,
    early,
    hidden_until,
    rare,
    redeliveries,
    repeated,
)
from harness.findings import Asked, numbers, question, some, span, table, trace
from harness.history import Event, History, Witness
from harness.scenario import Finding

__all__ = ["extended_to_the_limit", "late_finish_without_effect", "receives"]

JOURNALS = (Witness.PRODUCER, Witness.CONSUMERS)


@question("receives", "each message received as often as the table of the case says", *JOURNALS)
def receives(asked: Asked, history: History, /, **arms: int) -> Finding:
    """`arms`: for each arm of the case, how often each of its messages is received."""
    received = history.by_id("received")
    of_arm = {arm: [k for k, other in history.arms.items() if other == arm] for arm in arms}
    shows = _receives_table(history, of_arm)
    unseen = [arm for arm, keys in of_arm.items() if not keys]
    if unseen:
        return asked.unknown(f"nothing was sent for {', '.join(unseen)}", history.folder, shows)
    odd = [(arm, k) for arm, keys in of_arm.items() for k in keys if len(received[k]) != arms[arm]]
    wrong = [
        f"{k}: received {len(received[k])} times where {arms[arm]} was expected ({arm})"
        for arm, k in odd
    ]
    soon = [second.id for _, second in early(history)]
    by_sqs = all(len(received[k]) == arms[arm] + soon.count(k) for arm, k in odd)
    if odd and by_sqs and rare(soon, redeliveries(history)):
        seen = f"{some(wrong)}: {SQS_OR_CONSUMER}"
        return asked.unknown(seen, trace(history, [k for _, k in odd][:3]), shows)
    good = ", ".join(f"{arm} {times}" for arm, times in arms.items())
    return asked.judged(wrong, history, [k for _, k in odd], good, shows)


def _receives_table(history: History, of_arm: dict[str, list[str]]) -> str:
    received, done = history.by_id("received"), history.by_id("completed")
    rows = {}
    for arm, keys in of_arm.items():
        effects = [bool(event.data.get("effect")) for key in keys for event in done[key]]
        rows[arm] = (
            str(len(keys)),
            numbers([len(received[key]) for key in keys]),
            span([b.t - a.t for key in keys for a, b in pairwise(received[key])]),
            str(effects.count(True)),
            str(effects.count(False)),
        )
    heads = ("messages", "receives", "back after, s", "effects", "late finishes")
    return table("arm", heads, rows)


@question(
    "extended to the limit",
    "each message of {arm} extended, then once no more, and received by another when it expired",
    *JOURNALS,
)
def extended_to_the_limit(asked: Asked, history: History, arm: str) -> Finding:
    keys = [key for key, other in history.arms.items() if other == arm]
    received, told = history.by_id("received"), history.by_id("extended", "extend_ended")
    if not keys or not all(received[key] for key in keys):
        return asked.unknown(f"not every message of {arm} was received", history.folder)
    faults = {key: fault for key in keys if (fault := _overheld(history, received[key], told[key]))}
    wrong = [f"{key}: {fault}" for key, fault in faults.items()]
    if faults and faults.keys() <= repeated(history) and rare(list(faults), keys):
        return asked.unknown(f"{some(wrong)}: {SQS_OR_CONSUMER}", trace(history, list(faults)[:3]))
    gaps = [b.t - a.t for key in keys for a, b in pairwise(received[key])]
    good = f"{len(keys)} messages, back after {span(gaps)} s"
    return asked.judged(wrong, history, list(faults), good)


def _overheld(history: History, received: Sequence[Event], told: Sequence[Event]) -> str:
    """What is wrong with the first delivery of a message whose holder hangs."""
    first = received[0]
    names = [event.name for event in told if event.delivery == first.delivery]
    if names.count("extend_ended") != 1:
        return f"the end of its extensions was told {names.count('extend_ended')} times"
    if names[-1] != "extend_ended" or "extended" not in names:
        return f"its extensions were {', '.join(names)}"
    second = next((event for event in received[1:] if event.who != first.who), None)
    if second is None:
        return "no other consumer received it"
    left = hidden_until(history, first) - second.t
    return f"received again {left:.1f} s before its time" if left > RECEIVE_SLACK else ""


@question(
    "late finish without effect",
    "each message of {arms} has its effect by the heir, and none by the holder, which ends later",
    *JOURNALS,
)
def late_finish_without_effect(asked: Asked, history: History, arms: Sequence[str]) -> Finding:
    """The holder works on, unaware; what it completes at last is refused by the gate."""
    keys = [key for key, arm in history.arms.items() if arm in arms]
    received, done = history.by_id("received"), history.by_id("completed")
    faults = {key: fault for key in keys if (fault := _effect(received[key], done[key]))}
    if faults:
        wrong = [f"{key}: {fault}" for key, fault in faults.items()]
        return asked.judged(wrong, history, list(faults), "")
    absent = [key for key in keys if all(event.data.get("effect") for event in done[key])]
    if absent or not keys:
        return asked.unknown(f"nobody finished late: {some(absent)}", trace(history, absent[:3]))
    return asked.passed(f"{len(keys)} late finishes, no effect")


def _effect(received: Sequence[Event], done: Sequence[Event]) -> str:
    """What is wrong with who made the effect of this message."""
    effects = [event.who for event in done if event.data.get("effect")]
    if len(effects) > 1:
        return f"{len(effects)} effects"
    return "its first holder made the effect" if effects == [received[0].who] else ""
