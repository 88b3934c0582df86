"""Shared by the consumer's integration tests: quick settings and the journal."""

import json
from pathlib import Path
from typing import Any

QUICK = {
    "SLEEP_MIN_SECONDS": "0",
    "SLEEP_MAX_SECONDS": "0",
    "WAIT_TIME_SECONDS": "1",
    "IDLE_TIMEOUT_SECONDS": "1",
}


class Journal:
    """The journal of one or more consumers, as lists of events."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env = {"JOURNAL_PATH": str(path)}

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Events of these names, or all, in the order written; a torn line is left out."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in found if not names or event["event"] in names]

    def count(self, name: str) -> int:
        return len(self.events(name))

    def summary(self) -> dict[str, Any]:
        return self.events("summary")[-1]
