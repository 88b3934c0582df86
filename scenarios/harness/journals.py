"""Reads journals, also while they are being written; it knows lines, and few names of events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from harness.history import Event, Journal


class Tail:
    """Follows a journal that is still being written; only whole lines become events."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.torn: str | None = None
        self._offset = 0
        self._line = 0

    def read(self) -> list[Event]:
        """Take in what was appended; returns all events so far."""
        if not self.path.exists():
            return self.events
        with self.path.open("rb") as journal:
            journal.seek(self._offset)
            data = journal.read()
        whole, newline, rest = data.rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.split(b"\n") if newline else []:
            self._line += 1
            self._take(line)
        if rest:
            self.torn = f"line {self._line + 1} is torn ({len(rest)} bytes without an end)"
        elif self.torn and "without an end" in self.torn:
            self.torn = None
        return self.events

    def _take(self, line: bytes) -> None:
        try:
            data = json.loads(line)
            event = Event(
                float(data.pop("t")), data.pop("who"), data.pop("event"), self._line, data
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.torn = f"line {self._line} is not an event ({error})"
            return
        self.events.append(event)


def read_journal(path: Path) -> Journal:
    """The whole journal of a process that has ended."""
    tail = Tail(path)
    events = tail.read()
    return Journal(path.stem, tuple(events), tail.torn)


def deleted_ids(events: Iterable[Event]) -> set[str]:
    return {event.id for event in events if event.name == "deleted" and event.id}


def used_up_ids(events: Iterable[Event], max_receives: int) -> set[str]:
    """Messages that were completed, received as often as allowed, and deleted by nobody."""
    events = list(events)
    done = {event.id for event in events if event.name == "completed" and event.id}
    last = {
        e.id for e in events if e.name == "received" and e.data["receive_count"] >= max_receives
    }
    return (done & last) - deleted_ids(events)


def exhausted_ids(events: Iterable[Event], max_receives: int, now: float) -> set[str]:
    """Messages on their final receive whose visibility timeout has expired."""
    return {
        event.id
        for event in events
        if event.name == "received"
        and event.id
        and event.data["receive_count"] >= max_receives
        and event.data["visible_at"] < now
    }
