"""Keeps a queue short and never empty while a subject drains it; measures nothing itself."""

from __future__ import annotations

import threading

from benchmarks.ground import Ground
from benchmarks.measure import Figures, Start, drained
from benchmarks.subjects import Subject
from support.queues import QueueSet

LONGEST = 2000
SHORTEST = 1000
_TICK = 0.2


def through_a_short_queue(ground: Ground, subject: Subject, messages: int, start: Start) -> Figures:
    """Let the subject take `messages`, and send while it does, so that the queue stays as it is.

    What a short queue holds at the end stays there: the stack is the slower, the longer the queue.
    """
    made = ground.filled(LONGEST)
    over = threading.Event()
    feeder = threading.Thread(target=_feed, args=(made, messages + SHORTEST - LONGEST, over))
    feeder.start()
    try:
        return drained(ground, made, subject, messages, start)
    finally:
        over.set()
        feeder.join()


def _feed(made: QueueSet, left: int, over: threading.Event) -> None:
    while left > 0 and not over.wait(_TICK):
        if made.depth() < SHORTEST:
            part = min(left, LONGEST - SHORTEST)
            made.send_many(part)
            left -= part
