"""The live views on a terminal: running scenarios, and a flood; it draws what it is given."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.history import Tick
from harness.progress import Progress

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
