"""Shows a run as it goes and at its end; it decides nothing.

On a terminal with colours and a table, elsewhere in plain lines; NO_COLOR is honoured by rich.
"""

from __future__ import annotations

import json
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.history import Tick
from harness.judging import Outcome
from harness.progress import Progress, Watching, board, in_words, view
from harness.scenario import Finding, Scenario, Verdict

LOOK_EVERY = 0.25  # seconds between two pictures on a terminal
TELL_EVERY = 10.0  # seconds between two lines elsewhere
STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.UNKNOWN: "yellow"}


class Report:
    """Prints to one stream from several threads."""

    def __init__(self, stream: TextIO, cases: Mapping[str, Scenario]) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._proves = {name: case.proves for name, case in cases.items()}
        self._widest = max(map(len, cases), default=0)
        self._lock = threading.Lock()
        self._moves = self._console.is_terminal and not self._console.is_dumb_terminal
        self._flood = ""
        self._ticks: list[Tick] = []
        self._running: list[Progress] = []
        self._live: Live | None = None

    def say(self, text: str) -> None:
        with self._lock:
            self._console.print("\n".join(map(self._wrapped, text.splitlines())), markup=False)

    def show_tick(self, name: str, tick: Tick) -> None:
        """A flood as it goes: a view on a terminal, one line a second elsewhere."""
        with self._lock:
            self._flood = name
            self._ticks.append(tick)
            if self._moves:
                self._draw()
            else:
                self._console.print(_line(name, tick), markup=False)

    @contextmanager
    def watch(self, run: Path) -> Iterator[None]:
        """While this lasts, show how far the scenarios are whose evidence goes into this folder."""
        over = threading.Event()
        watcher = threading.Thread(target=self._follow, args=(Watching(run), over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            with self._lock:
                self._end_live()

    def _follow(self, watching: Watching, over: threading.Event) -> None:
        while not over.wait(LOOK_EVERY if self._moves else TELL_EVERY):
            rows = watching.look()
            with self._lock:
                self._running = rows
                if self._moves:
                    self._draw()
                else:
                    self._tell(rows)

    def _tell(self, rows: Sequence[Progress]) -> None:
        for row in rows:
            if not (
                self._flood and row.label.startswith(self._flood)
            ):  # it has told enough, tick by tick
                self._console.print(f"        {in_words(row)}", markup=False)

    def _draw(self) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        flood = [view(self._flood, self._ticks)] if self._ticks else []
        self._live.update(
            Group(*([board(self._running)] if self._running else []), *flood), refresh=True
        )

    def _end_live(self) -> None:
        """The picture of a flood stays; the board of running scenarios goes."""
        if self._live is None:
            return
        self._running = []
        if self._ticks:
            self._draw()
        self._live.transient = not self._ticks
        self._live.stop()
        self._live = None

    def done(self, outcome: Outcome) -> None:
        """One line for what has ended, more where it did not pass."""
        line = (
            f"{_verdict(outcome):7} {outcome.label:{self._widest}} {outcome.seconds:5.1f} s  "
            f"{told(outcome)}"
        )
        with self._lock:
            text = Text(self._wrapped(line))
            text.stylize(_style(outcome), 0, len(_verdict(outcome)))
            self._console.print(text)
            if outcome.error:
                self._console.print(indented(outcome.error), markup=False)
            for finding in outcome.findings:
                if finding.verdict is not Verdict.PASS:
                    self._console.print(explained(finding), markup=False)
                if finding.shows:
                    self._console.print(indented(finding.shows), markup=False)

    def _wrapped(self, line: str) -> str:
        """One line for a log; on a terminal as many as its width needs, each between two words."""
        if not self._console.is_terminal:
            return line
        indent = " " * 8
        return textwrap.fill(
            line,
            self._console.width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def close(self, outcomes: Sequence[Outcome]) -> None:
        """What each has proved: a table on a terminal, lines elsewhere."""
        counts = Counter(_verdict(outcome) for outcome in outcomes)
        summary = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        with self._lock:
            self._end_live()
            if self._console.is_terminal and len(outcomes) > 1:
                self._console.print(self._table(outcomes), soft_wrap=False)
            else:
                for outcome in outcomes:
                    self._console.print(f"{outcome.label}: {self._proved(outcome)}", markup=False)
            self._console.print(summary or "nothing was run", markup=False)

    def _table(self, outcomes: Sequence[Outcome]) -> Table:
        """What each has counted stands above it, so that this is short at 80 columns too."""
        table = Table(box=box.HORIZONTALS)
        for column in ("verdict", "scenario", "proved"):
            table.add_column(column)
        for outcome in outcomes:
            table.add_row(
                f"[{_style(outcome)}]{_verdict(outcome)}[/]",
                outcome.label,
                escape(self._proved(outcome)),
            )
        return table

    def _proved(self, outcome: Outcome) -> str:
        proved = self._proves.get(outcome.name, "")
        return proved if outcome.verdict is Verdict.PASS else f"not proved: {proved}"


def _line(name: str, tick: Tick) -> str:
    return (
        f"        {name} {tick.t:6.1f} s  {tick.phase:11} consumers {tick.consumers} "
        f"(rule: {tick.desired})  backlog {tick.backlog}"
    )


def _style(outcome: Outcome) -> str:
    return "bold red" if outcome.error else STYLES[outcome.verdict]


def _verdict(outcome: Outcome) -> str:
    return "SETUP" if outcome.error else str(outcome.verdict)


def told(outcome: Outcome) -> str:
    """The counts of an outcome in a few words."""
    numbers = outcome.measures
    if "sent" not in numbers:
        return "not run" if outcome.error else "no counts"
    parts = [f"{numbers['sent']} sent", f"{numbers['completed']} completed"]
    parts += [f"{numbers['in_dlq']} in the DLQ"] if numbers["in_dlq"] else []
    parts += [_many(numbers["deliveries"], "delivery", "deliveries")]
    parts += [_many(numbers["crashes"], "crash", "crashes")] if numbers["crashes"] else []
    stale = numbers["stale_deletes"]
    parts += [_many(stale, "stale delete", "stale deletes")] if stale else []
    if "peak_backlog" in numbers:
        parts += [
            f"peak backlog {numbers['peak_backlog']}",
            f"oldest wait {numbers['oldest_wait_seconds']} s",
            f"{numbers['peak_consumers']} consumers at most",
            f"equilibrium after {numbers['seconds_to_equilibrium']} s",
        ]
    return ", ".join(parts)


def _many(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def explained(finding: Finding) -> str:
    """A finding for a reader: expected, seen, where to look."""
    text = (
        f"{finding.verdict}: {finding.check}\n  expected  {finding.expected}\n"
        f"  seen      {finding.seen}\n  look at   {finding.look_at}"
    )
    return indented(text.replace(f"{Path.cwd()}/", ""))


def indented(text: str) -> str:
    return "\n".join("        " + line for line in text.splitlines())


def as_json(outcomes: Sequence[Outcome], talks_to: str) -> str:
    """The whole run for a program."""
    rows: list[dict[str, Any]] = [
        {
            "scenario": outcome.name,
            "run": outcome.label,
            "verdict": _verdict(outcome),
            "seconds": round(outcome.seconds, 2),
            "counts": outcome.measures,
            "error": outcome.error,
            "folder": str(outcome.folder),
            "findings": [vars(finding) for finding in outcome.findings],
        }
        for outcome in outcomes
    ]
    return json.dumps({"talks_to": talks_to, "scenarios": rows}, indent=1, default=str)
