"""Decides which lane may receive, when, and how many messages; sends nothing itself.

Each lane receives for itself and so never takes more than it can start at once. What is shared is
only the permission: many receives at a time while the queue is full, one long poll while it is
empty, none once a limit, an idle time or a stop is reached. After throttling there is also a pace,
in messages a second: half of what was received before, then more in equal steps (additive increase,
multiplicative decrease), so that the tables are not driven into throttling again and again.
"""

import math
import time
from dataclasses import dataclass
from threading import Condition

MEASURED_SECONDS = 5.0
"""A message received so long ago counts half in the pace that is measured before throttling."""
REGAINED_SECONDS = 15.0
"""After so long the pace is what it was before throttling, and it goes on growing as fast."""
SLOWEST = 0.5
"""Messages a second; slower than that is left to the waiting for the ledger itself."""


@dataclass(frozen=True)
class Permit:
    """Leave to receive up to `limit` messages, waiting at most `wait` seconds for the first."""

    limit: int
    wait: int


class ReceiveLimiter:
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
        self._halved = math.inf  # messages a second after the last throttling
        self._halved_at = 0.0
        self._next_at = 0.0  # no receive before
        self._recent = 0.0  # messages received, those of MEASURED_SECONDS ago count half
        self._recent_at = 0.0
        self.stopped: str | None = None

    def enter(self) -> Permit | None:
        """Wait for a turn to receive; None once receiving has ended."""
        with self._changed:
            while self.stopped is None and not self._may_enter():
                pause = self._next_at - time.monotonic()
                self._changed.wait(pause if pause > 0 else None)
            if self.stopped is not None:
                return None
            self._open += 1
            limit = int(min(self._cap, self._left, max(1.0, self._pace())))
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
                self._next_at = max(self._next_at, time.monotonic()) + received / self._pace()
                self._measure(received)
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

    def slow_start(self, *, throttled: bool) -> None:
        """After an outage: one lane with one message, doubling from there, up to half of the former
        pace where the ledger was throttled."""
        with self._changed:
            self._width = self._cap = 1
            self._active_at = time.monotonic()
            if throttled:
                measured = self._recent * math.log(2) / MEASURED_SECONDS
                self._halved = max(SLOWEST, min(measured, self._pace()) / 2)
                self._halved_at = time.monotonic()

    def close(self, reason: str) -> None:
        """End receiving for every lane; the first reason stands."""
        with self._changed:
            self.stopped = self.stopped or reason
            self._changed.notify_all()

    def _may_enter(self) -> bool:
        has_turn = self._open < self._width and self._left >= 1
        return has_turn and time.monotonic() >= self._next_at

    def _pace(self) -> float:
        """Messages a second that may be received now; infinite where nothing was ever throttled."""
        return self._halved * (1 + (time.monotonic() - self._halved_at) / REGAINED_SECONDS)

    def _measure(self, received: int) -> None:
        """Count what was received lately, less the longer ago it was."""
        now = time.monotonic()
        faded = math.pow(0.5, (now - self._recent_at) / MEASURED_SECONDS)
        self._recent, self._recent_at = self._recent * faded + received, now

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
