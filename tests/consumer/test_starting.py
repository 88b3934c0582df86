"""A start waits for what may pass by itself, and for nothing else."""

import logging

import pytest

from sqs_worker.app import LONGEST_PAUSE, SAY_EVERY, patiently
from sqs_worker.ports import Down
from support.fakes import FakeTime


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    one = FakeTime()
    monkeypatch.setattr("sqs_worker.app.time", one)
    return one


class Start:
    """Fails so often, then answers."""

    def __init__(self, failures: float, *, passing: bool = True) -> None:
        self.left, self.tries, self.passing = failures, 0, passing

    def __call__(self) -> str:
        self.tries += 1
        self.left -= 1
        if self.left >= 0:
            raise Down("no answer", passing=self.passing)
        return "started"


def test_it_tries_again_with_longer_pauses(clock: FakeTime) -> None:
    start = Start(8)
    assert patiently(start, 60) == "started"
    assert start.tries == 9
    assert [pause <= LONGEST_PAUSE for pause in clock.sleeps] == [True] * 8
    assert clock.sleeps[0] <= 0.5
    assert clock.sleeps[-1] >= LONGEST_PAUSE / 2
    assert len(set(clock.sleeps)) == 8  # jitter


def test_it_gives_up_when_the_time_is_over_after_a_last_try(clock: FakeTime) -> None:
    start = Start(10**9)
    with pytest.raises(Down, match="no answer"):
        patiently(start, 60)
    assert sum(clock.sleeps) == pytest.approx(60)
    assert start.tries == len(clock.sleeps) + 1


def test_without_patience_one_try_is_all(clock: FakeTime) -> None:
    start = Start(1)
    with pytest.raises(Down):
        patiently(start, 0)
    assert (start.tries, clock.sleeps) == (1, [])


def test_what_does_not_pass_by_itself_ends_it_at_once(clock: FakeTime) -> None:
    start = Start(1, passing=False)
    with pytest.raises(Down):
        patiently(start, 60)
    assert (start.tries, clock.sleeps) == (1, [])


def test_it_says_so_once_and_then_at_intervals(
    clock: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Down):
        patiently(Start(10**9), 60)
    said = [record.getMessage() for record in caplog.records]
    assert 2 <= len(said) <= 60 / SAY_EVERY
    assert said[0].startswith("cannot start yet: no answer; trying again for up to 60 s")
