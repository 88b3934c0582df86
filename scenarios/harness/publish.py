"""Writes the page of a run after its verdicts; a page that fails costs a line and no verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def publish(run: Path, say: Callable[[str], None]) -> None:
    """Write index.html of this run and say where it is, or why it is not there."""
    try:
        from report.write import write_page  # noqa: PLC0415 - plotly is slow to load

        page = write_page(run)
    except Exception as error:  # the page only shows: whatever is wrong with it, the verdicts stand
        say(
            f"no page was written: {type(error).__name__}: {error}; the verdicts stand, "
            f"the evidence is in {run}"
        )
        return
    shown = str(page).replace(f"{Path.cwd()}/", "")
    say(f"the page of this run: {shown}")
