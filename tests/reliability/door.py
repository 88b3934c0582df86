"""The consumer's real door with a test's hand inside; what production runs has none of this.

HAND is a comma-separated list: `stop` waits for the SIGKILL at the boundary that CRASH_AT names,
`clock` appends the time of each API call to CALLS_PATH, `adversary` puts `Adversary` around the
inbox, `hasty` gives messages back after 2 s of an outage instead of a minute.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, NoReturn

import consume
from sqs_worker import app, faults, outage
from sqs_worker.events import Meter
from sqs_worker.message import Message, delivery_of
from sqs_worker.sqs import SqsQueue


class Stop(faults.Crash):
    """Says where it is and stays there, so that the killer outside need not guess the moment."""

    def die(self, messages: Sequence[Message]) -> NoReturn:
        for message in messages:
            self._journal.event("crash", message, point=self._point, code=-9)
        while True:
            time.sleep(60)


class Clock(Meter):
    """A meter that also writes down when each call left, and which it was."""

    def __init__(self) -> None:
        super().__init__()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(os.environ["CALLS_PATH"], flags, 0o600)

    def _sent(self, event_name: str, **more: Any) -> None:
        super()._sent(event_name, **more)
        call = event_name.removeprefix("before-send.")
        os.write(self._file, json.dumps([time.time(), call]).encode() + b"\n")


class Adversary(SqsQueue):
    """Everything that a standard queue may do, all the time: copies, any order, stale handles.

    Of what a receive brings, some comes twice, some is handed over only by a later receive, when
    its handle may be stale, and the rest is shuffled.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._late: list[Message] = []
        self._lock = Lock()

    def receive(self, limit: int, wait: int) -> list[Message]:
        with self._lock:
            random.shuffle(self._late)
            late, self._late = self._late[: limit // 2], self._late[limit // 2 :]
        brought = super().receive(limit - len(late), wait)
        kept = [message for message in brought if random.random() < 0.2]
        with self._lock:
            self._late += [_stale(message) for message in brought if random.random() < 0.3]
            self._late += kept
        here = [message for message in brought if message not in kept] + late
        random.shuffle(here)
        return here


def _stale(message: Message) -> Message:
    """Another delivery of the message, whose handle has ended."""
    handle = f"{message.handle}-{random.randrange(10**6)}"
    return replace(message, handle=handle, delivery=delivery_of(handle))


HANDS: dict[str, tuple[Any, str, Any]] = {
    "stop": (faults, "Crash", Stop),
    "clock": (app, "Meter", Clock),
    "adversary": (app, "SqsQueue", Adversary),
    "hasty": (outage, "HOLD_SECONDS", 2.0),
}

if __name__ == "__main__":
    for name in os.environ["HAND"].split(","):
        where, attribute, stand_in = HANDS[name]
        setattr(where, attribute, stand_in)
    sys.exit(consume.main())
