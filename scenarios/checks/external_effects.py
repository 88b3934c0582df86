"""The questions that cases ask of services: charges, how sagas ended, and which faults were met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from checks.invariants import last_seen
from harness.findings import Asked, question, trace
from harness.history import Event, History, Row, Witness
from harness.scenario import Finding

__all__ = ["charges_per_order", "crashed_at_each", "faults_met", "sagas_whole"]

NO_CRASH, TWO_AT_ONCE = "no-crash", "two-at-once"
MOMENTS = {
    NO_CRASH: "no crash",
    "before-charge": "before the call",
    "after-charge": "after the call",
    "after-complete": "after the record",
    TWO_AT_ONCE: "two at once",
}
"""What befell an order, by crash point, and the heading of its column."""

SHIPPED = ("reserve", "charge", "ship")
TAKEN_BACK = ("reserve", "charge", "ship-refused", "cancel", "refund", "release")


@question(
    "charges per order",
    "as many charges as the table of the case says, for each way and moment",
    Witness.PRODUCER,
    Witness.CONSUMERS,
    Witness.SERVICES,
)
def charges_per_order(asked: Asked, history: History, /, **ways: Sequence[int]) -> Finding:
    """`ways`: for each way (an arm of the case), charges per order in the order of MOMENTS."""
    charges = Counter(e.id for e in history.served("done") if e.data["action"] == "charge")
    found = _by_moment(history)
    wanted = {
        (way, moment): number
        for way, numbers in ways.items()
        for moment, number in zip(MOMENTS, numbers, strict=True)
    }
    unseen = [f"{way}, {MOMENTS[moment]}" for way, moment in wanted if not found.get((way, moment))]
    shows = _table(ways, found, charges)
    if unseen:
        return asked.unknown(f"no order met: {'; '.join(unseen)}", history.folder, shows)
    odd = [
        (way, moment, key)
        for (way, moment), number in wanted.items()
        for key in found[way, moment]
        if charges[key] != number
    ]
    wrong = [
        f"{key}: {charges[key]} charges where {wanted[way, moment]} was expected "
        f"({way}, {MOMENTS[moment]})"
        for way, moment, key in odd
    ]
    good = f"{sum(charges.values())} charges of {len(history.ids)} orders, as expected"
    return asked.judged(wrong, history, [key for *_, key in odd], good, shows)


def _by_moment(history: History) -> dict[tuple[str, str], list[str]]:
    """The orders of each (way, moment); an order that two crashes met stands in two places."""
    held = {event.id for event in history.served("held")}
    crashes = history.by_id("crash")
    found: dict[tuple[str, str], list[str]] = {}
    for key, way in history.arms.items():
        points = {str(event.data["point"]) for event in crashes[key]}
        for moment in points or {TWO_AT_ONCE if key in held else NO_CRASH}:
            found.setdefault((way, moment), []).append(key)
    return found


def _table(
    ways: Mapping[str, Sequence[int]],
    found: Mapping[tuple[str, str], Sequence[str]],
    charges: Mapping[str | None, int],
) -> str:
    lines = ["charges per order".ljust(18) + "".join(f"{name:>18}" for name in MOMENTS.values())]
    for way in ways:
        cells = []
        for moment in MOMENTS:
            numbers = sorted({charges[key] for key in found.get((way, moment), ())})
            cells.append(f"{' or '.join(map(str, numbers)) or '-':>18}")
        lines.append(way.ljust(18) + "".join(cells))
    return "\n".join(lines)


@question(
    "sagas whole",
    "each order charged and shipped, or refunded and cancelled, each call once in effect",
    Witness.PRODUCER,
    Witness.TABLES,
    Witness.SERVICES,
)
def sagas_whole(asked: Asked, history: History) -> Finding:
    """The services' ledger says what happened, the status row what the consumers believe."""
    effects: dict[str, list[str]] = {key: [] for key in history.ids}
    for event in history.served("done", "refused"):
        if event.id in effects:
            effects[event.id].append(_entry(event))
    faults = {key: _saga_fault(done, history.row(key)) for key, done in effects.items()}
    odd = [key for key, fault in faults.items() if fault]
    wrong = [f"{key}: {faults[key]}, {last_seen(history, key)}" for key in odd]
    ends = Counter(tuple(done) for done in effects.values())
    good = f"{ends[SHIPPED]} charged and shipped, {ends[TAKEN_BACK]} refunded and cancelled"
    if not odd and not all((ends[SHIPPED], ends[TAKEN_BACK])):
        return asked.unknown(f"only one end was met: {good}", history.folder)
    return asked.judged(wrong, history, odd, good)


def _entry(event: Event) -> str:
    return str(event.data["action"]) + ("-refused" if event.name == "refused" else "")


def _saga_fault(done: Sequence[str], row: Row) -> str:
    if tuple(done) not in (SHIPPED, TAKEN_BACK):
        return f"the services did {', '.join(done) or 'nothing'}"
    believed = str(row.get("saga", "")).strip()
    if believed.split() != list(done):
        return f"the services did {', '.join(done)}, its row says {believed or 'nothing'}"
    return ""


@question(
    "crashed at each boundary",
    "a crash at each of {points}",
    Witness.PRODUCER,
    Witness.CONSUMERS,
)
def crashed_at_each(asked: Asked, history: History, points: Sequence[str]) -> Finding:
    met = Counter(event.data["point"] for event in history.events("crash"))
    absent = [point for point in points if not met[point]]
    if absent:
        return asked.unknown(f"none at {', '.join(absent)}", trace(history, ["crash"]))
    return asked.passed(f"{met.total()} crashes at {len(met)} boundaries")


@question("faults met", "at least one fault of each kind on each operation", Witness.SERVICES)
def faults_met(asked: Asked, history: History, /, **kinds: Sequence[str]) -> Finding:
    """`kinds`: for each event of a service that makes calls fail, the operations that meet it."""
    met = Counter((e.name, e.data.get("operation")) for e in history.served(*kinds))
    wanted = [(kind, name) for kind, names in kinds.items() for name in names]
    absent = [
        f"no {kind.replace('_', ' ')} of {name}" for kind, name in wanted if not met[kind, name]
    ]
    if absent:
        return asked.unknown("; ".join(absent), history.folder)
    counts = Counter(event.name for event in history.served(*kinds))
    good = ", ".join(f"{counts[kind]} {kind.replace('_', ' ')}" for kind in kinds)
    return asked.passed(good)
