"""The same business has the same key, other business another, and without a key nothing is done."""

import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from sqs_worker.business import BusinessKey, key_of, requiring_key
from sqs_worker.message import KEY_BYTES, canonical, digest_of, identity_of, waves
from sqs_worker.ports import Rejected
from support.children import ROOT
from support.fakes import a_message

ORDER = BusinessKey("[order_id, action]")
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def body(**fields: Any) -> str:
    return json.dumps({"order_id": "A17", "action": "charge", "work": 5, **fields})


def key(text: str, business: BusinessKey = ORDER) -> str:
    return business.identify(text, "sqs-1").business_key


def why_not(text: str, business: BusinessKey = ORDER) -> str:
    found = business.identify(text, "sqs-1")
    assert not found.business_key
    assert found.id == identity_of(text, "sqs-1").id
    assert found.digest == digest_of(text)
    return found.unkeyed


class TestSameBusiness:
    def test_another_id_or_none_is_the_same_business_with_the_same_digest(self) -> None:
        found = [ORDER.identify(text, "s") for text in (body(id="m-1"), body(id="m-2"), body())]
        assert [one.id for one in found] == ["m-1", "m-2", "s"]
        assert {one.business_key for one in found} == {'key#["A17","charge"]'}
        assert len({(one.digest, one.canonical) for one in found}) == 1

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ('{"k": {"a": 1, "b": 2}}', '{"k":{"b":2,"a":1}}'),
            ('{"k": "é"}', '{"k": "\\u00e9"}'),
            ('{"k": 1}', '{"k": 1.0}'),
            ('{"k": 100}', '{"k": 1e2}'),
            ('{"k": 0}', '{"k": -0.0}'),
            ('{"k": 0.1}', '{"k": 1.0e-1}'),
            ('{"k": 9007199254740993.0}', '{"k": 9007199254740993}'),
            ('{"k": 1e23}', '{"k": 100000000000000000000000}'),
            ('{"k": 0.10000000000000000001}', '{"k": 1000.0000000000000001e-4}'),
            ('{"k": "a"}', '\ufeff{"k": "a"}'),
        ],
    )
    def test_however_it_is_written(self, one: str, other: str) -> None:
        business = BusinessKey("k")
        a, b = (business.identify(text, "s") for text in (one, other))
        assert a.business_key
        assert (a.business_key, a.canonical) == (b.business_key, b.canonical)

    def test_a_number_that_a_double_would_round_is_rounded_by_functions_alone(self) -> None:
        text = '{"k": [0.10000000000000000001, 5]}'
        assert key(text, BusinessKey("k[0]")) == "key#0.10000000000000000001"
        assert key(text, BusinessKey("k[0:1]")) == "key#[0.10000000000000000001]"
        for function in ("min(k)", "to_number(k[0])", "{a: sum(k[:1])}.a"):
            assert key(text, BusinessKey(function)) == "key#0.1"

    @pytest.mark.parametrize("function", ["sum(k)", "avg(k)", "max(k)", "to_number(k[0])"])
    def test_a_function_may_make_the_number(self, function: str) -> None:
        business = BusinessKey(function)
        assert key('{"k": [2]}', business) == key('{"k": [2.0]}', business) == "key#2"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"k": 1}', '{"k": "1"}'),
        ('{"k": 1}', '{"k": true}'),
        ('{"k": 0}', '{"k": false}'),
        ('{"k": "null"}', '{"k": "NULL"}'),
        ('{"k": ["a", "b"]}', '{"k": ["b", "a"]}'),
        ('{"k": ["a,b"]}', '{"k": ["a", "b"]}'),
        ('{"k": "\\ud800"}', '{"k": "\\ud801"}'),
        ('{"k": "\\ud800"}', '{"k": "\\ufffd"}'),
        ('{"k": 12345678901234567890}', '{"k": 12345678901234567891}'),
        ('{"k": 0.1}', '{"k": 0.2}'),
        ('{"k": "a "}', '{"k": "a"}'),
        ('{"k": 9007199254740993.0}', '{"k": 9007199254740992}'),
        ('{"k": 0.10000000000000000001}', '{"k": 0.1}'),
        ('{"k": 1e-400}', '{"k": 0}'),
        ('{"k": 1.00000000000000000001}', '{"k": 1}'),
    ],
)
def test_other_business_has_another_key(one: str, other: str) -> None:
    business = BusinessKey("k")
    assert key(one, business)
    assert key(other, business)
    assert key(one, business) != key(other, business)


def test_a_changed_payload_keeps_the_key_and_changes_the_digest() -> None:
    a, b = ORDER.identify(body(work=5), "s"), ORDER.identify(body(work=6), "s")
    assert a.business_key == b.business_key
    assert a.digest != b.digest


@pytest.mark.parametrize(
    ("one", "other"),
    [("0.1", "0.10000000000000000001"), ("9007199254740992", "9007199254740993.0")],
)
def test_two_payloads_that_are_one_as_doubles_have_one_digest_of_old_and_differ(
    one: str, other: str
) -> None:
    """Consumers of older versions compare `digest`; this one what no double has rounded."""
    a, b = (ORDER.identify(body().replace("5", work), "s") for work in (one, other))
    assert (a.business_key, a.digest) == (b.business_key, b.digest)
    assert a.canonical != b.canonical


def test_a_key_can_be_a_partition_key() -> None:
    longest = KEY_BYTES - len('key#["","charge"]')
    assert key(body(order_id="x" * longest)) == f'key#["{"x" * longest}","charge"]'
    hashed = key(body(order_id="x" * (longest + 1)))
    assert hashed.startswith("key#sha256:")
    assert hashed != key(body(order_id="x" * (longest + 2)))


def test_no_id_is_taken_for_a_key() -> None:
    taken = key(body())
    assert identity_of(json.dumps({"id": taken}), "s").id.startswith("sha256:")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"order_id": "A17"}', "action is missing, null or empty"),
        ('{"action": "charge", "id": "m-1"}', "order_id is missing, null or empty"),
        (body(action=None), "action is missing, null or empty"),
        (body(action=""), "action is missing, null or empty"),
        (body(action=[]), "action is missing, null or empty"),
        (body(action={}), "action is missing, null or empty"),
        (body(action=["a", {"b": None}]), "part 2.2.b of its value is missing, null or empty"),
        ("[]", "the body is no JSON object"),
        ('"A17"', "the body is no JSON object"),
        ("null", "the body is no JSON object"),
        ("A17", "the body is no JSON"),
        ("", "the body is no JSON"),
        ('{"order_id": ' + "9" * 5000 + "}", "the body is no JSON"),
        (body().replace("5", "NaN"), "a number in the payload is not finite"),
        (body().replace("5", "-Infinity"), "a number in the payload is not finite"),
        (body().replace("5", "1e400"), "a number in the payload is not finite"),
        ("[" * 100_000, "the payload is nested too deeply"),
    ],
)
def test_what_has_no_key_says_why_and_names_the_expression(text: str, reason: str) -> None:
    assert why_not(text) == f"IDEMPOTENCY_KEY='[order_id, action]': {reason}"


def test_an_sns_envelope_is_named_with_its_remedy() -> None:
    envelope = {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": body()}
    assert why_not(json.dumps(envelope)).endswith(
        "order_id is missing, null or empty; the body is an SNS envelope:"
        " enable raw message delivery on the SNS subscription"
    )
    for other in ({"Type": "Notification"}, {**envelope, "Type": "order"}, {"TopicArn": "x"}):
        assert "SNS" not in why_not(json.dumps(other))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("order.id", "order.id is missing, null or empty"),
        ("[order.id, work]", "order.id is missing, null or empty"),
        ("[work, items[0].sku]", "part 2 of its value is missing, null or empty"),
        ("{order: order.id}", "part order of its value is missing, null or empty"),
        ("items[0]", "its value is missing, null or empty"),
        ("join('#', [order_id, items])", "join() was given NoneType"),
        ("avg(items)", "avg() was given null"),
    ],
)
def test_what_is_missing_is_named_as_well_as_the_expression_allows(
    expression: str, reason: str
) -> None:
    assert why_not(body(), BusinessKey(expression)) == f"IDEMPOTENCY_KEY={expression!r}: {reason}"


def test_no_value_of_the_payload_is_told() -> None:
    secret = body(order_id="4111-1111", action="")
    assert "4111" not in why_not(secret)
    assert "4111" not in why_not(secret, BusinessKey("join('#', [order_id, work])"))


@pytest.mark.parametrize("value", [False, 0, " ", "0", [0], {"a": False}])
def test_false_zero_and_a_space_are_values(value: Any) -> None:
    assert key(body(action=value))


@pytest.mark.parametrize(
    "expression", ["'order_id'", "`1`", "length(@)", "type(order_id)", "not_null(a, 'b')"]
)
def test_an_expression_that_an_empty_payload_satisfies_is_none(expression: str) -> None:
    with pytest.raises(ValueError, match="empty payload"):
        BusinessKey(expression)


LEAF = (
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(min_size=1, max_size=8)
    | st.sampled_from(["\ud800", "1", "1.0", "true", "null", "key#", "é", 10**30, 1e30])
)
VALUE = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one, as a reader of JSON sees it: true is not 1, 1.0 is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is not type(None) and one == other


def shuffled(value: Any) -> Any:
    """The same value with the names of its objects the other way round, and 1 as 1.0."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [shuffled(part) for part in value]
    exact = type(value) is int and abs(value) < 2**53
    return float(value) if exact else value


@RELAXED
@given(value=VALUE, other=VALUE)
@example(value=1, other=True)
@example(value=10**30, other=1e30)
@example(value=[1.0], other=["1.0"])
def test_same_value_same_key_and_other_value_other_key(value: Any, other: Any) -> None:
    assert key_of(value) == key_of(shuffled(value))
    assert (key_of(value) == key_of(other)) == same(value, other)
    assert 1 <= len(key_of(value).encode()) <= KEY_BYTES


@RELAXED
@given(
    text=st.text(max_size=40)
    | st.recursive(
        LEAF | st.none() | st.floats() | st.just(""),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["order_id", "action", "id", "a"]), inner)
        ),
    ).map(json.dumps),
    expression=st.sampled_from(
        ["[order_id, action]", "*", "@", "a[0].b", "join('-', *)", "sort(*)", "max_by(a, &b)", "[]"]
    ),
)
@example(text='{"a": [{"b": 1}, {"b": "x"}]}', expression="max_by(a, &b)")
@example(text='{"order_id": 1e308, "action": 1e309}', expression="[order_id, action]")
def test_any_body_has_a_key_or_a_reason_and_never_both(text: str, expression: str) -> None:
    found = BusinessKey(expression).identify(text, "sqs-1")
    assert bool(found.business_key) != bool(found.unkeyed)
    assert len(found.digest) == 64
    assert found == BusinessKey(expression).identify(text, "sqs-1")


@RELAXED
@given(value=VALUE, other=VALUE)
def test_canonical_text_is_json_in_ascii_and_its_own_fixed_point(value: Any, other: Any) -> None:
    assume(not same(value, other))
    text = canonical(value)
    assert text.isascii()
    assert canonical(json.loads(text)) == text != canonical(other)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_without_an_end_has_no_text(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"k": number})


def test_a_message_without_a_key_is_refused_before_its_work_and_counted() -> None:
    counted: Counter[str] = Counter()
    worked: list[str] = []

    def count(name: str) -> None:
        counted[name] += 1

    work = requiring_key(lambda message: worked.append(message.id), count)
    work(a_message("good"))
    with pytest.raises(Rejected, match="action is missing"):
        work(replace(a_message("bad"), unkeyed="action is missing"))
    assert (worked, counted) == (["good"], {"no_key": 1})


def test_waves_keep_two_messages_of_one_key_apart() -> None:
    batch = [
        replace(a_message(one), business_key=key)
        for one, key in (("m-1", "key#a"), ("m-2", "key#b"), ("m-3", "key#a"), ("m-4", ""))
    ]
    assert [[m.id for m in wave] for wave in waves(batch)] == [["m-1", "m-2", "m-4"], ["m-3"]]


def test_events_carry_the_key_beside_the_id_where_there_is_one() -> None:
    message = replace(a_message("m-1"), business_key="key#a")
    assert message.names == {**a_message("m-1").names, "key": "key#a"} | {
        "delivery": message.delivery
    }
    assert "key" not in a_message("m-1").names


def test_a_consumer_without_the_setting_does_not_load_jmespath() -> None:
    code = (
        "import sys; from sqs_worker import settings\n"
        "settings.read({'QUEUE_URL': 'http://h/q'}); print('jmespath' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"
