"""Appends what the process does to a file, one JSON line an event; knows no meaning of events."""

import json
import logging
import os
import stat
import time
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

log = logging.getLogger(__name__)


class Named(Protocol):
    """What an event can be about: a delivery, or a request to a service outside."""

    @property
    def names(self) -> dict[str, str]: ...


class Journal:
    """Events as JSON lines, each on disk when `event` returns: even `os._exit` loses none.

    The file is opened for append and each line is one `write`, so lines of several processes stay
    apart. The file is readable by its owner only. `lost` is True from the first line that could not
    be written; nothing is written after it, because a journal with a gap is not evidence.
    """

    def __init__(self, path: Path, who: str) -> None:
        self._path = path
        self._who = who
        self._lock = Lock()  # the rest of a short write must follow its beginning
        self.lost = False
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        # A device that takes no data refuses even zero bytes.
        os.write(self._file, b"\n" if _ends_torn(self._file, path) else b"")

    def event(self, event: str, about: Named | None = None, **fields: Any) -> None:
        """Append one event, with the names of what it is about, if anything. Never raises."""
        names = about.names if about else {}
        line = {"t": round(time.time(), 6), "who": self._who, "event": event, **names, **fields}
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                while data and not self.lost:
                    data = data[os.write(self._file, data) :]
            except OSError as error:
                self.lost = True
                log.error(
                    "cannot write the journal %s: %s; the consumer stops: it receives nothing "
                    "more, finishes and deletes the messages in work, and ends with exit code 4; "
                    "free the disk or set another JOURNAL_PATH, then start it again",
                    self._path,
                    error.strerror,
                )


def _ends_torn(file: int, path: Path) -> bool:
    """Whether the process before was stopped within a line, which would swallow the next."""
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return False
    with path.open("rb") as lines:
        lines.seek(-1, os.SEEK_END)
        return lines.read() != b"\n"


class NoJournal:
    """What stands in for a journal where none was asked for."""

    lost = False

    def event(self, event: str, about: Named | None = None, **fields: Any) -> None:
        """Do nothing."""


def open_journal(path: str) -> Journal | NoJournal:
    """The journal at `path`, or one that keeps nothing for an empty path.

    Raises OSError where the file cannot be written.
    """
    return Journal(Path(path), f"consumer-{os.getpid()}") if path else NoJournal()


Events = Journal | NoJournal
