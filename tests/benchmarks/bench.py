#!/usr/bin/env python3
"""The benchmark's door: arguments -> stack -> figures -> tables -> exit code; no logic."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks import comparison, goals, report
from benchmarks.comparison import IN_STEADY_STATE, Row
from benchmarks.ground import Ground, grounds

ROOT = Path(__file__).resolve().parents[2]
BUSY = 0.5
"""Load per core before the start above which ratios of rates say little."""
PARTS = ("compare", "lanes", "processes", "depth", "memory")


def main() -> int:
    """Exit code 0, or 1 where a goal is missed."""
    options = _arguments()
    console = Console(stderr=True, highlight=False)
    started, load = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), os.getloadavg()
    with TemporaryDirectory() as folder, grounds(Path(folder)) as (direct, slow):
        rows = list(_measure(options, direct, slow, console))
    found = goals.goals(rows)
    about = {
        "started": started,
        "load_before": load,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "messages": options.messages,
        "rounds": options.rounds,
    }
    report.show(Console(highlight=False, width=max(160, console.width)), rows, found)
    options.out.mkdir(parents=True, exist_ok=True)
    report.write_json(options.out / "bench.json", about, rows, found)
    report.draw(options.out / "bench.html", rows)
    _warn_of_load(console, load[0])
    console.print(
        f"figures in {options.out / 'bench.json'}, picture in {options.out / 'bench.html'}"
    )
    return 1 if any(goal.holds is False for goal in found) else 0


def _warn_of_load(console: Console, before: float) -> None:
    if before > BUSY * (os.cpu_count() or 1):
        console.print(
            f"[red]The load was {before:.1f} before the start.[/] Others slow what needs the CPU "
            "more than what waits, so ratios of rates do not count; run it again in quiet."
        )


def _measure(
    options: argparse.Namespace, direct: Ground, slow: Ground, console: Console
) -> Iterator[Row]:
    say = console.print
    if "compare" in options.parts:
        for ground in (slow, direct):
            yield from comparison.side_by_side(ground, options.messages, options.rounds, say)
    if "lanes" in options.parts:
        yield from comparison.lanes(slow, options.messages, (1, 2, 4, 8), say)
    if "processes" in options.parts:
        yield from comparison.processes(slow, options.messages, (1, 2, 4), say)
    sizes = (IN_STEADY_STATE // 100, IN_STEADY_STATE // 10, IN_STEADY_STATE)
    if "depth" in options.parts:
        yield from comparison.depths(direct, sizes, say)
    if "memory" in options.parts:
        yield from comparison.memory(direct, sizes, say)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Consumer, reference loop and floor, side by side on a local stack of its own."
    )
    parser.add_argument(
        "--messages", type=int, default=2000, help="for the fast ones; slow ones take fewer"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison; medians count")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "bench")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
