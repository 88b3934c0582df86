"""Names the consumer's exit codes, and answers a signal that comes before the consumer runs."""

import os
import signal
from enum import IntEnum
from types import FrameType


class Exit(IntEnum):
    """What the exit code of the consumer says; a second signal exits with 128 + its number."""

    OK = 0
    """Stopped as asked: a limit, an idle time-out or a signal."""
    FAILED = 1
    """Stopped by an error that nobody foresaw; the traceback is in the log."""
    SETTINGS = 2
    """A setting was refused; no call to AWS was made."""
    AWS = 3
    """At the start the queue, a table, the credentials or the endpoint could not be used."""
    JOURNAL = 4
    """The journal could not be written; the consumer stopped as for a signal, and lost nothing."""
    CRASHED = 86
    """Died on purpose, as a crash setting asked: nothing flushed, nothing given back."""


STOPS = (signal.SIGTERM, signal.SIGINT)


def install() -> None:
    """From now on a stop ends the process at once: nothing is in hand yet.

    PID 1 of a container has no other way to be stopped: a signal that it has not asked for is lost.
    """
    for number in STOPS:
        signal.signal(number, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(Exit.OK)
