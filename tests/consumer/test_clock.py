"""Whatever the delays, the earliest moment is not after the true one, and soon close to it."""

import math
import random

import pytest

from sqs_worker.sqs import ServerClock

AHEAD = 1_700_000_000.37
"""What the server's clock shows when the local one shows 0."""


class Server:
    """Answers with its Date; the clock under test learns of each answer."""

    def __init__(self) -> None:
        self.clock = ServerClock()
        self.ahead = AHEAD

    def answer(self, sent: float, there: float, back: float = 0.0) -> float:
        """A request that takes so long to its answer, which takes so long back; its Date."""
        date = math.floor(sent + there + self.ahead)
        self.clock.note(sent, sent + there + back, date)
        return date


@pytest.mark.parametrize("seed", range(20))
def test_it_is_never_after_the_true_moment(seed: int) -> None:
    chance, server, now = random.Random(seed), Server(), 0.0
    for _ in range(200):
        there, back = chance.expovariate(1), chance.expovariate(1)
        date = server.answer(now, there, back)
        assert server.clock.earliest(date) <= now + there
        now += chance.uniform(0, 3)


def test_quick_answers_tell_the_difference_to_a_fraction_of_a_second() -> None:
    server = Server()
    for number in range(50):
        server.answer(number * 1.03, 0.01, 0.01)
    for there in (0.0, 3.0, 19.9):  # of a long poll
        moment = 100 + there
        date = server.answer(100, there, 0.01)
        assert moment - 1.1 <= server.clock.earliest(date) <= moment


def test_an_answer_that_was_on_its_way_for_seconds_is_known() -> None:
    server = Server()
    for number in range(50):
        server.answer(number * 1.03, 0.01, 0.01)
    date = server.answer(100, 0.01, 4.0)
    assert 98.9 <= server.clock.earliest(date) <= 100.01


@pytest.mark.parametrize("step", [-3600.0, -2.0, 2.0, 3600.0])
def test_a_server_whose_clock_is_set_is_believed_again(step: float) -> None:
    server = Server()
    for number in range(50):
        server.answer(number * 1.03, 0.01, 0.01)
    server.ahead += step
    for number in range(100, 103):
        date = server.answer(number * 1.03, 0.01, 0.01)
    assert server.clock.earliest(date) == pytest.approx(102 * 1.03, abs=2)
