"""Shows rows and goals: tables on the terminal, a JSON file and a picture; measures nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Row
from benchmarks.goals import Goal
from benchmarks.measure import Figures

COLUMNS = (
    "messages",
    "messages/s",
    "calls/msg",
    "write units/msg",
    "$/million",
    "CPU ms/msg",
    "peak MB",
    "start s",
    "start CPU s",
    "stack busy",
    "proxy busy",
)
TITLES = {
    "compare": "side by side",
    "lanes": "lanes in one process",
    "processes": "processes",
    "depth": "length of the queue (the first 1,000 messages of it)",
    "memory": "messages through one process (queue kept at about 1,500)",
}
NOTE = (
    "CPU per message is without the start, which has columns of its own. 'Busy' is the CPU of "
    "MiniStack, and of the busier of two microbursts, per second: near 100 % the stack is what was "
    "measured. Prices are those of us-east-1 in consumer/sqs_worker/events.py. The consumer is in "
    "transactional mode unless plain is said; a transaction costs twice the units (quirk 10). "
    "The reference loop's writes are single ones; a crash between two of them is never repaired."
)


def show(console: Console, rows: Sequence[Row], goals: Sequence[Goal]) -> None:
    """Every table, then the goals."""
    for ground, kind in dict.fromkeys((row.ground, row.kind) for row in rows):
        table = Table(title=f"{ground}: {TITLES[kind]}", title_justify="left")
        table.add_column("")
        for column in COLUMNS:
            table.add_column(column, justify="right")
        for row in rows:
            if (row.ground, row.kind) == (ground, kind):
                table.add_row(row.name, *_cells(row))
        console.print(table)
    console.print(NOTE)
    table = Table(title="goals", title_justify="left")
    for column in ("", "asked", "found", ""):
        table.add_column(column)
    for goal in goals:
        table.add_row(goal.name, goal.asked, goal.found, _verdict(goal))
    console.print(table)


def _verdict(goal: Goal) -> str:
    return {True: "[green]yes[/]", False: "[red]NO[/]", None: "[dim]-[/]"}[goal.holds]


def _cells(row: Row) -> list[str]:
    f = row.figures
    return [
        f"{f.messages:,}",
        f"{f.rate:,.1f}",
        f"{f.calls:.3f}",
        f"{f.write_units:.2f}",
        f"{f.usd_per_million:.2f}",
        f"{f.cpu_ms:.2f}",
        f"{f.memory:.0f}",
        f"{f.start.seconds:.2f}",
        f"{f.start.cpu:.2f}",
        f"{f.stack_busy:.0%}",
        f"{f.proxy_busy:.0%}",
    ]


def write_json(path: Path, about: dict[str, Any], rows: list[Row], goals: list[Goal]) -> None:
    """All figures, unrounded."""
    content = {
        "about": about,
        "rows": [asdict(row) for row in rows],
        "goals": [asdict(goal) for goal in goals],
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


PANELS: dict[str, Callable[[Figures], float]] = {
    "messages/s (logarithmic)": lambda figures: figures.rate,
    "API calls per message": lambda figures: figures.calls,
    "$ per million messages": lambda figures: figures.usd_per_million,
    "CPU ms per message": lambda figures: figures.cpu_ms,
}
COLOURS = {"direct": "#7a5195", "aws-like": "#ef8354"}


def draw(path: Path, rows: Sequence[Row]) -> None:
    """One HTML page that needs no network: all side by side, then what grows with what."""
    from plotly.subplots import make_subplots  # noqa: PLC0415 - half a second that only this needs

    growing = [kind for kind in TITLES if kind != "compare" and _of(rows, kind)]
    titles = [*PANELS, *(f"{TITLES[kind]}: messages/s" for kind in growing)]
    lines = (len(titles) + 1) // 2
    figure = make_subplots(rows=lines, cols=2, subplot_titles=titles, vertical_spacing=0.4 / lines)
    for place, value in enumerate(PANELS.values()):
        for ground, colour in COLOURS.items():
            found = [row for row in _of(rows, "compare") if row.ground == ground]
            names = [row.key for row in found]
            _bars(figure, place, names, [value(row.figures) for row in found], ground, colour)
    for place, kind in enumerate(growing, start=len(PANELS)):
        found = _of(rows, kind)
        names = [f"{row.name}, {row.ground}" for row in found]
        rates = [row.figures.rate for row in found]
        _bars(figure, place, names, rates, found[0].ground, COLOURS[found[0].ground])
    figure.update_yaxes(type="log", row=1, col=1)
    figure.update_layout(height=430 * lines, title="Benchmark", template="plotly_white")
    figure.write_html(path, include_plotlyjs=True)


def _bars(
    figure: Any, place: int, names: list[str], heights: list[float], ground: str, colour: str
) -> None:
    from plotly import graph_objects as go  # noqa: PLC0415

    bars = go.Bar(
        name=ground,
        x=names,
        y=heights,
        text=[f"{height:,.0f}" if height >= 100 else f"{height:.3g}" for height in heights],
        marker_color=colour,
        legendgroup=ground,
        showlegend=place == 0,
    )
    figure.add_trace(bars, row=place // 2 + 1, col=place % 2 + 1)


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row.kind == kind]
