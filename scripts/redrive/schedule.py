"""When messages may be received, and how many: at a rate, up to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable

from redrive.rules import BATCH
from sender.pace import Pace

TICK_SECONDS = 0.1  # a signal only sets a flag, so no wait may be longer than this
LATE_SECONDS = 1.0  # what is due for longer is not caught up with: a rate is also an upper bound


class Schedule:
    """`rate` in messages per second, 0 as fast as possible; `limit` messages in all, 0 no limit.

    Messages are received when they are due, so none waits hidden for its turn.
    """

    def __init__(
        self,
        rate: float,
        limit: int,
        stopped: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stopped, self._clock, self._sleep = stopped, clock, sleep
        self._pace, self._taken = Pace(rate, BATCH, clock()), 0
        self._left = limit or None

    def due(self) -> int:
        """Wait until messages are due; 0 where the limit is reached or the run is stopped."""
        most = BATCH if self._left is None else min(BATCH, self._left)
        while most and not self._stopped():
            now = self._clock()
            if now - self._pace.due(self._taken) > LATE_SECONDS:
                self._pace, self._taken = Pace(self._pace.rate, BATCH, now), 0
            if count := self._pace.ready(self._taken, most, now):
                return count
            self._sleep(min(self._pace.wait(self._taken, most, now), TICK_SECONDS))
        return 0

    def took(self, count: int) -> None:
        """So many of those that were due have been moved."""
        self._taken += count
        if self._left is not None:
            self._left -= count
