"""Keeps a queue short and never empty while a subject drains it; measures nothing itself."""

from __future__ import annotations

import threading

from benchmarks.ground import Ground
from benchmarks.measure import Figures, Start, drained
from benchmarks.subjects import Subject
from support.queues import QueueSet

LENGTH = 1500
_TICK = 0.2


def through_a_short_queue(ground: Ground, subject: Subject, messages: int, start: Start) -> Figures:
    """Let the subject take `messages`, and fill up behind it, so that the queue stays as it is.

    The stack is the slower, the longer the queue, and sending costs it something too: a short run
    must meet the same as a long one. What is in the queue at the end stays there.
    """
    made = ground.filled(LENGTH)
    over = threading.Event()
    feeder = threading.Thread(target=_feed, args=(made, over))
    feeder.start()
    try:
        return drained(ground, made, subject, messages, start)
    finally:
        over.set()
        feeder.join()


def _feed(made: QueueSet, over: threading.Event) -> None:
    while not over.wait(_TICK):
        made.send_many(max(0, LENGTH - made.depth()))
