#!/usr/bin/env python3
"""Makes the pictures of the documentation: real demos on a terminal, then their pages in a browser.

Each demo has a local stack of its own and stops it; what it leaves in reports/ is any run.
"""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETUP = 2
COLUMNS = 80
TAIL = 2000  # characters that an error repeats
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG")


try:
    from screenshots.screen import as_svg
    from screenshots.shots import NoBrowserError, Shot, shoot
    from screenshots.terminal import on_terminal
except ModuleNotFoundError as missing:
    sys.exit(f"pictures: {missing.name} is not installed in this Python; run: make venv-test")

FAST = (
    Shot("overview", "crash", ("h1", "table")),
    Shot(
        "duplicates",
        "duplicates",
        ("#duplicates .charts > h3", "#duplicates .legend", "#duplicates .story"),
    ),
)
DEPTH = "#backpressure .charts > h3:nth-of-type(2)"
FLOOD = (Shot("backpressure", "backpressure", (DEPTH, f"{DEPTH} + [data-chart=depth]")),)


def main(arguments: list[str] | None = None) -> int:
    """0, or 2 where a demo did not pass or there is no browser."""
    parser = ArgumentParser(description=__doc__)
    folder = ROOT / "docs" / "pictures"
    parser.add_argument("--to", type=Path, default=folder, help="default: docs/pictures")
    to = parser.parse_args(arguments).to
    to.mkdir(parents=True, exist_ok=True)
    try:
        said = demo()
        (to / "terminal.svg").write_text(as_svg(said, "make demo", COLUMNS), encoding="utf-8")
        shoot(page_of(said), FAST, to)
        shoot(page_of(demo("backpressure")), FLOOD, to)
    except (NoBrowserError, ValueError) as error:
        print(f"pictures: {error}", file=sys.stderr)
        return SETUP
    print(f"pictures: written to {to}")
    return 0


def demo(*scenarios: str) -> str:
    """What `make demo` writes to a terminal; ValueError with its end where it did not pass."""
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    command = [sys.executable, "scripts/demo.py", *scenarios]
    code, said = on_terminal(command, ROOT, env, COLUMNS)
    if code:
        raise ValueError(f"demo.py {' '.join(scenarios)} exited {code}: {said[-TAIL:]}")
    return said


def page_of(said: str) -> Path:
    """The page that a run has told of; ValueError where it told of none."""
    found = re.search(r"the page of this run:\s+(\S+)", said)
    if not found:
        raise ValueError(f"no page was written: {said[-TAIL:]}")
    return ROOT / found[1]


if __name__ == "__main__":
    sys.exit(main())
