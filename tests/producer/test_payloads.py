"""Bodies, ids and poison positions; the seed alone decides them."""

import json
import tracemalloc
import uuid
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.payloads import BYTES_MAX, Message, messages, packed, poison_rule


def take(count: int, seed: int = 7, every: int = 0, poison: int = 0) -> list[Message]:
    return list(islice(messages(seed, poison_rule(count, poison, every, seed)), count))


def test_body_is_exactly_what_the_specification_says() -> None:
    for message in take(200):
        payload = json.loads(message.body)
        assert set(payload) == {"id", "work"}
        assert payload["id"] == message.id
        assert uuid.UUID(message.id).version == 4
        assert str(uuid.UUID(message.id)) == message.id
        assert type(payload["work"]) is int
        assert 1 <= payload["work"] <= 1000


def test_work_covers_its_whole_range() -> None:
    work = {json.loads(message.body)["work"] for message in take(20_000)}
    assert min(work) == 1
    assert max(work) == 1000


def test_fields_are_taken_in_turn_and_leave_ids_and_work_as_they_were() -> None:
    fields = ({"order_id": "A17", "action": "charge"}, {"work": -1})
    asked = list(islice(messages(7, lambda index: index == 3, fields), 4))
    for plain, message, more in zip(take(4), asked, fields * 2, strict=True):
        mark = {"poison": True} if message.index == 3 else {}
        assert json.loads(message.body) == {**json.loads(plain.body), **more, **mark}
        assert (message.id, message.fields) == (plain.id, more)


def test_poison_adds_one_key_and_reads_as_the_marker() -> None:
    good, bad = take(2, every=2)
    assert json.loads(bad.body)["poison"] is True
    assert '"poison": true' in bad.body
    assert "poison" not in good.body
    assert (good.poison, bad.poison) == (False, True)


def test_every_third_is_poison_at_2_5_8() -> None:
    assert [m.index for m in take(10, every=3) if m.poison] == [2, 5, 8]


def test_every_overrides_the_count() -> None:
    assert [m.index for m in take(10, every=5, poison=9) if m.poison] == [4, 9]


@pytest.mark.parametrize("count", [0, 1, 10])
def test_poison_count_is_exact(count: int) -> None:
    assert sum(m.poison for m in take(10, poison=count)) == count


def test_poison_positions_depend_on_the_seed() -> None:
    def positions(seed: int) -> list[int]:
        return [m.index for m in take(1000, seed=seed, poison=5) if m.poison]

    assert positions(1) == positions(1)
    assert positions(1) != positions(2)


def test_ids_and_work_depend_on_the_seed_only() -> None:
    plain = [(m.id, json.loads(m.body)["work"]) for m in take(50)]
    poisoned = [(m.id, json.loads(m.body)["work"]) for m in take(50, poison=20)]
    assert plain == poisoned
    assert plain[:20] == [(m.id, json.loads(m.body)["work"]) for m in take(20)]
    assert not {i for i, _ in plain} & {m.id for m in take(50, seed=8)}


def test_a_seed_means_the_same_on_every_python() -> None:
    assert take(1, seed=42, every=1)[0].body == PINNED
    poison = [m.index for m in take(1000, seed=42, poison=5) if m.poison]
    assert poison == [26, 78, 555, 974, 980]


def test_memory_follows_the_poison_and_not_the_run() -> None:
    tracemalloc.start()
    rule = poison_rule(10**9, 100, 0, 1)
    for _ in islice(messages(1, rule), 20_000):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000, "20,000 messages are above 4 MB"


PINNED = '{"id": "bdd640fb-0667-4ad1-9c80-317fa3b1799d", "work": 282, "poison": true}'


@given(st.lists(st.integers(1, BYTES_MAX) | st.integers(1, 150_000), max_size=40))
def test_each_group_fits_one_call_and_would_not_hold_the_next(sizes: list[int]) -> None:
    groups = list(packed(sizes, lambda size: size))
    assert [size for group in groups for size in group] == sizes
    assert all(len(group) <= 10 and sum(group) <= BYTES_MAX for group in groups)
    for group, after in pairwise(groups):
        assert len(group) == 10 or sum(group) + after[0] > BYTES_MAX
