"""When messages are due: a schedule fixed at the start; pure, the caller brings the clock.

Message k is due at start + k / rate, whatever the calls before it took, so delays never add up.
A batch leaves when its last message is due: earlier would run ahead of the rate. It is cut so
small that its first one is held back HOLD_SECONDS at most: 5/s go one by one, 500/s in tens.
"""

from dataclasses import dataclass

HOLD_SECONDS = 0.1


@dataclass(frozen=True)
class Pace:
    """A schedule of `rate` messages per second (0: all are due at `start`, in clock seconds)."""

    rate: float
    batch_size: int
    start: float

    def due(self, index: int) -> float:
        """The clock time at which message `index` is due."""
        return self.start + index / self.rate if self.rate else self.start

    def ready(self, first: int, left: int, now: float) -> int:
        """How many messages from `first` on leave now; 0 = wait. Late ones fill a whole batch."""
        count, limit = 0, min(self.batch_size, left)
        while count < limit and self.due(first + count) <= now:
            count += 1
        return count if count >= self._enough(left) else 0

    def wait(self, first: int, left: int, now: float) -> float:
        """Seconds until `ready` is not 0."""
        return max(0.0, self.due(first + self._enough(left) - 1) - now)

    def span(self, departed: float) -> float:
        """Seconds that the schedule up to the departure of its last message stands for.

        n messages fill n slots of 1 / rate; nobody waits for the end of the last one.
        """
        return departed - self.start + (1 / self.rate if self.rate else 0)

    def _enough(self, left: int) -> int:
        return min(self.batch_size, left, 1 + int(self.rate * HOLD_SECONDS))
