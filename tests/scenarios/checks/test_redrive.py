"""Each question about a redrive, against histories that pass, fail and are unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from checks import redrive
from checks.redrive import ids_survive, moved_and_completed
from harness.findings import ask
from harness.history import Event, Held, History, Journal, Witness
from harness.scenario import Check, Verdict

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
Tell = Callable[[Any], History]


def script(*moved: tuple[str, str, str]) -> tuple[Journal, ...]:
    """Each moved: (id, MessageId in the DLQ, MessageId after it)."""
    events = [
        Event(5.0, "redrive", "sent", n, {"id": key, "sqs_id": old, "new_sqs_id": new})
        for n, (key, old, new) in enumerate(moved, start=1)
    ]
    return (Journal("script-1-redrive", (Event(4.0, "redrive", "start", 0), *events)),)


MOVES = (("a", "a-old", "a-new"), ("b", "b-old", "b-new"))


def moved(tell: Any, *moves: tuple[str, str, str], **changes: Any) -> History:
    """`a` was completed before its move and found done after it, poison `b` was completed after."""
    told = [
        ("received", "a", 1.0, {"sqs_id": "a-old"}),
        ("completed", "a", 1.2, {"sqs_id": "a-old"}),
        ("received", "b", 1.3, {"sqs_id": "b-old"}),
        ("received", "a", 6.0, {"sqs_id": "a-new"}),
        ("already_done", "a", 6.1, {"sqs_id": "a-new"}),
        ("received", "b", 6.2, {"sqs_id": "b-new"}),
        ("completed", "b", 6.3, {"sqs_id": "b-new"}),
    ]
    fields: dict[str, Any] = {
        "producer": tell.producer(["a", "b"], poison=["b"]),
        "status": {"a": tell.row(), "b": tell.row(6.3)},
        "scripts": script(*(moves or MOVES)),
    }
    return tell.told(*told, **(fields | changes))


CASES: list[tuple[Check, Tell, Tell, Tell]] = [
    (
        moved_and_completed(),
        moved,
        lambda t: moved(t, MOVES[0]),
        lambda t: moved(t, scripts=()),
    ),
    (
        ids_survive(),
        moved,
        lambda t: moved(t, MOVES[0], ("b", "b-old", "never-received")),
        lambda t: moved(t, MOVES[1]),
    ),
]
NAMES = [case[0].name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_passes_fails_and_is_unknown(case: tuple[Check, Tell, Tell, Tell], tell: Any) -> None:
    check, good, bad, unsure = case
    assert ask(check, good(tell)).verdict is PASS
    wrong = ask(check, bad(tell))
    assert wrong.verdict is FAIL
    assert wrong.look_at
    assert ask(check, unsure(tell)).verdict is UNKNOWN


def test_every_question_is_here() -> None:
    assert len(CASES) == len(redrive.__all__)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_no_check_passes_without_a_witness_it_reads(
    case: tuple[Check, Tell, Tell, Tell], tell: Any
) -> None:
    gone: dict[Witness, dict[str, Any]] = {
        Witness.PRODUCER: {"producer": None},
        Witness.CONSUMERS: {"consumers": ()},
        Witness.TABLES: {"status": None},
        Witness.DLQ: {"dlq": None},
        Witness.SCRIPTS: {"scripts": ()},
    }
    for witness in case[0].reads:
        assert ask(case[0], replace(case[1](tell), **gone[witness])).verdict is UNKNOWN, witness


def test_what_was_moved_and_is_not_well_is_named(tell: Any) -> None:
    def seen(*moves: tuple[str, str, str], **changes: Any) -> str:
        return ask(moved_and_completed(), moved(tell, *moves, **changes)).seen

    assert seen() == "2 moved, 2 completed, 0 second effects, DLQ empty"
    assert "b: was not moved" in seen(MOVES[0])
    assert "a: was moved 2 times" in seen(*MOVES, MOVES[0])
    assert "b: was moved and is in the DLQ" in seen(dlq=(Held("b", "b-new", 3),))
    rows = {"a": tell.row(), "b": {"status": "FAILED"}}
    assert "b: was moved and not completed" in seen(status=rows)


@pytest.mark.parametrize("effects", [0, 2])
def test_an_effect_too_few_or_too_many_is_named(tell: Any, effects: int) -> None:
    rows = {"a": tell.row(effects=effects), "b": tell.row()}
    found = ask(ids_survive(), moved(tell, status=rows))
    assert (found.verdict, found.seen) == (FAIL, f"a: effects {effects}")


def test_the_table_compares_the_two_keys(tell: Any) -> None:
    _, *rows = ask(ids_survive(), moved(tell)).shows.splitlines()
    assert [row.split()[-2:] for row in rows] == [["1", "2"], ["1", "1"]]
    assert "was done" in rows[0]
