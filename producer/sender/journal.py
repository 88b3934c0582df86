"""The journal: a JSON line and one write per event, so that a kill tears one line at most."""

import json
import os
import time


class Journal:
    """Appends events to a file that other processes may append to as well; no path = off."""

    def __init__(self, path: str) -> None:
        self._who = f"producer-{os.getpid()}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(path, flags, 0o600) if path else None

    def write(self, event: str, **fields: object) -> None:
        """Append one event; `fields` must be what JSON can hold."""
        if self._file is not None:
            line = {"t": round(time.time(), 6), "who": self._who, "event": event, **fields}
            os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")
