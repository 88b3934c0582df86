"""The question that cases ask of messages about one order: how each of them ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from checks.invariants import last_seen
from harness.findings import Asked, question
from harness.history import History, Witness
from harness.scenario import Finding

__all__ = ["CHANGED", "DUPLICATE", "EFFECT", "NO_KEY", "ends_per_order"]

EFFECT, DUPLICATE = "effect", "duplicate"
CHANGED, NO_KEY = "payload changed, DLQ", "no key, DLQ"

Ends = Mapping[str, Sequence[str]]
"""For each order, by the name that the case gives it, the ends of its messages."""


@question(
    "ends per order",
    "for each arm and order the ends that the case declares, as many effects in the tables, and in "
    "the DLQ what changed or has no key",
    Witness.PRODUCER,
    Witness.CONSUMERS,
    Witness.TABLES,
    Witness.DLQ,
)
def ends_per_order(asked: Asked, history: History, /, arms: Mapping[str, Ends]) -> Finding:
    """Ends are in any order: which of two messages comes first is the queue's to say."""
    orders = _orders(history)
    wanted = {(arm, name): sorted(ends) for arm, of in arms.items() for name, ends in of.items()}
    found = {place: sorted(_end(history, one) for one in orders.get(place, ())) for place in wanted}
    shows = _table(arms, found)
    unsent = [f"{name} ({arm})" for arm, name in wanted if not orders.get((arm, name))]
    if unsent:
        return asked.unknown(f"nothing was sent for {', '.join(unsent)}", history.folder, shows)
    wrong, ids = [], list[str]()
    for (arm, name), ends in wanted.items():
        messages = orders[arm, name]
        fault = _fault(history, messages, found[arm, name], ends)
        if fault:
            wrong.append(f"{' and '.join(messages)} ({name}, {arm}): {fault}")
            ids += messages
    good = f"{sum(map(len, orders.values()))} messages of {len(orders)} orders, as declared"
    return asked.judged(wrong, history, ids, good, shows)


def _orders(history: History) -> dict[tuple[str, str], list[str]]:
    """The messages of each (arm, order), an order by its name in the case: NAME-xxxxxxxx."""
    found: dict[tuple[str, str], list[str]] = {}
    for event in history.sent:
        order = str(event.data.get("fields", {}).get("order_id", ""))
        place = (str(event.data.get("arm", "")), order.rpartition("-")[0])
        found.setdefault(place, []).append(event.data["id"])
    return found


def _end(history: History, message: str) -> str:
    """How one message ended, as consumers and DLQ tell; else what was seen of it last."""
    told = history.by_id("completed", "already_done", "cached", "payload_changed", "deleted")
    events = {event.name: event for event in told[message]}
    if message in history.dead_lettered:
        reason = str(history.row(message).get("reason", "no reason"))
        if "payload_changed" in events:
            return CHANGED
        return NO_KEY if "IDEMPOTENCY_KEY" in reason else f"in the DLQ: {reason}"
    if "deleted" not in events:
        return last_seen(history, message)
    if "completed" in events and events["completed"].data.get("effect"):
        return EFFECT
    return DUPLICATE


def _fault(
    history: History, messages: Sequence[str], found: Sequence[str], wanted: Sequence[str]
) -> str:
    """What is wrong with the messages of an order; the tables must agree with their ends."""
    if found != wanted:
        return f"{', '.join(found)} where {', '.join(wanted)} was declared"
    rows = [(history.status or {}).get(key, {}) for key in {history.keys[one] for one in messages}]
    effects = sum(int(row.get("effects", 0)) for row in rows)
    if effects != wanted.count(EFFECT):
        return f"{effects} effects in the tables where {wanted.count(EFFECT)} was declared"
    return ""


def _table(arms: Mapping[str, Ends], found: Mapping[tuple[str, str], Sequence[str]]) -> str:
    lines = ["order".ljust(14) + "".join(f"{arm:<32}" for arm in arms)]
    for name in dict.fromkeys(name for ends in arms.values() for name in ends):
        cells = (", ".join(found.get((arm, name), ())) or "-" for arm in arms)
        lines.append(name.ljust(14) + "".join(f"{cell:<32}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)
