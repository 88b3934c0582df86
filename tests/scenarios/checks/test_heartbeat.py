"""Each question about extended work: histories that pass, fail, are unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from checks import heartbeat
from checks.heartbeat import extended_to_the_limit, late_finish_without_effect, receives
from harness.findings import ask
from harness.history import Event, History, Journal, Witness
from harness.scenario import Check, Verdict

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
Tell = Callable[[Any], History]
EXTENDED = ("extended", "a", 2.0, {"visible_at": 4.0})
ENDED = ("extend_ended", "a", 3.1, {"seconds": 2})


def received(key: str, t: float, count: int = 1) -> Any:
    return ("received", key, t, {"receive_count": count, "visible_at": t + 2, "sent": 0.1})


def hung(
    tell: Any,
    *,
    told: tuple[Any, ...] = (EXTENDED, ENDED),
    again: float | None = 4.0,
    effects: tuple[bool, ...] = (False, True),
) -> History:
    """consumer-1 receives `a` at 1 s and hangs; consumer-2 gets it; consumer-1 ends at 9 s.

    `effects`: of the holder and of the heir; fewer, where one of them never completes.
    """
    holder = [received("a", 1.0), *told]
    heir = [received("a", again, 2)] if again else []
    if effects:
        holder += [("completed", "a", 9.0, {"effect": effects[0]})]
    if effects[1:]:
        heir += [("completed", "a", 4.2, {"effect": effects[1]})]
    sent = Event(0.1, "p", "sent", 1, {"id": "a", "index": 0, "arm": "hangs"})
    others = (tell.journal("consumer-2", *heir),) if heir else ()
    return tell.good(
        producer=Journal("producer", (sent,)),
        consumers=(tell.journal("consumer-1", *holder), *others),
    )


CASES: list[tuple[Check, Tell, Tell, Tell]] = [
    (
        receives(hangs=2),
        hung,
        lambda tell: hung(tell, again=None, effects=(True,)),
        lambda tell: tell.good(),  # of no arm
    ),
    (
        extended_to_the_limit("hangs"),
        hung,
        lambda tell: hung(tell, told=(EXTENDED,)),
        lambda tell: tell.good(),
    ),
    (
        late_finish_without_effect(("off", "hangs")),
        hung,
        lambda tell: hung(tell, effects=(True, True)),
        lambda tell: hung(tell, effects=()),
    ),
]
NAMES = [case[0].name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_passes_fails_and_is_unknown(case: tuple[Check, Tell, Tell, Tell], tell: Any) -> None:
    check, good, bad, unsure = case
    found = ask(check, good(tell))
    assert found.verdict is PASS, found
    wrong = ask(check, bad(tell))
    assert wrong.verdict is FAIL, wrong
    assert wrong.look_at
    assert ask(check, unsure(tell)).verdict is UNKNOWN


def test_every_question_is_here() -> None:
    assert len(CASES) == len(heartbeat.__all__)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_no_check_passes_without_a_witness_it_reads(
    case: tuple[Check, Tell, Tell, Tell], tell: Any
) -> None:
    gone: dict[Witness, dict[str, Any]] = {
        Witness.PRODUCER: {"producer": None},
        Witness.CONSUMERS: {"consumers": ()},
    }
    for witness in case[0].reads:
        assert ask(case[0], replace(case[1](tell), **gone[witness])).verdict is UNKNOWN, witness


@pytest.mark.parametrize(("times", "verdict"), [(1, FAIL), (2, PASS), (3, FAIL)])
def test_receives_are_counted_exactly(times: int, verdict: Verdict, tell: Any) -> None:
    assert ask(receives(hangs=times), hung(tell)).verdict is verdict


def test_the_table_shows_what_each_arm_cost(tell: Any) -> None:
    for times in (1, 2):
        head, row = ask(receives(hangs=times), hung(tell)).shows.splitlines()
        assert head.split()[:3] == ["arm", "messages", "receives"]
        assert row.split() == ["hangs", "1", "2", "3.00", "to", "3.00", "1", "1"]


@pytest.mark.parametrize(
    ("told", "again", "said"),
    [
        ((EXTENDED, ENDED, ENDED), 4.0, "a: the end of its extensions was told 2 times"),
        (
            (ENDED, ("extended", "a", 3.5, {"visible_at": 5.5})),
            5.5,
            "a: its extensions were extend_ended, extended",
        ),
        ((ENDED,), 4.0, "a: its extensions were extend_ended"),
        ((EXTENDED, ENDED), None, "a: no other consumer received it"),
        ((EXTENDED, ENDED), 3.0, "a: received again 1.0 s before its time"),
    ],
)
def test_what_may_be_wrong_at_the_limit(
    told: tuple[Any, ...], again: float | None, said: str, tell: Any
) -> None:
    history = hung(tell, told=told, again=again)
    assert ask(extended_to_the_limit("hangs"), history).seen == said


def test_the_effect_is_the_heirs(tell: Any) -> None:
    finding = ask(late_finish_without_effect(["hangs"]), hung(tell, effects=(True, False)))
    assert finding.seen == "a: its first holder made the effect"
    assert finding.verdict is FAIL
