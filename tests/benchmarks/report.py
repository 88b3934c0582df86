"""Shows rows and goals: tables on the terminal, a JSON file and a picture; measures nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import Row
from benchmarks.goals import Goal

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
    "memory": "messages through one process (queue kept between 1,000 and 2,000)",
}
NOTE = (
    "CPU per message is without the start, which has columns of its own. 'Busy' is the CPU of "
    "MiniStack, and of the busier of two microbursts, per second: near 100 % the stack is what "
    "was measured. Prices are those of us-east-1 in consumer/worker/meter.py."
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


def draw(path: Path, rows: Sequence[Row]) -> None:
    """One HTML page that needs no network: rates, calls, dollars and CPU of the five; scaling."""
    from plotly import graph_objects as go  # noqa: PLC0415 - half a second that only this needs
    from plotly.subplots import make_subplots  # noqa: PLC0415

    panels = {
        "messages/s": lambda f: f.rate,
        "API calls per message": lambda f: f.calls,
        "$ per million messages": lambda f: f.usd_per_million,
        "CPU ms per message": lambda f: f.cpu_ms,
    }
    scaling = [kind for kind in ("lanes", "processes", "depth", "memory") if _of(rows, kind)]
    titles = [*panels, *(f"{TITLES[kind]}: messages/s" for kind in scaling)]
    lines = 2 + (len(scaling) + 1) // 2
    figure = make_subplots(rows=lines, cols=2, subplot_titles=titles, vertical_spacing=0.3 / lines)
    for place, value in enumerate(panels.values()):
        for ground in dict.fromkeys(row.ground for row in rows):
            found = [row for row in _of(rows, "compare") if row.ground == ground]
            bar = go.Bar(
                name=ground,
                x=[row.name.split(",")[0] if row.key == "floor" else row.name for row in found],
                y=[value(row.figures) for row in found],
                marker_color="#7a5195" if ground == "direct" else "#ef8354",
                showlegend=place == 0,
            )
            figure.add_trace(bar, row=place // 2 + 1, col=place % 2 + 1)
    for place, kind in enumerate(scaling, start=len(panels)):
        found = _of(rows, kind)
        bar = go.Bar(
            x=[f"{row.name} ({row.ground})" for row in found],
            y=[row.figures.rate for row in found],
            marker_color="#2f6690",
            showlegend=False,
        )
        figure.add_trace(bar, row=place // 2 + 1, col=place % 2 + 1)
    figure.update_yaxes(type="log", row=1, col=1)
    figure.update_layout(
        height=420 * lines, title="SQS consumer: benchmark", template="plotly_white"
    )
    figure.write_html(path, include_plotlyjs=True)


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row.kind == kind]
