"""The tag goes on and comes off again, whatever other attributes a message has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive import tag
from redrive.dead_letters import NO_RECORD
from redrive.rules import Fate, Memory, decide, size
from support.dead_letters import letter, rules

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,30}", fullmatch=True).filter(
    lambda name: name != tag.NAME
)
TEXTS = st.builds(
    lambda kind, text: {"DataType": kind, "StringValue": text},
    st.sampled_from(["String", "Number", "String.custom"]),
    st.text(min_size=1, max_size=40),
)
BYTES = st.builds(
    lambda value: {"DataType": "Binary.gzip", "BinaryValue": value}, st.binary(min_size=1)
)
ATTRIBUTES = st.dictionaries(NAMES, TEXTS | BYTES, max_size=10)
MOVES = st.lists(
    st.tuples(st.text("abc-", min_size=1, max_size=9), st.uuids()), min_size=1, max_size=5
)


@given(ATTRIBUTES, MOVES, st.integers(0, 2**45))
def test_other_attributes_stay_and_each_move_counts(
    attributes: dict[str, Any], moves: list[tuple[str, Any]], sent: int
) -> None:
    now: dict[str, Any] = attributes
    for number, (run, sqs_id) in enumerate(moves, start=1):
        new = tag.following(tag.read(now), run, str(sqs_id), sent + number)
        written = tag.tagged(now, new)
        if len(attributes) == tag.ATTRIBUTES_MAX:
            assert written is None
            return
        assert written is not None
        now = written
        assert {k: v for k, v in now.items() if k != tag.NAME} == attributes
        assert len(now) <= tag.ATTRIBUTES_MAX
        found = tag.read(now)
        assert found == tag.Tag(number, run, str(sqs_id), str(moves[0][1]), sent + 1)


@given(TEXTS | BYTES)
def test_an_attribute_of_somebody_else_is_never_taken_for_the_tag(value: dict[str, Any]) -> None:
    with pytest.raises(tag.ForeignTagError):
        tag.read({tag.NAME: value})


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "1",
        "null",
        "[" * 100_000,
        '{"replay_count":"1","replay_run":"r","replayed_from":"m","first_id":"m","first_sent":1}',
        '{"replay_count":true,"replay_run":"r","replayed_from":"m","first_id":"m","first_sent":1}',
        '{"replay_count":1,"replay_run":"r","replayed_from":"m","first_id":"m","first_sent":1,"x":1}',
    ],
)
def test_a_tag_of_another_form_is_foreign(text: str) -> None:
    with pytest.raises(tag.ForeignTagError):
        tag.read({tag.NAME: {"DataType": "String", "StringValue": text}})


@given(ATTRIBUTES, st.integers(100, 1200), st.booleans())
def test_what_is_moved_always_fits(attributes: dict[str, Any], limit: int, untagged: bool) -> None:
    """Never more than ten attributes, never larger than the queue takes because of the tag."""
    one = letter('{"id": "a"}', attributes=attributes)
    found = decide(one, NO_RECORD, rules(max_bytes=limit, allow_untagged=untagged), Memory(), 0.0)
    assert (found.fate is Fate.MOVE) or not untagged
    if found.fate is Fate.MOVE:
        assert len(found.attributes) <= tag.ATTRIBUTES_MAX
        assert size(one.body, found.attributes) <= max(limit, size(one.body, attributes))
        assert {k: v for k, v in found.attributes.items() if k != tag.NAME} == attributes
