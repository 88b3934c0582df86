"""Times, money and lists in words."""

from __future__ import annotations

import pytest

from doctor.amounts import dollars, many, mean, money, p99, plain, some, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.004, "0 s"),
        (0.05, "0.05 s"),
        (1, "1 s"),
        (1.25, "1.2 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_799, "48 h"),
        (172_800, "2 days"),
        (345_600, "4 days"),
        (1_209_600, "14 days"),
        (86_400 * 12_345, "12,345 days"),
    ],
)
def test_span(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5.0], 5.0), ([1.0, 9.0], 9.0), ([1.0] * 99 + [9.0], 1.0), ([1.0] * 98 + [8.0, 9.0], 8.0)],
)
def test_p99(values: list[float], expected: float) -> None:
    assert p99(values) == expected


def test_counts_money_and_settings() -> None:
    assert many(1, "message") == "1 message"
    assert many(0, "delivery") == "0 deliveries"
    assert many(1234, "run") == "1,234 runs"
    assert money(dollars(5_184_000)) == "$2.07"
    assert mean([1.0, 2.0]) == 1.5
    assert (plain(True), plain(False), plain(0.5), plain("x")) == ("1", "0", "0.5", "x")


def test_some_names() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some("abcde") == "a, b, c and 2 more"
    assert some(["x" * 60]) == "x" * 60
    assert some(["x" * 61]) == "x" * 60 + "..."
