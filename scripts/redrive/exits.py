"""The exit codes of redrive.py, each with the sentence that --help prints."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the caller learns from the exit code."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Exit:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "every message to be moved was moved; without a move, the DLQ was shown"
    FAILED = 1, "some messages were not moved; they are named, and are still in the DLQ"
    SETTINGS = 2, "a setting is wrong; all problems are listed, and no call was made"
    AWS = 3, "cannot use queue, DLQ, table, credentials or endpoint; nothing was moved"
    BUSY = 4, "another redrive of this DLQ is running on this machine; nothing was moved"
    INTERRUPTED = 130, "Ctrl-C: the current batch was finished, and the rest was released"
    TERMINATED = 143, "SIGTERM: the same"
