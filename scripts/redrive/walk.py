"""Goes once through a DLQ: sees each message once and gives every one back at the end.

Messages stay hidden until they are moved or the walk ends. If they were given back earlier, the
next receive would bring them again. A rate and a limit decide when to receive, and how many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from redrive.dead_letters import DeadLetter
from redrive.rules import BATCH
from sender.run import Pace

TICK_SECONDS = 0.1  # a signal only sets a flag, so no wait may be longer than this
LATE_SECONDS = 1.0  # what is due for longer is not caught up with: a rate is also an upper bound


EMPTY_RECEIVES = 2  # in a row, before nothing visible is believed to be left (quirk 5)
SLACK_SECONDS = 2.0  # for what becomes visible when its timeout ends


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


class Source(Protocol):
    """What a walk needs of SQS."""

    def receive(self, count: int) -> list[DeadLetter]: ...
    def give_back(self, handles: Sequence[str]) -> int: ...
    def in_flight(self) -> int: ...


class Walk:
    """`due` gives how many messages may be received now, 0 where it is time to end.

    Afterwards `saw_all` says that there was no more, `in_other_hands` how many others hid.
    """

    def __init__(
        self,
        source: Source,
        visibility: int,
        due: Callable[[], int],
        stopped: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._due, self._stopped, self._clock = source, due, stopped, clock
        self._patience = visibility + SLACK_SECONDS
        self._held: dict[str, str] = {}
        self.in_other_hands = 0
        self.saw_all = False

    def __iter__(self) -> Iterator[list[DeadLetter]]:
        """Messages not seen before, some at a time, until there are no more or it is stopped."""
        empty = quiet = 0  # receives in a row that brought nothing, and nothing new
        others = 0
        news = self._clock()
        while not self._over(empty, quiet, others, news) and (count := self._due()):
            # Counted before the receive: what becomes visible in between is then received.
            others = self._others() if empty else 0
            letters = self._source.receive(count)
            fresh = [one for one in letters if one.sqs_id not in self._held]
            self.hold(letters)  # those seen before are hidden again, under a newer handle
            empty = 0 if letters else empty + 1
            quiet = 0 if fresh else quiet + 1
            if fresh:
                news = self._clock()
            if fresh and not self._stopped():
                yield fresh

    def _over(self, empty: int, quiet: int, others: int, news: float) -> bool:
        """Counts never end the walk; they make it wait for what others may give back."""
        if self._stopped():
            return True
        if empty >= EMPTY_RECEIVES and not others:
            self.saw_all = True
            return True
        if quiet >= EMPTY_RECEIVES and self._clock() - news > self._patience:
            self.in_other_hands = others
            return True
        return False

    def _others(self) -> int:
        return max(0, self._source.in_flight() - len(self._held))

    def hold(self, letters: Iterable[DeadLetter]) -> None:
        """Keep these hidden until the end."""
        self._held.update((one.sqs_id, one.handle) for one in letters)

    def gone(self, letter: DeadLetter) -> None:
        """It was deleted: nothing is to be given back, and what comes again is news."""
        self._held.pop(letter.sqs_id, None)

    def give_back(self) -> int:
        """Make all that is held visible again; returns how many could not be."""
        handles, self._held = list(self._held.values()), {}
        return self._source.give_back(handles)
