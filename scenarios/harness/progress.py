"""How far running scenarios are, from what they have saved, and the live views of that."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.history import Event, Tick
from harness.journals import Tail

DONE = frozenset(("completed", "already_done", "cached"))
LAST_LINE = 400  # bytes at the end of samples.jsonl that hold at least one whole sample


@dataclass(frozen=True)
class Progress:
    """One running scenario; `in_flight` and `dlq` are the last sample's approximate counts."""

    label: str
    seconds: float
    sent: int
    in_flight: int
    completed: int
    redelivered: int
    dlq: int
    consumers: int


class Watching:
    """Follows every scenario of a run's folder until its verdict is there."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._followed: dict[str, _Followed] = {}

    def look(self) -> list[Progress]:
        """The scenarios that run now, by name."""
        for path in self._run.glob("*/scenario.json"):
            if path.parent.name not in self._followed:
                self._followed[path.parent.name] = _Followed(path.parent)
        running = [one for one in self._followed.values() if one.runs()]
        return sorted((one.look() for one in running), key=lambda progress: progress.label)


@dataclass
class _Followed:
    folder: Path
    tails: dict[str, Tail] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    alive: set[str] = field(default_factory=set)
    completed: set[str] = field(default_factory=set)
    redelivered: set[str] = field(default_factory=set)

    def runs(self) -> bool:
        return not (self.folder / "verdict.json").exists()

    def look(self) -> Progress:
        for pattern in ("producer*.jsonl", "consumer-*.jsonl"):
            for path in self.folder.glob(pattern):
                self._take(path)
        sample = _last_sample(self.folder / "samples.jsonl")
        return Progress(
            self.folder.name,
            max(0.0, time.time() - (self.folder / "scenario.json").stat().st_mtime),
            self.sent,
            sample.get("in_flight", 0),
            len(self.completed),
            len(self.redelivered),
            sample.get("dlq", 0),
            len(self.alive),
        )

    def _take(self, path: Path) -> None:
        """Each event is counted once, however often the file is read."""
        tail = self.tails.setdefault(path.name, Tail(path))
        events = tail.read()
        for event in events[self.read.get(path.name, 0) :]:
            self._count(path.stem, event)
        self.read[path.name] = len(events)

    def _count(self, who: str, event: Event) -> None:
        key = event.id
        if who.startswith("producer"):
            self.sent += event.name == "sent"
        elif event.name == "start":
            self.alive.add(who)
        elif event.name in ("stop", "crash"):
            self.alive.discard(who)
        elif key and event.name in DONE:
            self.completed.add(key)
        elif key and event.name == "received" and event.data.get("receive_count", 1) > 1:
            self.redelivered.add(key)


def _last_sample(path: Path) -> dict[str, Any]:
    """The last whole line; nothing where there is none yet."""
    try:
        with path.open("rb") as samples:
            samples.seek(max(0, path.stat().st_size - LAST_LINE))
            lines = samples.read().split(b"\n")[:-1]
        found = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


WIDTH = 60  # ticks that are drawn, the last ones
HEIGHTS = " ▁▂▃▄▅▆▇█"


def board(rows: Sequence[Progress]) -> RenderableType:
    """One line for each running scenario; narrow enough for 80 columns."""
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column("running", min_width=14)
    for column in ("time", "sent", "in flight", "completed", "redelivered", "DLQ", "consumers"):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = (row.sent, row.in_flight, row.completed, row.redelivered, row.dlq, row.consumers)
        table.add_row(Text(row.label), f"{row.seconds:.0f} s", *(str(n) for n in numbers))
    return table


def in_words(row: Progress) -> str:
    """The same for a log."""
    return (
        f"{row.label} runs for {row.seconds:.0f} s: {row.sent} sent, {row.in_flight} in flight, "
        f"{row.completed} completed, {row.redelivered} redelivered, {row.dlq} in the DLQ, "
        f"{row.consumers} consumers"
    )


def view(name: str, ticks: Sequence[Tick]) -> RenderableType:
    """The last tick in words, backlog and consumers of the last minute as bars."""
    last = ticks[-1]
    told = (
        f"{name}  {last.t:.0f} s  {last.phase}: {last.consumers} consumers "
        f"(the rule asks for {last.desired}), backlog {last.backlog}"
    )
    grid = Table.grid(padding=(0, 1))
    for label, values in (
        ("backlog", [tick.backlog for tick in ticks[-WIDTH:]]),
        ("consumers", [tick.consumers for tick in ticks[-WIDTH:]]),
    ):
        grid.add_row(label, Text(bars(values), style="cyan"), f"peak {max(values)}")
    return Group(told, grid)


def bars(values: Sequence[int]) -> str:
    """One character each, relative to the largest."""
    most = max(*values, 1)
    return "".join(HEIGHTS[-(-value * (len(HEIGHTS) - 1) // most)] for value in values)
