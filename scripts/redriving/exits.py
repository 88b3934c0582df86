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

    OK = 0, "all that was to be moved is moved; or, without a move, the DLQ was shown"
    FAILED = 1, "something that was to be moved is not; it is named, and still in the DLQ"
    SETTINGS = 2, "a bad setting; all of them are named and nothing was called"
    AWS = 3, "queue, DLQ, table, credentials or endpoint unusable; nothing was moved"
    BUSY = 4, "another redrive of this DLQ is at work on this machine; nothing was moved"
    INTERRUPTED = 130, "Ctrl-C: the batch in hand was finished, the rest given back at once"
    TERMINATED = 143, "SIGTERM: the same"
