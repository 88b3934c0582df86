"""The journal: a JSON line and one write per event, so that a kill tears one line at most."""

import json
import os
import stat
import time
from pathlib import Path


class Journal:
    """Appends events to a file that other processes may append to as well; no path = off.

    `lost` says why an event could not be written; nothing is written after it, because a journal
    with a gap is not evidence.
    """

    def __init__(self, path: str) -> None:
        """Raises OSError where the file cannot be written."""
        self._who = f"producer-{os.getpid()}"
        self.lost = ""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(path, flags, 0o600) if path else None
        if self._file is not None:
            # A device that takes no data refuses even zero bytes.
            os.write(self._file, b"\n" if _ends_torn(self._file, Path(path)) else b"")

    def write(self, event: str, **fields: object) -> None:
        """Append one event; `fields` must be what JSON can hold. Never raises."""
        if self._file is None or self.lost:
            return
        line = {"t": round(time.time(), 6), "who": self._who, "event": event, **fields}
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            self.lost = os.strerror(error.errno or 0)


def _ends_torn(file: int, path: Path) -> bool:
    """Whether the process before was stopped within a line, which would swallow the next."""
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return False
    with path.open("rb") as lines:
        lines.seek(-1, os.SEEK_END)
        return lines.read() != b"\n"
