"""Reads journals and asks the system which of their consumers still run; it knows no AWS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from doctor.evidence import Evidence, number
from doctor.facts import Unknown
from doctor.runs import gather
from harness.history import Journal
from harness.journals import read_journal
from local_stack.holders import command_line

NO_JOURNAL = "no journal: run the consumer with JOURNAL_PATH, or pass --journal FILE"


def evidence(paths: Sequence[Path], queue_url: str) -> Evidence | Unknown:
    """What the journals tell of this queue."""
    journals = []
    for path in paths:
        try:
            path.stat()
            journals.append(read_journal(path))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            return Unknown(f"journal {path}: {getattr(error, 'strerror', None) or error}")
    if not journals:
        return Unknown(NO_JOURNAL)
    told = gather(journals, queue_url, _alive(journals))
    return Unknown(told) if isinstance(told, str) else told


def _alive(journals: Iterable[Journal]) -> frozenset[str]:
    """A pid is given to others later, so the process must also be a consumer."""
    starts = [event for one in journals for event in one.events if event.name == "start"]
    return frozenset(
        event.who
        for event in starts
        if isinstance(event.who, str)
        and (pid := number(event.data.get("pid")))
        and "consume.py" in command_line(int(pid))
    )
