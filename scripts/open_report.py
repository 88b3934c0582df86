#!/usr/bin/env python3
"""Opens the page of the newest run in the browser where there is one, else says where it lies."""

from __future__ import annotations

import os
import sys
import webbrowser
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETUP = 2


def main(arguments: list[str] | None = None) -> int:
    """0, or 2 where there is no run to show."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="a folder of reports/; default: newest")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports", help="where to look")
    chosen = parser.parse_args(arguments)
    try:
        page = page_of(chosen.run or newest(chosen.reports))
    except (ValueError, OSError) as error:
        print(f"report: {error}; run: make demo", file=sys.stderr)
        return SETUP
    print(page)
    if has_browser(os.environ, sys.platform):
        webbrowser.open(page.as_uri())
    return 0


def newest(reports: Path) -> Path:
    """The last run, by its name, which is its time; ValueError if there is none."""
    runs = sorted(path for path in reports.glob("*") if any(path.glob("*/scenario.json")))
    if not runs:
        raise ValueError(f"{reports} holds no run")
    return runs[-1]


def page_of(run: Path) -> Path:
    """The run's page; written now where its runner did not live to write it."""
    page = run.absolute() / "index.html"
    if not page.exists():
        from report.write import write_page  # noqa: PLC0415 - plotly is slow to load

        write_page(page.parent)
    return page


def has_browser(environment: Mapping[str, str], platform: str) -> bool:
    """Whether there is a screen: a browser of the terminal would take this terminal over."""
    named = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return platform in ("darwin", "win32") or any(environment.get(name) for name in named)


if __name__ == "__main__":
    sys.exit(main())
