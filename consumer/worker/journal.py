"""Appends what the process does to a file, one JSON line an event; knows no meaning of events."""

import json
import os
import time
from pathlib import Path
from typing import Any, Protocol


class Named(Protocol):
    """What an event can be about: a delivery, or a request to a service outside."""

    @property
    def names(self) -> dict[str, str]: ...


class Journal:
    """Events as JSON lines, each on disk when `event` returns: even `os._exit` loses none.

    One `write` on a descriptor opened for append is what keeps the lines of threads and processes
    apart without a lock. The file is readable by its owner only.
    """

    def __init__(self, path: Path, who: str) -> None:
        self._who = who
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def event(self, event: str, about: Named | None = None, **fields: Any) -> None:
        """Append one event, with the names of what it is about, if anything."""
        names = about.names if about else {}
        line = {"t": round(time.time(), 6), "who": self._who, "event": event, **names, **fields}
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


class NoJournal:
    """What stands in for a journal where none was asked for."""

    def event(self, event: str, about: Named | None = None, **fields: Any) -> None:
        """Do nothing."""


def open_journal(path: str) -> Journal | NoJournal:
    """The journal at `path`, or one that keeps nothing for an empty path.

    Raises OSError where the file cannot be written.
    """
    return Journal(Path(path), f"consumer-{os.getpid()}") if path else NoJournal()


Events = Journal | NoJournal
