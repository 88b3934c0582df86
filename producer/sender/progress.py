"""What a person sees during the run: a bar on a terminal, at most a line a second elsewhere."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS_BETWEEN_LINES = 1.0


class Lines:
    """Plain lines, for files and pipes; `total` 0 = unknown."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._of = f" of {total}" if total else ""
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def update(self, sent: int) -> None:
        """Show that `sent` messages have been sent so far."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES
            self.note(f"sent {sent}{self._of}")

    def note(self, text: str) -> None:
        """Show a line that stays."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """End the display; notes may follow."""


class Bar(Lines):
    """A progress bar, below the notes; rich itself heeds NO_COLOR."""

    def __init__(self, stream: TextIO, total: int) -> None:
        from rich import progress  # noqa: PLC0415  (a tenth of a second that pipes need not pay)
        from rich.console import Console  # noqa: PLC0415

        super().__init__(stream, total)
        columns = (
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
        )
        self._bar: Progress = progress.Progress(*columns, console=Console(file=stream))
        self._task = self._bar.add_task("", total=total or None)
        self._bar.start()

    def update(self, sent: int) -> None:
        """Show that `sent` messages have been sent so far."""
        self._bar.update(self._task, completed=sent)

    def note(self, text: str) -> None:
        """Show a line that stays."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """End the display; notes may follow."""
        self._bar.stop()


def display(stream: TextIO, total: int) -> Lines:
    """The display that fits the stream."""
    smart = stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    return (Bar if smart else Lines)(stream, total)
