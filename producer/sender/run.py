"""Sends messages as they fall due, with a limited number of batches in flight.

Message k is due at start + k / rate, however long earlier calls took, so delays never add up.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Self

from .exits import Stop
from .payloads import Message, messages, packed, poison_rule
from .report import Report
from .send import Answer
from .settings import Settings

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


TICK_SECONDS = 0.1
"""No wait of the main thread may be longer: a signal only sets a flag, and Linux may give it to
another thread, which Python then answers when the main thread wakes up."""
Send = Callable[[Sequence[Message]], Answer]


def produce(settings: Settings, send: Send, report: Report, stop: Stop) -> None:
    """Send what `settings` ask for, until it is sent, `stop` is set or the report has an error."""
    n, every = settings.n, settings.poison_every
    is_poison = poison_rule(n, settings.poison_count, every, settings.seed)
    source = messages(settings.seed, is_poison, settings.fields or ())
    pace = Pace(settings.rate, settings.batch_size, time.monotonic())
    taken, departed = 0, pace.start
    with Window(send, report.settle, settings.concurrency) as window:
        while not (stop.caught or report.error) and (left := n - taken if n else pace.batch_size):
            now = time.monotonic()
            if count := pace.ready(taken, left, now):
                for batch in packed(islice(source, count), lambda message: len(message.body)):
                    window.add(batch)
                taken, departed = taken + count, now
            else:
                window.rest(min(pace.wait(taken, left, now), TICK_SECONDS))
    report.close(stop, pace.span(departed) if settings.rate else 0)


class Window:
    """Batches in flight, settled in the order in which they left; bounded, so memory is too."""

    def __init__(self, send: Send, settle: Callable[[Answer], None], concurrency: int) -> None:
        self._send, self._settle, self._concurrency = send, settle, concurrency
        self._pool = ThreadPoolExecutor(concurrency)
        self._open: deque[Future[Answer]] = deque()
        self._limit = 0  # the first batch goes alone: it shows whether the queue can be used

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._settle_oldest()
        self._pool.shutdown()

    def add(self, batch: Sequence[Message]) -> None:
        """Send a batch as soon as a thread is free; blocks while too many are open."""
        self._open.append(self._pool.submit(self._send, batch))
        while len(self._open) > self._limit:
            self._settle_oldest()
        self._limit = 2 * self._concurrency  # so that no thread waits for the oldest to be settled

    def rest(self, seconds: float) -> None:
        """Pass `seconds`, or less where the oldest batch ends meanwhile."""
        if not self._open:
            time.sleep(seconds)
        elif wait([self._open[0]], seconds).done:
            self._settle_oldest()

    def _settle_oldest(self) -> None:
        while not self._open[0].done():
            wait([self._open[0]], TICK_SECONDS)
        self._settle(self._open.popleft().result())
