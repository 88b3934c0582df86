"""One text for one JSON value, exact, in ASCII, and the same for ever: rows hold digests of it."""

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqs_worker.message import (
    NoNumber,
    canonical,
    canonical_of_parsed,
    parsed,
    parsed_as_doubles,
)

DIGITS = st.text("0123456789", min_size=1, max_size=30)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.builds(
        lambda sign, whole, part, power: f"{sign}{int(whole)}.{part}e{power}",
        st.sampled_from(["", "-"]),
        DIGITS,
        DIGITS,
        st.integers(-400, 250),
    ),
)


def text_of(body: str) -> str:
    return canonical_of_parsed(parsed(body))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (' {"b": 1, "a": [true, null]} ', '{"a":[true,null],"b":1}'),
        ('"é\\ud800"', '"\\u00e9\\ud800"'),
        ("1.0", "1"),
        ("1e0", "1"),
        ("-0.0", "0"),
        ("1.50", "1.5"),
        ("1e-7", "1e-07"),
        ("12345678901234567890", "12345678901234567890"),
        ("9007199254740993.0", "9007199254740993"),
        ("1e22", "1" + "0" * 22),
        ("1e23", "1" + "0" * 23),
        ("1e39", "1" + "0" * 39),
        ("1e40", "1E+40"),
        ("1.7976931348623157e308", "1.7976931348623157E+308"),
        ("0.10000000000000000001", "0.10000000000000000001"),
        ("0.100000000000000000010", "0.10000000000000000001"),
        ("1e-1000000000", "1E-1000000000"),
        ("9" * 4300, "9" * 4300),
    ],
)
def test_the_text_of_a_value(body: str, text: str) -> None:
    assert text_of(body) == text == canonical(parsed(body))
    assert text_of(text) == text


@given(one=NUMBERS, other=NUMBERS)
@example(one="9007199254740992", other="9007199254740993.0")
@example(one="0.1", other="0.10000000000000000001")
@example(one="1e-400", other="0")
@example(one="-0.0", other="0")
def test_numbers_are_one_where_their_exact_values_are(one: str, other: str) -> None:
    same = Decimal(one) == Decimal(other)
    short = abs(Decimal(one)) < Decimal("1e40")
    assert (text_of(one) == text_of(other)) == same or (same and not short)
    assert text_of(f'["{one}", {one}]') == f'["{one}",{text_of(one)}]'


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_it_is_fast_and_slow_the_same(value: Any) -> None:
    payload = parsed(json.dumps(value))
    assert canonical_of_parsed(payload) == canonical(payload)
    assert text_of(json.dumps([value, Decimal("0.1")], default=lambda _: 0))[1:-3] == canonical(
        payload
    )


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "-1e400", "1e-" + "9" * 30])
def test_what_is_no_number(number: str) -> None:
    with pytest.raises(NoNumber):
        parsed(f'{{"k": {number}}}')


def test_as_doubles_a_number_is_what_older_versions_made_of_it() -> None:
    text = "[9007199254740993.0, 0.10000000000000000001, 1e23, 1e-400, 1.0, 9007199254740993]"
    rounded = [9007199254740992, 0.1, 99999999999999991611392, 0, 1, 9007199254740993]
    assert parsed_as_doubles(text) == rounded
    assert [type(number) for number in parsed_as_doubles(text)] == [type(n) for n in rounded]


def test_one_byte_order_mark_is_skipped() -> None:
    assert parsed("\ufeff{}") == parsed_as_doubles("\ufeff{}") == {}
    with pytest.raises(ValueError, match="Expecting value"):
        parsed("\ufeff\ufeff{}")


@pytest.mark.parametrize(
    "number", ["1e308", "1e-1000000000", "0.10000000000000000001", "123456789.123456789e-300000"]
)
def test_a_body_full_of_extreme_numbers_grows_little_and_takes_no_time(number: str) -> None:
    body = f"[{','.join([number] * 20_000)}]"
    started = time.process_time()
    assert len(text_of(body)) <= 3 * len(body)
    assert time.process_time() - started < 5
