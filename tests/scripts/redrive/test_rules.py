"""What becomes of a message, by what it is, what the table says and what was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redrive import tag
from redrive.dead_letters import NO_RECORD, DeadLetter, Record, document
from redrive.flags import compiled
from redrive.rules import Decision, Fate, Memory, Why, decide
from sqs_worker.message import Identity
from support.dead_letters import letter, rules

NOW = 1_700_000_100.0
NO_ID = "no JSON"


def decided(
    one: DeadLetter, record: Record = NO_RECORD, memory: Memory | None = None, **asked: Any
) -> Decision:
    return decide(one, record, rules(**asked), memory or Memory(), NOW)


def tagged(count: int, run: str = "earlier") -> dict[str, Any]:
    found = tag.tagged({}, tag.Tag(count, run, "m-0", "m-0", 1))
    assert found is not None
    return found


def ten() -> dict[str, Any]:
    return {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(10)}


@pytest.mark.parametrize(
    ("one", "asked", "fate", "why"),
    [
        (letter(), {}, Fate.MOVE, Why.NOTHING),
        (letter(source_arn=""), {}, Fate.MOVE, Why.NOTHING),
        (letter(source_arn="arn:aws:sqs:us-west-1:0:other"), {}, Fate.KEEP, Why.OTHER_QUEUE),
        (letter(NO_ID), {}, Fate.KEEP, Why.NO_ID),
        (letter(NO_ID), {"allow_new_ids": True}, Fate.MOVE, Why.NOTHING),
        (letter(attributes=tagged(2)), {"max_replays": 2}, Fate.KEEP, Why.CAP),
        (letter(attributes=tagged(1)), {"max_replays": 2}, Fate.MOVE, Why.NOTHING),
        (letter(attributes=tagged(99)), {"max_replays": 0}, Fate.MOVE, Why.NOTHING),
        (letter(attributes=tagged(1, "r")), {}, Fate.KEEP, Why.CAME_BACK),
        (
            letter(attributes={tag.NAME: {"DataType": "String", "StringValue": "mine"}}),
            {},
            *(Fate.KEEP, Why.FOREIGN_TAG),
        ),
        (letter(attributes=ten()), {}, Fate.KEEP, Why.NO_ROOM),
        (letter(attributes=ten()), {"allow_untagged": True}, Fate.MOVE, Why.NOTHING),
        (letter({"id": "a", "x": "y" * 200}), {"max_bytes": 300}, Fate.KEEP, Why.TOO_LARGE),
        (
            letter({"id": "a", "x": "y" * 200}),
            {"max_bytes": 300, "allow_untagged": True},
            *(Fate.MOVE, Why.NOTHING),
        ),
        (letter(), {"filter": compiled("payload.id == 'a'")}, Fate.MOVE, Why.NOTHING),
        (letter(), {"filter": compiled("payload.id == 'b'")}, Fate.KEEP, Why.FILTERED),
        (letter(NO_ID), {"filter": compiled("payload.id")}, Fate.KEEP, Why.FILTERED),
        (letter(), {"filter": compiled("abs(payload.id) > `1`")}, Fate.KEEP, Why.FILTER_FAILED),
    ],
)
def test_by_what_it_is(one: DeadLetter, asked: dict[str, Any], fate: Fate, why: Why) -> None:
    found = decided(one, **asked)
    assert (found.fate, found.why) == (fate, why)


def test_what_is_completed_is_sent_unless_asked_to_be_dropped() -> None:
    one = letter()
    done = Record("COMPLETED", digest=one.identity.digest)
    assert decided(one, done).fate is Fate.MOVE
    assert decided(one, done, drop_completed=True).fate is Fate.DROP


def test_what_is_completed_in_another_form_of_the_same_json_is_dropped() -> None:
    one = letter()
    done = Record("COMPLETED", digest="d", canonical_digest=f"d:{one.identity.canonical}")
    assert decided(one, done, drop_completed=True).fate is Fate.DROP


def test_another_body_under_a_completed_id_is_not_dropped() -> None:
    """The claim would not take it for done either; a person should see it."""
    other = Record("COMPLETED", digest="of another body")
    assert decided(letter(), other, drop_completed=True).fate is Fate.MOVE


@pytest.mark.parametrize("status", ["STARTED", "FAILED"])
def test_what_is_not_completed_is_never_dropped(status: str) -> None:
    one = letter()
    assert (
        decided(one, Record(status, digest=one.identity.digest), drop_completed=True).fate
        is Fate.MOVE
    )


def test_what_is_completed_under_its_message_id_is_never_sent() -> None:
    one = letter(NO_ID)
    done = Record("COMPLETED", digest=one.identity.digest)
    assert decided(one, done, allow_new_ids=True).why is Why.COMPLETED
    assert decided(one, done, drop_completed=True).fate is Fate.DROP


def test_what_is_known_to_be_sent_is_only_deleted_whatever_the_filter_says() -> None:
    memory = Memory(sent={"m-1"})
    assert decided(letter(), memory=memory, filter=compiled("`false`")).fate is Fate.FINISH


def test_what_is_doubtful_is_sent_again_only_under_an_id_of_its_own() -> None:
    memory = Memory(doubtful={"m-1"})
    assert decided(letter(), memory=memory).fate is Fate.MOVE
    assert decided(letter(NO_ID), memory=memory, allow_new_ids=True).why is Why.DOUBTFUL


def test_the_first_sending_is_remembered_through_every_move() -> None:
    first = decided(letter(sqs_id="m-1", sent=111)).attributes
    second = decided(letter(sqs_id="m-2", sent=222, attributes=first), run="second").attributes
    assert json.loads(second[tag.NAME]["StringValue"]) == {
        "replay_count": 2,
        "replay_run": "second",
        "replayed_from": "m-2",
        "first_id": "m-1",
        "first_sent": 111,
    }


def test_a_filter_sees_all_that_is_known() -> None:
    attributes = tagged(1) | {"kind": {"DataType": "String", "StringValue": "order"}}
    one = letter({"id": "a", "work": 7}, attributes=attributes)
    assert document(one, Record("FAILED", "too slow"), 101.0) == {
        "id": "a",
        "message_id": "m-1",
        "payload": {"id": "a", "work": 7},
        "body": one.body,
        "attributes": {"kind": "order"},
        "receive_count": 3,
        "replay_count": 1,
        "age_seconds": 100.999,
        "status": "FAILED",
        "reason": "too slow",
    }


def test_a_business_key_lives_through_a_move_as_an_id_does() -> None:
    known = Identity("m-1", "digest", business_key="key#A17")
    one = letter({"order_id": "A17"}, identity=known)
    assert decided(one).fate is Fate.MOVE
    done = Record("COMPLETED", digest="digest")
    assert decided(one, done).fate is Fate.MOVE
    assert decided(one, done, drop_completed=True).fate is Fate.DROP
    without = letter({"x": 1}, identity=Identity("m-1", "digest", unkeyed="no order_id"))
    assert decided(without).why is Why.NO_ID


@pytest.mark.parametrize("value", ["null", "false", '""', "[]", "{}"])
def test_what_jmespath_calls_false(value: str) -> None:
    assert not compiled("payload")({"payload": json.loads(value)})


@pytest.mark.parametrize("value", ["0", "true", '"x"', "[0]"])
def test_what_jmespath_calls_true(value: str) -> None:
    assert compiled("payload")({"payload": json.loads(value)})


@pytest.mark.parametrize("text", ["", "payload.", "nosuch(", "a b"])
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        compiled(text)
