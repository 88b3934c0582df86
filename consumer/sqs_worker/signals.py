"""Answers a stop that comes before the consumer runs; the loop takes the signals over from it."""

import os
import signal
from types import FrameType

from .exits import Exit

STOPS = (signal.SIGTERM, signal.SIGINT)


def install() -> None:
    """From now on a stop ends the process at once: nothing is in hand yet.

    PID 1 of a container has no other way to be stopped: a signal that it has not asked for is lost.
    """
    for number in STOPS:
        signal.signal(number, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(Exit.OK)
