"""How a run ends: the exit codes and the flag that a signal sets; knows nothing of sending."""

import os
import signal
from enum import IntEnum
from types import FrameType

SHOW_CURSOR = b"\x1b[?25h"


class Exit(IntEnum):
    """What the caller learns from the exit code; `meaning` is the sentence that --help prints."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "Exit":
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "every message was sent"
    FAILED = 1, "something could not be sent; each such message is named"
    SETTINGS = 2, "a bad setting; all of them are named and nothing was sent"
    AWS = 3, "queue, credentials, region, profile or endpoint unusable; nothing was sent"
    JOURNAL = 4, "the journal could not be written; the open batches were finished, no other begun"
    INTERRUPTED = 130, "Ctrl-C: the open batches were finished and the summary printed"
    TERMINATED = 143, "SIGTERM: the same"


class Stop:
    """Set by the first SIGINT or SIGTERM; the second one ends the process where it stands."""

    caught: signal.Signals | None = None

    def install(self) -> None:
        """Take over both signals; to be called from the main thread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._catch)

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        if self.caught is not None:
            if os.isatty(2):
                os.write(2, SHOW_CURSOR)  # the progress bar hid it and will not run again
            os._exit(128 + number)
        # A flag and no threading.Event: setting one here can deadlock on its own lock.
        self.caught = signal.Signals(number)
