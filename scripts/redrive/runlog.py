"""The journal of a DLQ: what was about to be sent, what was sent; outlives any death of a run.

One file for each DLQ, appended to by run after run: to go on after a death is to run it again. A
MessageId names one stay in the DLQ, so what is known to be sent is never sent again from there.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redrive.rules import Memory

WHO = "redrive-"
"""And the process. Other doors may write into the same file, and they also say `sent`."""


class BusyError(Exception):
    """Another redrive on this machine works on the same DLQ."""


class RunLog:
    """An open journal; one process has it at a time, and death gives it free."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Raises OSError where it cannot be written, BusyError where somebody else has it."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path, self._clock = path, clock
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise BusyError(f"another redrive is at work and has {path}") from None
        _sync_folder(path.parent)
        self._end_torn_line()
        self.memory = recalled(path)

    def _end_torn_line(self) -> None:
        """A line that a dying run did not finish must not swallow the next one."""
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def sending(self, sqs_ids: Iterable[str]) -> None:
        """Before the call: whoever dies from here on may have sent them."""
        ids = list(sqs_ids)
        self.write([{"event": "sending", "sqs_ids": ids}], durable=True)
        self.memory.doubtful.update(ids)

    def sent(self, sent: Iterable[Mapping[str, Any]], not_sent: Iterable[str]) -> None:
        """After the answer; `not_sent` are those of which it is certain."""
        events, refused = [dict(one, event="sent") for one in sent], list(not_sent)
        self.memory.sent.update(one["sqs_id"] for one in events)
        self.memory.doubtful.difference_update(self.memory.sent, refused)
        if refused:
            events.append({"event": "not_sent", "sqs_ids": refused})
        self.write(events, durable=True)

    def write(self, events: Iterable[Mapping[str, Any]], *, durable: bool = False) -> None:
        """Append with one write; `durable` waits until the disk has it. Raises OSError."""
        head = {"t": self._clock(), "who": f"{WHO}{os.getpid()}"}
        lines = "".join(json.dumps({**head, **event}) + "\n" for event in events)
        data = lines.encode()
        try:
            while data:  # a full disk takes a part of it and refuses the rest
                data = data[os.write(self._file, data) :]
            if durable:
                os.fsync(self._file)
        except OSError as error:
            error.filename = str(self.path)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)


def recalled(path: Path) -> Memory:
    """What the journal knows; an empty memory where there is none.

    A torn line is skipped: one of `sending` was not followed by a call, one of `sent` leaves its
    messages doubtful.
    """
    memory = Memory()
    if not path.exists():
        return memory
    with path.open("rb") as lines:
        for line in lines:
            try:
                event = json.loads(line)
                if event["who"].startswith(WHO):
                    _recall(event, memory)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    memory.doubtful -= memory.sent
    return memory


def _recall(event: Mapping[str, Any], memory: Memory) -> None:
    match event["event"]:
        case "sending":
            memory.doubtful.update(event["sqs_ids"])
        case "not_sent":
            memory.doubtful.difference_update(event["sqs_ids"])
        case "sent":
            memory.sent.add(event["sqs_id"])


def _sync_folder(folder: Path) -> None:
    """So that a new file's name outlives a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
