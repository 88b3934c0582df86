"""Tries a start again while what is in its way may pass by itself; knows nothing of AWS."""

import logging
import math
import random
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from .ports import Down

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
SAY_EVERY = 15.0
"""Seconds between two log lines while it waits."""

T = TypeVar("T")
log = logging.getLogger(__name__)


def patiently(start: Callable[[], T], seconds: float) -> T:
    """What `start` returns, tried for `seconds` with exponential backoff and jitter.

    Raises the `Down` of the last try, and at once one that does not pass by itself.
    """
    give_up = time.monotonic() + seconds
    told = -math.inf
    for tries in count():
        try:
            return start()
        except Down as down:
            left = give_up - time.monotonic()
            if not down.passing or left <= 0:
                raise
            if time.monotonic() - told >= SAY_EVERY:
                told = time.monotonic()
                log.warning(
                    "cannot start yet: %s; trying again for up to %.0f s "
                    "(START_TIMEOUT_SECONDS=%g); nothing is received meanwhile",
                    *(down, left, seconds),
                )
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries, 10))
        time.sleep(min(left, random.uniform(longest / 2, longest)))
    raise AssertionError
