"""The live view of a flood on a terminal; it draws ticks and knows nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.history import Tick

WIDTH = 60  # ticks that are drawn, the last ones
HEIGHTS = " ▁▂▃▄▅▆▇█"


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
