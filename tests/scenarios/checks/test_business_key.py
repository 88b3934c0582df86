"""How messages about one order ended, and what must hold of a key that two messages share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from checks import business_key
from checks.business_key import CHANGED, DUPLICATE, EFFECT, NO_KEY, ends_per_order
from checks.invariants import (
    attempts_are_deliveries,
    conservation,
    deleted_after_completion,
    effects_per_message,
    tables_agree,
)
from harness.findings import ask
from harness.history import Event, Held, History, Journal, Witness
from harness.scenario import Verdict

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
KEY = 'key#["A","charge"]'
ORDERS = {"a": "twice-1", "b": "twice-1", "c": "changed-1", "d": "changed-1", "e": "no-action-1"}
ENDS = ends_per_order(
    {
        "by-key": {
            "twice": [EFFECT, DUPLICATE],
            "changed": [EFFECT, CHANGED],
            "no-action": [NO_KEY],
        }
    }
)
Tell = Callable[[Any], History]


def sent(orders: dict[str, str]) -> Journal:
    events = [
        Event(
            0.1,
            "p",
            "sent",
            n,
            {"id": one, "index": n, "arm": "by-key", "fields": {"order_id": order}},
        )
        for n, (one, order) in enumerate(orders.items())
    ]
    return Journal("producer", tuple(events))


def told(tell: Any, **changes: Any) -> History:
    """a completes its key, b is found done; c completes, d has changed; e has no key."""

    def keyed(lines: list[Any], key: str) -> list[Any]:
        return [(name, one, t, data | {"key": key}) for name, one, t, data in lines]

    def left(one: str, name: str, at: float) -> list[Any]:
        seen = {"receive_count": 1, "visible_at": at + 2, "sent": 0.1}
        return [("received", one, at, seen), (name, one, at + 0.1, {})]

    journal = tell.journal(
        "consumer-1",
        *keyed(tell.done("a"), KEY),
        *keyed([*left("b", "already_done", 2.0), ("deleted", "b", 2.5, {})], KEY),
        *keyed(tell.done("c"), "key#c"),
        *keyed(left("d", "payload_changed", 2.0), "key#c"),
        *tell.rejected("e", 2.0),
    )
    no_key = {"status": "FAILED", "attempts": 1, "reason": "rejected: IDEMPOTENCY_KEY='x': gone"}
    history = tell.good(
        messages=5,
        producer=sent(ORDERS),
        consumers=(journal,),
        status={KEY: tell.row(), "key#c": tell.row(), "e": no_key},
        completed={KEY: {"completed_at": 1.3}, "key#c": {"completed_at": 1.3}},
        dlq=(Held("d", "s-d", 2), Held("e", "s-e", 2)),
    )
    return replace(history, **changes)


def without(history: History, message: str, name: str) -> Journal:
    """What consumer-1 wrote, but for one line."""
    (journal,) = history.consumers
    kept = [e for e in journal.events if (e.id, e.name) != (message, name)]
    return replace(journal, events=tuple(kept))


def with_rows(history: History, **rows: dict[str, Any]) -> History:
    return replace(history, status={**(history.status or {}), **rows})


def test_the_history_of_these_tests_holds_all_that_must_hold(tell: Any) -> None:
    history = told(tell)
    for check in (
        ENDS,
        conservation(),
        tables_agree(),
        attempts_are_deliveries(),
        effects_per_message(1),
        deleted_after_completion(),
    ):
        assert ask(check, history).verdict is PASS, check.name


def test_ends_are_shown_whatever_the_verdict(tell: Any) -> None:
    shown = [
        "order         by-key",
        "twice         duplicate, effect",
        "changed       effect, payload changed, DLQ",
        "no-action     no key, DLQ",
    ]
    assert ask(ENDS, told(tell)).shows.splitlines() == shown
    assert ask(ENDS, with_rows(told(tell), e={})).shows.splitlines()[:3] == shown[:3]


def test_every_question_is_asked_here() -> None:
    assert [name for name in business_key.__all__ if name.islower()] == ["ends_per_order"]


def twice_done(tell: Any) -> History:
    """The second of two messages has an effect of its own, under its id."""
    journal = without(told(tell), "b", "already_done")
    events = [
        replace(e, data={**e.data, "key": None}) if e.id == "b" else e for e in journal.events
    ]
    events.append(Event(2.2, "consumer-1", "completed", 99, {"id": "b", "effect": True}))
    history = told(tell, consumers=(replace(journal, events=tuple(events)),))
    return with_rows(history, b=tell.row())


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (twice_done, "a and b (twice, by-key): effect, effect where duplicate, effect"),
        (
            lambda t: with_rows(told(t), **{KEY: t.row(effects=2)}),
            "a and b (twice, by-key): 2 effects in the tables where 1",
        ),
        (
            lambda t: told(t, dlq=(Held("e", "s-e", 2),)),
            "c and d (changed, by-key): effect, last seen as 'payload_changed'",
        ),
        (
            lambda t: told(t, dlq=(*told(t).dlq, Held("b", "s-b", 2))),
            "a and b (twice, by-key): effect, in the DLQ",
        ),
        (
            lambda t: with_rows(told(t), e={"status": "FAILED", "reason": "rejected: marker"}),
            "e (no-action, by-key): in the DLQ: rejected: marker",
        ),
        (
            lambda t: told(t, consumers=(without(told(t), "b", "deleted"),)),
            "last seen as 'already_done'",
        ),
    ],
)
def test_another_end_fails_and_names_the_messages(make: Tell, seen: str, tell: Any) -> None:
    finding = ask(ENDS, make(tell))
    assert finding.verdict is FAIL
    assert seen in finding.seen
    assert finding.look_at


def test_an_order_that_was_not_sent_is_unknown(tell: Any) -> None:
    fewer = {one: order for one, order in ORDERS.items() if one != "e"}
    assert ask(ENDS, told(tell, producer=sent(fewer))).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("witness", "gone"),
    [
        (Witness.PRODUCER, {"producer": None}),
        (Witness.CONSUMERS, {"consumers": ()}),
        (Witness.TABLES, {"status": None}),
        (Witness.DLQ, {"dlq": None}),
    ],
)
def test_no_answer_without_a_witness(witness: Witness, gone: dict[str, Any], tell: Any) -> None:
    assert witness in ENDS.reads
    assert ask(ENDS, told(tell, **gone)).verdict is UNKNOWN


class TestSharedKeys:
    """The invariants of every scenario, where two messages are counted as one."""

    def test_attempts_of_the_messages_of_a_key_add_up(self, tell: Any) -> None:
        for attempts, verdict in ((1, PASS), (2, FAIL), (0, FAIL)):
            history = with_rows(told(tell), **{KEY: tell.row(attempts=attempts)})
            finding = ask(attempts_are_deliveries(), history)
            assert finding.verdict is verdict
            assert verdict is PASS or "a, b" in finding.seen

    def test_a_key_has_one_effect(self, tell: Any) -> None:
        finding = ask(effects_per_message(1), with_rows(told(tell), **{KEY: tell.row(effects=2)}))
        assert finding.verdict is FAIL
        assert finding.seen.startswith("a, b: effects 2")

    def test_what_the_cache_knew_from_another_message_was_done_before(self, tell: Any) -> None:
        (journal,) = told(tell).consumers
        events = [
            replace(e, name="cached") if e.name == "already_done" else e for e in journal.events
        ]
        cached = told(tell, consumers=(replace(journal, events=tuple(events)),))
        assert ask(deleted_after_completion(), cached).verdict is PASS
        unfounded = told(tell, consumers=(without(cached, "a", "completed"),))
        assert ask(deleted_after_completion(), unfounded).verdict is FAIL

    def test_a_changed_payload_that_is_deleted_is_lost(self, tell: Any) -> None:
        (journal,) = told(tell).consumers
        data = {"id": "d", "delivery": "consumer-1-d", "key": "key#c"}
        deleted = Event(2.6, "consumer-1", "deleted", 99, data)
        journal = replace(journal, events=(*journal.events, deleted))
        history = told(tell, consumers=(journal,), dlq=(Held("e", "s-e", 2),))
        for check in (conservation(), deleted_after_completion()):
            finding = ask(check, history)
            assert finding.verdict is FAIL
            assert finding.seen.startswith("d:")

    def test_a_key_of_which_the_tables_know_nothing_is_lost(self, tell: Any) -> None:
        history = told(tell)
        status = {key: row for key, row in (history.status or {}).items() if key != KEY}
        finding = ask(conservation(), replace(history, status=status))
        assert finding.verdict is FAIL
        assert finding.seen.startswith("a: lost")
