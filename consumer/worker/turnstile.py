"""Decides which lane may receive, when, and how many messages; sends nothing itself.

Each lane receives for itself and so never takes more than it can start at once. What is shared is
only the permission: many receives at a time while the queue is full, one long poll while it is
empty, none once a limit, an idle time or a stop is reached.
"""

import math
import time
from dataclasses import dataclass
from threading import Condition


@dataclass(frozen=True)
class Permit:
    """Leave to receive up to `limit` messages, waiting at most `wait` seconds for the first."""

    limit: int
    wait: int


class Turnstile:
    """The permission to receive. `idle_timeout` is in seconds; 0 means no limit, as for `limit`.

    `stopped` is None while receiving goes on, then the reason for its end: limit, idle, or what
    `close` was told.
    """

    def __init__(
        self, *, lanes: int, batch: int, wait: int, limit: int, idle_timeout: float
    ) -> None:
        self._lanes = lanes
        self._batch = batch
        self._wait = wait
        self._left = limit or math.inf
        self._idle_timeout = idle_timeout or math.inf
        self._changed = Condition()
        self._width = 1
        self._cap = batch
        self._open = 0
        self._busy = 0
        self._active_at = time.monotonic()
        self.stopped: str | None = None

    def enter(self) -> Permit | None:
        """Wait for a turn to receive; None once receiving has ended."""
        with self._changed:
            while self.stopped is None and (self._open >= self._width or self._left < 1):
                self._changed.wait()
            if self.stopped is not None:
                return None
            self._open += 1
            limit = int(min(self._cap, self._left))
            self._left -= limit
            return Permit(limit, self._patience())

    def leave(self, permit: Permit, received: int) -> None:
        """Say what a receive brought: a full hand lets one more lane in, none leaves one poll."""
        with self._changed:
            self._open -= 1
            self._left += permit.limit - received
            if received:
                self._busy += 1
                self._active_at = time.monotonic()
                self._cap = min(self._batch, self._cap * 2)
            if received == permit.limit:
                self._width = min(self._lanes, self._width + 1)
            elif not received:
                self._width = 1
            self._settle()

    def give_up(self, permit: Permit) -> None:
        """Nothing could be received, which does not say that the queue is idle."""
        with self._changed:
            self._active_at = time.monotonic()
        self.leave(permit, 0)

    def finished(self) -> None:
        """A lane is through with the batch of its last receive."""
        with self._changed:
            self._busy -= 1
            self._active_at = time.monotonic()
            self._settle()

    def slow_start(self) -> None:
        """After an outage: one lane with one message, doubling from there."""
        with self._changed:
            self._width = self._cap = 1
            self._active_at = time.monotonic()

    def close(self, reason: str) -> None:
        """End receiving for every lane; the first reason stands."""
        with self._changed:
            self.stopped = self.stopped or reason
            self._changed.notify_all()

    def _patience(self) -> int:
        """Seconds to wait: not far past the idle time, so that its end is noticed when it comes."""
        left = self._active_at + self._idle_timeout - time.monotonic()
        return self._wait if left >= self._wait else min(self._wait, max(1, math.ceil(left)))

    def _settle(self) -> None:
        idle = time.monotonic() - self._active_at
        if self.stopped is None and self._left < 1 and not self._open:
            self.stopped = "limit"
        elif self.stopped is None and not self._busy and idle >= self._idle_timeout:
            self.stopped = "idle"
        self._changed.notify_all()
