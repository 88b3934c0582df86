"""Each check against three hand-written histories: one passes, one fails, one is unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from checks import delivery, invariants
from checks.delivery import (
    all_completed,
    backlog_came_down,
    crashed_after_effect,
    deliveries,
    dlq_holds,
    finished_by_another,
    good_completed,
    neighbours_differ,
    poison_dead_lettered,
    queue_empty,
    redelivered_after_visibility,
    scaled_out,
    worked_by,
)
from checks.delivery_rules import (
    completed_after_its_work,
    deletes_are_true,
    extended_while_held,
    given_back_or_worked_on,
    records_outlive_messages,
    rows_name_their_owner,
)
from checks.invariants import (
    attempts_are_deliveries,
    conservation,
    deleted_after_completion,
    deliveries_recorded,
    effects_per_message,
    ended_as_declared,
    ran_to_the_end,
    sent_as_asked,
    tables_agree,
)
from harness import scaling
from harness.deliveries import with_deaths
from harness.findings import ask, worst
from harness.history import Child, Held, History, Journal, Sample, Signalled, Tick, Witness
from harness.scaling import Told
from harness.scenario import Check, Verdict
from support.floods import RULE, Flood

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
HELD = Held("a", "m-a", 3)
DEAD = Held("p", "m-p", 3, "arn:q")


def twice(tell: Any, gap: float = 2.0, second: str = "consumer-2") -> History:
    """`a` is worked on by two consumers, `gap` seconds apart; the second finds it completed."""
    first = tell.journal("consumer-1", *tell.done("a", 1.0))
    late = [
        (name, key, t, data | ({"effect": False} if name == "completed" else {}))
        for name, key, t, data in tell.done("a", 1.0 + gap, receive_count=2)
    ]
    other = tell.journal(second, *late)
    return tell.good(consumers=(first, other), status={"a": tell.row(attempts=2)})


def poisoned(tell: Any, receives: int = 2, **changes: Any) -> History:
    """`a` is good, `p` is poison and was received so many times."""
    told = tell.done("a")
    for count in range(1, receives + 1):
        told += tell.rejected("p", at=2.0 * count, count=count)
    return tell.good(
        **{
            "messages": 2,
            "producer": tell.producer(["a", "p"], poison=["p"]),
            "consumers": (tell.journal("consumer-1", *told),),
            "status": {
                "a": tell.row(),
                "p": {"status": "FAILED", "attempts": receives, "effects": 0},
            },
            "dlq": (DEAD,),
            **changes,
        }
    )


def batch(tell: Any, end_of_p: str = "failed", ids: str = "ap") -> History:
    """One receive of `a` and `p`; `p` ends as said."""
    receives = [tell.done("a")[0], tell.rejected("p")[0]] if ids == "ap" else [tell.done("a")[0]]
    ends = [*tell.done("a")[1:], (end_of_p, "p", 1.6, {"delivery": "p-1"})]
    return poisoned(tell, consumers=(tell.journal("consumer-1", *receives, *ends),))


def died(tell: Any, found_done: bool = True, crash_at: float = 1.4) -> History:
    """consumer-1 completes `a` and dies at this time; consumer-2 gets it again."""
    first = [*tell.done("a")[:3], ("crash", "a", crash_at, {"point": "after-complete"})]
    second = [
        ("received", "a", 3.1, {"receive_count": 2, "visible_at": 5.1, "sent": 0.1}),
        ("already_done", "a", 3.2, {}),
        ("deleted", "a", 3.3, {}),
    ]
    others = (tell.journal("consumer-2", *second),) if found_done else ()
    return tell.good(consumers=(tell.journal("consumer-1", *first), *others))


def flood(*, steady: bool = True, end: int = 0) -> History:
    """A flood in which the queue's counts are right; with `end`, some of it is left over."""
    history = Flood(0, in_equilibrium if steady else lambda *_: False).run()
    *samples, last = history.samples
    left = {f"m-{n}" for n in range(end)}
    (consumer,) = history.consumers
    events = tuple(event for event in consumer.events if event.id not in left)
    return replace(
        history,
        folder="reports/x",
        samples=(*samples, replace(last, visible=end)),
        consumers=(replace(consumer, events=events),),
    )


def in_equilibrium(ticks: list[Tick], told: list[Told]) -> bool:
    return scaling.in_equilibrium(RULE, ticks, told)


def killed(tell: Any) -> History:
    return tell.good(children=(Child("producer", 0, (0,)), Child("consumer-1", -9, (0,))))


def torn(history: History, reason: str = "line 7 is torn") -> History:
    """The same history, its last consumer's journal torn."""
    *others, last = history.consumers
    return replace(history, consumers=(*others, replace(last, torn=reason)))


def torn_producer(history: History) -> History:
    assert history.producer
    return replace(history, producer=replace(history.producer, torn="line 3 is torn"))


def stopped(tell: Any, *names: str) -> History:
    """`a` is received, and then these events are written of its delivery."""
    later = [(name, "a", 1.1 + place / 10, {}) for place, name in enumerate(names)]
    later = [(n, k, t, {"visible_at": t + 2} if n == "extended" else d) for n, k, t, d in later]
    return tell.told(tell.done("a")[0], *later)


def overlapping(tell: Any, *, refuses: bool) -> History:
    """consumer-2 receives `a` before consumer-1 says that it deleted it."""
    first = [*tell.done("a")[:4], ("deleted", "a", 4.0, {})]
    second = tell.done("a", 3.5, receive_count=2)[:1]
    return tell.good(
        consumers=(tell.journal("consumer-1", *first), tell.journal("consumer-2", *second)),
        refuses_stale_handles=refuses,
    )


def named(tell: Any) -> Journal:
    """The good journal, with the MessageId in each event."""
    told = [(name, key, t, {**data, "sqs_id": "m-a"}) for name, key, t, data in tell.done("a")]
    return tell.journal("consumer-1", *told)


Tell = Callable[[Any], History]
CASES: list[tuple[Check, Tell, Tell, Tell]] = [
    (
        ran_to_the_end(),
        lambda tell: tell.good(),
        lambda tell: tell.good(problems=("waited 9 s for redelivery; last: 1 open",)),
        lambda tell: tell.good(problems=None),
    ),
    (
        sent_as_asked(),
        lambda tell: tell.good(),
        lambda tell: tell.good(messages=2),
        lambda tell: torn_producer(tell.good()),
    ),
    (
        ended_as_declared(),
        lambda tell: tell.good(),
        lambda tell: tell.good(children=(Child("consumer-1", 1, (0,), ("KeyError: 'x'",)),)),
        lambda tell: tell.good(children=None),
    ),
    (
        conservation(),
        poisoned,
        lambda tell: tell.good(status={"a": {"status": "STARTED"}}),
        lambda tell: tell.good(status={"a": {"status": "STARTED"}}, left=(HELD,)),
    ),
    (
        tables_agree(),
        lambda tell: tell.good(),
        lambda tell: tell.good(completed={}),
        lambda tell: tell.good(completed=None),
    ),
    (
        effects_per_message(1),
        twice,
        lambda tell: tell.good(status={"a": tell.row(effects=2)}),
        killed,
    ),
    (
        attempts_are_deliveries(),
        twice,
        lambda tell: tell.good(status={"a": tell.row(attempts=0)}),
        lambda tell: torn(tell.good()),
    ),
    (
        deliveries_recorded(),
        twice,
        lambda tell: tell.told(*tell.done("a", receive_count=3)),
        lambda tell: torn(tell.good()),
    ),
    (
        deleted_after_completion(),
        died,
        lambda tell: tell.told(*tell.done("a")[:3], tell.done("a")[4]),
        lambda tell: tell.good(status=None),
    ),
    (
        given_back_or_worked_on(),
        lambda tell: stopped(tell, "work_started", "worked", "released"),
        lambda tell: stopped(tell, "work_started", "released", "worked"),
        lambda tell: torn(tell.good()),
    ),
    (
        extended_while_held(),
        lambda tell: stopped(tell, "extended", "rejected", "extended"),
        lambda tell: stopped(tell, "extended", "rejected", "extended", "extended"),
        lambda tell: torn(tell.good()),
    ),
    (
        completed_after_its_work(),
        twice,
        lambda tell: tell.told(*tell.done("a")[:2], *tell.done("a")[3:]),
        lambda tell: torn(tell.good()),
    ),
    (
        deletes_are_true(),
        died,
        lambda tell: overlapping(tell, refuses=True),
        lambda tell: tell.good(left=(replace(HELD, sqs_id="m-a"),), consumers=(named(tell),)),
    ),
    (
        records_outlive_messages(),
        lambda tell: tell.good(status={"a": tell.row(expires_at=1.3 + 45 * 86400)}),
        lambda tell: tell.good(status={"a": tell.row(expires_at=1.3 + 45 * 3600)}),
        lambda tell: tell.good(status=None),
    ),
    (
        rows_name_their_owner(),
        lambda tell: tell.good(status={"a": tell.row(claim="consumer-1-a")}),
        lambda tell: tell.good(status={"a": tell.row(claim="consumer-2-a")}),
        lambda tell: torn(tell.good()),
    ),
    (
        all_completed(),
        lambda tell: tell.good(),
        lambda tell: tell.good(status={"a": {"status": "FAILED"}}),
        lambda tell: tell.good(status={"a": {"status": "FAILED"}}, left=(HELD,)),
    ),
    (
        good_completed(),
        poisoned,
        lambda tell: poisoned(tell, status={"p": {"status": "FAILED"}}),
        lambda tell: poisoned(tell, status={}, left=(HELD,)),
    ),
    (
        queue_empty(),
        poisoned,
        lambda tell: tell.told(*tell.done("a")[:4]),
        lambda tell: tell.good(samples=(Sample(1.0, 1, 0, 0, 0),)),
    ),
    (
        dlq_holds(1),
        poisoned,
        lambda tell: tell.good(),
        lambda tell: tell.good(dlq=None),
    ),
    (
        deliveries(at_least=2),
        twice,
        lambda tell: tell.good(),
        lambda tell: torn(twice(tell)),
    ),
    (
        redelivered_after_visibility(at_least=1),
        lambda tell: twice(tell, gap=2.0),
        lambda tell: twice(tell, gap=0.7),
        lambda tell: torn(twice(tell)),
    ),
    (
        finished_by_another(),
        died,
        lambda tell: died(tell, found_done=False),
        lambda tell: tell.good(),
    ),
    (
        worked_by(consumers=2),
        twice,
        lambda tell: twice(tell, second="consumer-1"),
        lambda tell: torn(twice(tell)),
    ),
    (
        poison_dead_lettered(after=2),
        poisoned,
        lambda tell: poisoned(tell, receives=3),
        lambda tell: poisoned(tell, dlq=None),
    ),
    (
        neighbours_differ(),
        batch,
        lambda tell: batch(tell, end_of_p="deleted"),
        lambda tell: batch(tell, ids="a"),
    ),
    (
        crashed_after_effect(),
        died,
        lambda tell: died(tell, crash_at=1.2),
        lambda tell: torn(died(tell)),
    ),
    (
        scaled_out(at_least=2),
        lambda _: flood(),
        lambda _: flood(steady=False),
        lambda tell: tell.good(),
    ),
    (
        backlog_came_down(),
        lambda _: flood(),
        lambda _: flood(end=4),
        lambda _: replace(flood(), samples=()),
    ),
]
NAMES = [case[0].name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_passes(case: tuple[Check, Tell, Tell, Tell], tell: Any) -> None:
    finding = ask(case[0], case[1](tell))
    assert finding.verdict is PASS, finding


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_fails_and_says_where_to_look(case: tuple[Check, Tell, Tell, Tell], tell: Any) -> None:
    finding = ask(case[0], case[2](tell))
    # What the runner could not see, and what only the queue counted, is no proof of a fault.
    softer = ("ran to the end", "deliveries recorded")
    assert finding.verdict is (UNKNOWN if case[0].name in softer else FAIL), finding
    assert finding.look_at.count("reports/x") >= 1


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_is_unknown(case: tuple[Check, Tell, Tell, Tell], tell: Any) -> None:
    finding = ask(case[0], case[3](tell))
    assert finding.verdict is UNKNOWN, finding


def test_every_check_has_its_three_histories() -> None:
    absent = [name for name in delivery.__all__ if name not in globals()]
    assert not absent, f"three histories for each of these are missing from CASES: {absent}"
    assert len(CASES) == len(delivery.__all__) + len(invariants.ALWAYS)
    assert {check.name for check in invariants.ALWAYS} <= set(NAMES)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_no_check_passes_without_a_witness_it_reads(
    case: tuple[Check, Tell, Tell, Tell], tell: Any
) -> None:
    gone: dict[Witness, dict[str, Any]] = {
        Witness.PRODUCER: {"producer": None},
        Witness.CONSUMERS: {"consumers": ()},
        Witness.CHILDREN: {"children": None},
        Witness.TABLES: {"status": None},
        Witness.DLQ: {"left": None},
        Witness.SAMPLES: {"samples": ()},
        Witness.SCALING: {"scaling": ()},
    }
    good = case[1](tell)
    for witness in case[0].reads:
        assert ask(case[0], replace(good, **gone[witness])).verdict is UNKNOWN, witness


@pytest.mark.parametrize(
    ("check", "make", "named"),
    [
        (
            conservation(),
            lambda t: poisoned(t, status={"a": t.row(), "p": t.row()}),
            "p: completed",
        ),
        (effects_per_message(1), lambda t: t.good(status={"a": t.row(effects=0)}), "a: effects 0"),
        (
            effects_per_message(1),
            lambda t: replace(
                twice(t),
                consumers=(
                    t.journal("consumer-1", *t.done("a")),
                    t.journal("consumer-2", *t.done("a", 3.0)),
                ),
            ),
            "written by consumers 2",
        ),
        (
            deleted_after_completion(),
            lambda t: t.told(t.done("a")[0], ("cached", "a", 1.1, {}), t.done("a")[4]),
            "a: 'deleted'",
        ),
        (
            deleted_after_completion(),
            lambda t: t.told(*t.done("a"), status={"a": t.row(at=9.0)}),
            "a: 'deleted'",
        ),
        (
            tables_agree(),
            lambda t: t.good(completed={"a": {"completed_at": 3.3}}),
            "a: record written 2.0 s after the effect",
        ),
        (
            deletes_are_true(),
            lambda t: t.good(
                left=(replace(HELD, sqs_id="m-a"),),
                consumers=(named(t),),
                refuses_stale_handles=True,
            ),
            "a: called deleted and still there",
        ),
        (
            given_back_or_worked_on(),
            lambda t: stopped(t, "released", "work_started"),
            "a: worked on after it was given back by consumer-1",
        ),
        (
            rows_name_their_owner(),
            lambda t: t.told(*t.done("a")[:2], status={"a": {"status": "STARTED", "claim": "x"}}),
            "a: the row names x, not consumer-1-a",
        ),
        (
            tables_agree(),
            lambda t: t.good(
                status={"a": t.row(digest="d1", canonical_digest="d1:c")},
                completed={"a": {"completed_at": 1.3, "digest": "d2", "canonical_digest": "d2:x"}},
            ),
            "a: the record is of another body than the effect",
        ),
        (  # an older consumer wrote its digest over one that had a canonical one
            tables_agree(),
            lambda t: t.good(
                status={"a": t.row(digest="d1", canonical_digest="d0:c")},
                completed={"a": {"completed_at": 1.3, "digest": "d2", "canonical_digest": "d2:c"}},
            ),
            "a: the record is of another body than the effect",
        ),
        (poison_dead_lettered(), lambda t: poisoned(t, dlq=()), "not in the DLQ"),
        (
            poison_dead_lettered(),
            lambda t: poisoned(t, completed={"a": {}, "p": {}}),
            "p: completed",
        ),
        (
            poison_dead_lettered(),
            lambda t: poisoned(t, dlq=(replace(DEAD, source_arn="arn:other"),)),
            "came from arn:other",
        ),
        (queue_empty(), lambda t: t.good(left=(HELD,)), "a: still in the queue"),
        (
            ended_as_declared(),
            lambda t: t.good(children=(Child("consumer-1", 1, (0,)),)),
            "nothing",
        ),
    ],
)
def test_fails_for_this_reason_too(check: Check, make: Tell, named: str, tell: Any) -> None:
    finding = ask(check, make(tell))
    assert finding.verdict is FAIL
    assert named in finding.seen


@pytest.mark.parametrize(
    ("row", "record"),
    [
        ({}, {"digest": "d"}),
        ({"digest": "d"}, {}),
        ({"digest": "d"}, {"digest": "d", "canonical_digest": "d:c"}),
        (
            {"digest": "d1", "canonical_digest": "d1:c"},
            {"digest": "d2", "canonical_digest": "d2:c"},
        ),
    ],
    ids=["no digest", "no digest of the record", "an older row", "another form of the same JSON"],
)
def test_tables_agree_on_a_body_as_far_as_they_name_it(row: Any, record: Any, tell: Any) -> None:
    history = tell.good(
        status={"a": tell.row(**row)}, completed={"a": {"completed_at": 1.3, **record}}
    )
    assert ask(tables_agree(), history).verdict is PASS


def test_a_lost_message_is_unknown_while_the_queue_still_counts_one(tell: Any) -> None:
    hidden = tell.good(status={}, samples=(Sample(1.0, 0, 1, 0, 0),))
    assert ask(conservation(), hidden).verdict is UNKNOWN


def test_a_crash_after_the_write_may_hide_an_effect_but_no_other_crash(tell: Any) -> None:
    at = [("crash", "a", 1.4, {"point": point}) for point in ("after-complete", "before-complete")]
    hidden, plain = (tell.told(*tell.done("a")[:3], crash) for crash in at)
    assert ask(effects_per_message(1), hidden).verdict is PASS
    assert ask(effects_per_message(1), plain).verdict is FAIL


def test_a_kill_that_is_declared_leaves_its_doubt_and_no_more(tell: Any) -> None:
    """It may have written the effect, and deleted, and not lived to say either."""
    kill = Signalled(2.0, "consumer-1", "SIGKILL")
    ended = (Child("producer", 0, (0,)), Child("consumer-1", -9, (-9,)))
    before_the_effect = with_deaths(tell.journal("consumer-1", *tell.done("a")[:3]), [kill])
    history = tell.good(consumers=(before_the_effect,), children=ended, signals=(kill,))
    assert ask(effects_per_message(1), history).verdict is PASS
    assert (
        ask(effects_per_message(1), replace(history, status={"a": tell.row(effects=2)})).verdict
        is FAIL
    )
    before_the_delete = with_deaths(tell.journal("consumer-1", *tell.done("a")[:4]), [kill])
    assert ask(queue_empty(), replace(history, consumers=(before_the_delete,))).verdict is PASS
    assert ask(queue_empty(), history).verdict is FAIL


def test_a_delete_that_a_crash_may_have_swallowed_is_settled_by_the_counts(tell: Any) -> None:
    crash = ("crash", "a", 1.4, {"point": "after-charge"})
    swallowed = tell.told(*tell.done("a")[:4], crash)
    assert ask(queue_empty(), swallowed).verdict is PASS
    counted = replace(swallowed, samples=(Sample(9.0, 0, 1, 0, 0),))
    assert ask(queue_empty(), counted).verdict is UNKNOWN
    for told in (tell.done("a")[:4], (*tell.done("a")[:3], crash)):
        assert ask(queue_empty(), tell.told(*told)).verdict is FAIL


def test_a_given_back_message_may_return_at_once(tell: Any) -> None:
    told = [tell.done("a")[0], ("released", "a", 1.2, {"reason": "shutdown"})]
    again = tell.done("a", 1.3, receive_count=2)
    history = tell.good(
        consumers=(tell.journal("consumer-1", *told), tell.journal("consumer-2", *again))
    )
    assert ask(redelivered_after_visibility(), history).verdict is PASS


def test_on_aws_a_delete_with_an_expired_handle_proves_nothing(tell: Any) -> None:
    assert ask(deletes_are_true(), overlapping(tell, refuses=False)).verdict is PASS


def test_a_claim_that_a_crash_may_have_hidden_leaves_the_owner_open(tell: Any) -> None:
    hidden = ("received", "a", 4.0, {"receive_count": 2, "visible_at": 6.0, "sent": 0.1})
    history = tell.good(
        consumers=(
            tell.journal("consumer-1", *tell.done("a")[:2]),
            tell.journal("consumer-2", hidden),
        ),
        status={"a": {"status": "STARTED", "claim": "consumer-2-a"}},
    )
    assert ask(rows_name_their_owner(), history).verdict is PASS


def test_messages_of_another_run_are_not_looked_at(tell: Any) -> None:
    foreign = tell.good(
        consumers=(tell.journal("consumer-1", *tell.done("a"), *tell.done("z")[:2]),),
        dlq=(),
    )
    for check in (*invariants.ALWAYS, all_completed(), queue_empty()):
        assert ask(check, foreign).verdict is PASS, check.name


def test_a_check_that_breaks_is_unknown(tell: Any) -> None:
    broken = tell.good(status={"a": {"status": "COMPLETED", "effects": "one"}})
    assert ask(effects_per_message(1), broken).verdict is not PASS

    def explode(history: History) -> Any:
        raise ZeroDivisionError

    finding = ask(Check("broken", (), explode), tell.good())
    assert finding.verdict is UNKNOWN
    assert "ZeroDivisionError" in finding.seen


def test_the_worst_verdict_wins() -> None:
    assert worst([PASS, UNKNOWN, FAIL]) is FAIL
    assert worst([PASS, UNKNOWN]) is UNKNOWN
    assert worst([PASS]) is PASS
    assert worst([]) is UNKNOWN
