"""Each question about the external services, against histories that pass, fail and are unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from checks import external_effects
from checks.external_effects import (
    MOMENTS,
    charges_per_order,
    crashed_at_each,
    faults_met,
    sagas_whole,
)
from harness.findings import ask
from harness.history import Event, History, Journal, Witness
from harness.scenario import Check, Verdict

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
Tell = Callable[[Any], History]
Line = tuple[str, str, str]
SHIPPED = ["reserve", "charge", "ship"]
TAKEN_BACK = [*SHIPPED[:2], "ship-refused", "cancel", "refund", "release"]


def ledger(*lines: Line) -> Journal:
    """Each line: (event, order, action)."""
    events = [
        Event(float(place), "shop", name, place, {"id": order, "action": action})
        for place, (name, order, action) in enumerate(lines, start=1)
    ]
    start = Event(0.0, "shop", "start", 0, {"url": "http://127.0.0.1:1"})
    return Journal("payments", (start, *events))


def charged(tell: Any, charges: dict[str, int], points: dict[str, str], held: str = "") -> History:
    """Orders of the one way `key`: what each was charged, and at which point one was crashed."""
    sent = [Event(0.1, "p", "sent", 1, {"id": key, "index": 0, "arm": "key"}) for key in charges]
    told = [("crash", key, 1.0, {"point": point}) for key, point in points.items()]
    done = [("done", key, "charge") for key, times in charges.items() for _ in range(times)]
    return replace(
        tell.good(),
        producer=Journal("producer", tuple(sent)),
        consumers=(tell.journal("consumer-1", ("start", None, 0.0, {}), *told),),
        services=(ledger(*done, *((("held", held, "charge"),) if held else ())),),
    )


POINTS = {"b": "before-charge", "c": "after-charge", "d": "after-complete"}
ONCE = dict.fromkeys("abcde", 1)


def saga(tell: Any, *told: Sequence[str], rows: Sequence[str] | None = None) -> History:
    """Orders a, b, ...: what the services did for each, and what its row says (the same)."""
    ids = "abcdef"[: len(told)]
    lines = [
        ("refused" if entry.endswith("-refused") else "done", key, entry.removesuffix("-refused"))
        for key, entries in zip(ids, told, strict=True)
        for entry in entries
    ]
    says = rows or [" ".join(entries) for entries in told]
    status = {key: tell.row(saga=text) for key, text in zip(ids, says, strict=True)}
    return replace(
        tell.good(), producer=tell.producer(ids), status=status, services=(ledger(*lines),)
    )


def crashes(tell: Any, *points: str) -> History:
    return tell.told(*[("crash", "a", 1.0, {"point": point}) for point in ("start", *points)])


def met(tell: Any, *operations: str) -> History:
    """A service that throttled these."""
    told = [Event(1.0, "d", "throttled", n, {"operation": o}) for n, o in enumerate(operations)]
    return replace(tell.good(), services=(Journal("dynamodb", tuple(told)),))


CASES: list[tuple[Check, Tell, Tell, Tell]] = [
    (
        charges_per_order(key=(1, 1, 1, 1, 1)),
        lambda t: charged(t, ONCE, POINTS, held="e"),
        lambda t: charged(t, ONCE | {"c": 2}, POINTS, held="e"),
        lambda t: charged(t, ONCE, POINTS),
    ),
    (
        sagas_whole(),
        lambda t: saga(t, SHIPPED, TAKEN_BACK),
        lambda t: saga(t, SHIPPED, TAKEN_BACK[:5]),
        lambda t: saga(t, SHIPPED, SHIPPED),
    ),
    (
        crashed_at_each(("before-ship", "after-ship")),
        lambda t: crashes(t, "before-ship", "after-ship"),
        lambda t: crashes(t, "before-ship"),  # no proof of a fault: only the lesson is missing
        lambda t: t.good(consumers=()),
    ),
    (
        faults_met(throttled=("PutItem",)),
        lambda t: met(t, "PutItem"),
        lambda t: met(t, "UpdateItem"),  # no proof of a fault either
        lambda t: t.good(services=()),
    ),
]
MAY_BE_UNMET = {"crashed at each boundary", "faults met"}
NAMES = [case[0].name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_passes_fails_and_is_unknown(case: tuple[Check, Tell, Tell, Tell], tell: Any) -> None:
    check, good, bad, unsure = case
    assert ask(check, good(tell)).verdict is PASS
    wrong = ask(check, bad(tell))
    assert wrong.verdict is (UNKNOWN if check.name in MAY_BE_UNMET else FAIL)
    assert wrong.look_at
    assert ask(check, unsure(tell)).verdict is UNKNOWN


def test_every_question_is_here() -> None:
    assert len(CASES) == len(external_effects.__all__)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_no_check_passes_without_a_witness_it_reads(
    case: tuple[Check, Tell, Tell, Tell], tell: Any
) -> None:
    gone: dict[Witness, dict[str, Any]] = {
        Witness.PRODUCER: {"producer": None},
        Witness.CONSUMERS: {"consumers": ()},
        Witness.TABLES: {"status": None},
        Witness.SERVICES: {"services": ()},
    }
    for witness in case[0].reads:
        assert ask(case[0], replace(case[1](tell), **gone[witness])).verdict is UNKNOWN, witness


@pytest.mark.parametrize("charges", [0, 2])
@pytest.mark.parametrize("order", list("abcde"))
def test_a_charge_too_few_or_too_many_is_named_with_its_moment(
    order: str, charges: int, tell: Any
) -> None:
    history = charged(tell, ONCE | {order: charges}, POINTS, held="e")
    finding = ask(charges_per_order(key=(1, 1, 1, 1, 1)), history)
    moment = list(MOMENTS.values())["abcde".index(order)]
    assert finding.seen == f"{order}: {charges} charges where 1 was expected (key, {moment})"


def test_the_table_is_shown_whatever_the_verdict(tell: Any) -> None:
    for charges in (1, 2):
        history = charged(tell, ONCE | {"c": charges}, POINTS, held="e")
        head, row = ask(charges_per_order(key=(1, 1, 1, 1, 1)), history).shows.splitlines()
        assert head.split("  ")[0] == "charges per order"
        assert row.split() == ["key", "1", "1", str(charges), "1", "1"]


def test_a_table_that_expects_more_can_be_asked_too(tell: Any) -> None:
    """That naive charges twice is part of the lesson: charging once would be a surprise."""
    history = charged(tell, ONCE, POINTS, held="e")
    assert ask(charges_per_order(key=(1, 1, 2, 1, 1)), history).verdict is FAIL


@pytest.mark.parametrize(
    ("told", "rows", "named"),
    [
        ([*SHIPPED, "ship"], None, "the services did reserve, charge, ship, ship"),
        ([*TAKEN_BACK, "refund"], None, "refund, release, refund"),
        ([*TAKEN_BACK[:3], "refund", "cancel", "release"], None, "refund, cancel, release"),
        ([*SHIPPED, "cancel"], None, "ship, cancel"),
        ([], [" ".join(SHIPPED)], "the services did nothing"),
        (SHIPPED, ["reserve charge"], "its row says reserve charge"),
        (SHIPPED, [" "], "its row says nothing"),
    ],
)
def test_what_is_no_end_of_a_saga(
    told: list[str], rows: list[str] | None, named: str, tell: Any
) -> None:
    finding = ask(sagas_whole(), saga(tell, told, rows=rows))
    assert finding.verdict is FAIL
    assert named in finding.seen
