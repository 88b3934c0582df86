"""Tells when a server gave an answer that came late; pure.

A receive hides its messages when the server answers, and the answer may be on its way for seconds.
The server's `Date` says when that was, in whole seconds and by a clock that is not ours.
"""

import math
from threading import Lock


class ServerClock:
    """How far the server's clock is ahead of the local monotonic one, in bounds.

    An answer with the Date D was given between D and D + 1 of the server's clock, and between its
    request and its arrival of the local one. Each answer bounds the difference, and the narrowest
    bounds count. Where they contradict each other a clock has been set, and only the latest count.
    All times are in seconds. May be used by several threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._low, self._high = -math.inf, math.inf

    def note(self, sent: float, arrived: float, date: float) -> None:
        """An answer with this Date came between these two local moments."""
        low, high = date - arrived, date + 1 - sent
        with self._lock:
            self._low, self._high = max(self._low, low), min(self._high, high)
            if self._low > self._high:
                self._low, self._high = low, high

    def earliest(self, server_time: float) -> float:
        """The earliest local moment at which it can have been so late at the server."""
        with self._lock:
            return server_time - self._high
