"""The schedule, with a clock that only the test moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sender.run import HOLD_SECONDS, Pace

START = 1000.0


def departures(pace: Pace, n: int, call_seconds: list[float]) -> list[tuple[float, int, int]]:
    """(time, first index, size) of each batch when calls take turns in taking these seconds."""
    now, first, found = pace.start, 0, []
    while first < n:
        if size := pace.ready(first, n - first, now):
            found.append((now, first, size))
            first += size
            now += call_seconds[len(found) % len(call_seconds)]
        else:
            wait = pace.wait(first, n - first, now)
            assert wait > 0, "not ready, and nothing to wait for: the loop would spin"
            now += wait
    return found


def test_without_a_rate_full_batches_leave_at_once() -> None:
    pace = Pace(0, 10, START)
    assert departures(pace, 25, [0.0]) == [(START, 0, 10), (START, 10, 10), (START, 20, 5)]


@pytest.mark.parametrize(("rate", "size"), [(0.1, 1), (5, 1), (50, 6), (500, 10), (5000, 10)])
def test_batches_are_as_large_as_the_hold_allows(rate: float, size: int) -> None:
    first, second = departures(Pace(rate, 10, START), 100, [0.0])[:2]
    assert first[2] == second[2] == size
    assert (size - 1) / rate <= HOLD_SECONDS


def test_one_message_at_a_time_leaves_on_the_dot() -> None:
    times = [time - START for time, _, _ in departures(Pace(5, 10, START), 6, [0.15])]
    assert times == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_slow_calls_do_not_shift_the_schedule() -> None:
    """Sleeping 1 / rate after each call would end at 20 s instead of 10."""
    last, first, size = departures(Pace(50, 10, START), 500, [0.1])[-1]
    assert first + size == 500
    assert last - START == pytest.approx(499 / 50, abs=0.1)


def test_a_stall_is_made_up_in_full_batches() -> None:
    pace = Pace(50, 10, START)
    assert pace.ready(0, 1000, START + 10) == 10
    assert departures(pace, 500, [3.0] + [0.0] * 49)[-1][0] == pytest.approx(START + 499 / 50)


def test_the_last_batch_does_not_wait_for_messages_that_never_come() -> None:
    time, first, size = departures(Pace(50, 10, START), 7, [0.0])[-1]
    assert (time, first, size) == (START + 6 / 50, 6, 1)


def test_the_span_counts_the_slot_of_the_last_message() -> None:
    assert Pace(5, 10, START).span(START + 9.8) == pytest.approx(10.0)


@settings(deadline=None, max_examples=60)
@given(
    rate=st.floats(0.5, 2000),
    batch_size=st.integers(1, 10),
    n=st.integers(1, 300),
    call=st.floats(0, 0.004),
)
def test_never_early_never_held_back_and_in_order(
    rate: float, batch_size: int, n: int, call: float
) -> None:
    pace = Pace(rate, batch_size, START)
    expected = 0
    keeps_up = call * rate < batch_size / 2 and call * rate < 1 + rate * HOLD_SECONDS / 2
    for time, first, size in departures(pace, n, [call]):
        assert first == expected
        assert 1 <= size <= batch_size
        assert time >= pace.due(first + size - 1), "a message left before it was due"
        if keeps_up:
            assert time - pace.due(first) <= HOLD_SECONDS + 10 * call + 1e-6
        expected += size
    assert expected == n
