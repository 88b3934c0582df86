"""The questions that cases ask of a redrive: what was moved, and which ids lived through it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from checks.invariants import completed_ids, last_seen
from harness.findings import Asked, question
from harness.history import Event, History, Witness
from harness.scenario import Finding

__all__ = ["ids_survive", "moved_and_completed"]


@question(
    "moved and completed",
    "each poison message moved by the script, each moved one completed, the DLQ empty",
    Witness.PRODUCER,
    Witness.SCRIPTS,
    Witness.TABLES,
    Witness.DLQ,
)
def moved_and_completed(asked: Asked, history: History) -> Finding:
    """The script says what it moved, tables and DLQ what became of that."""
    moves = Counter(event.id for event in history.scripted("sent"))
    done = completed_ids(history)
    wrong = {key: "was not moved" for key in history.poison if not moves[key]}
    for key, times in moves.items():
        if times > 1:
            wrong[key or ""] = f"was moved {times} times"
        elif key in history.dead_lettered:
            wrong[key or ""] = "was moved and is in the DLQ"
        elif key not in done:
            wrong[key or ""] = "was moved and not completed"
    second = sum(max(0, row.get("effects", 0) - 1) for row in (history.status or {}).values())
    good = f"{len(moves)} moved, {len(moves)} completed, {second} second effects, DLQ empty"
    told = [f"{key}: {fault}, {last_seen(history, key)}" for key, fault in sorted(wrong.items())]
    return asked.judged(told, history, sorted(wrong), good)


@question(
    "ids survive the move",
    "each moved message delivered under its id and a new MessageId, its effect once",
    Witness.PRODUCER,
    Witness.CONSUMERS,
    Witness.SCRIPTS,
    Witness.TABLES,
)
def ids_survive(asked: Asked, history: History) -> Finding:
    """Those completed before the move are the test: under a new key they would be done again."""
    moves = history.scripted("sent")
    before = [event for event in moves if _completed_before(history, event)]
    shows = _table(history, moves)
    faults = {event.id or "": _lost_identity(history, event) for event in moves}
    odd = [key for key, fault in faults.items() if fault]
    if not before and not odd:
        seen = f"none of {len(moves)} moved had been completed before"
        return asked.unknown(seen, history.folder, shows)
    wrong = [f"{key}: {faults[key]}" for key in odd]
    good = f"{len(moves)} under their ids, {len(before)} of them found done; no MessageId survived"
    return asked.judged(wrong, history, odd, good, shows)


def _completed_before(history: History, move: Event) -> bool:
    old = move.data["sqs_id"]
    return any(event.data["sqs_id"] == old for event in history.by_id("completed")[move.id or ""])


def _lost_identity(history: History, move: Event) -> str:
    old, new = move.data["sqs_id"], move.data["new_sqs_id"]
    received = history.by_id("received")[move.id or ""]
    if new == old or not any(event.data["sqs_id"] == new for event in received):
        return f"nobody received it as {new}"
    effects = (history.status or {}).get(move.id or "", {}).get("effects", 0)
    return f"effects {effects}" if effects != 1 else ""


def _table(history: History, moves: Sequence[Event]) -> str:
    """What each way of telling messages apart makes of the same deliveries."""
    lines = [
        "effects by key       MessageId in the DLQ    after the move    its id    its MessageId",
    ]
    for move in moves:
        effects = (history.status or {}).get(move.id or "", {}).get("effects", 0)
        # Under its new MessageId nothing is known of it, so it is done there whatever came before.
        by_message_id = 1 + _completed_before(history, move)
        old, new = move.data["sqs_id"][:8], move.data["new_sqs_id"][:8]
        name = f"{(move.id or '')[:8]}{', was done' if by_message_id > 1 else ''}"
        lines.append(f"{name:<21}{old:<24}{new:<18}{effects:>6}{by_message_id:>17}")
    return "\n".join(lines)
