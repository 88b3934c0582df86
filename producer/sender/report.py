"""Counts what a run did and reports it: journal, progress on the terminal, summary, exit code."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from signal import SIGINT
from typing import TYPE_CHECKING, TextIO

from .exits import Exit, Stop
from .journal import Journal
from .send import Answer, Outcome
from .settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress

GIVE_UP_AFTER = 5  # batches in a row of which nothing was taken: the queue itself is out of order
LATE_SECONDS = 0.5  # of the last message, when the rate was too much to keep


class Report:
    """The counts of one run, from its construction to `close`.

    `calls` is read when the run ends; `error` says why there is no point in sending more.
    """

    def __init__(
        self, settings: Settings, calls: Counter[str], journal: Journal, shown: Lines
    ) -> None:
        self.sent = self.failed = self.poison = 0
        self.error = ""
        self._settings, self._calls, self._journal, self._shown = settings, calls, journal, shown
        self._batches = self._barren = 0
        self._seconds = self._rate = 0.0
        self._started = time.monotonic()
        journal.write(
            "start",
            queue=settings.queue_url,
            n=settings.n,
            rate=settings.rate,
            batch_size=settings.batch_size,
            seed=settings.seed,
        )
        self.error = journal.lost

    @property
    def retries(self) -> int:
        """Calls beyond one per batch: the SDK's, and ours for what failed."""
        return max(0, self._calls.total() - self._batches)

    def settle(self, answer: Answer) -> None:
        """Take in one batch; to be called in the order in which batches left."""
        taken = [outcome.message for outcome in answer.outcomes if outcome.sqs_id]
        self.sent += len(taken)
        self.failed += len(answer.outcomes) - len(taken)
        self.poison += sum(message.poison for message in taken)
        self._batches += 1
        self._barren = 0 if taken else self._barren + 1
        for outcome in answer.outcomes:
            self._record(outcome, named=bool(self.sent or not answer.refusal))
        if self._barren >= GIVE_UP_AFTER:
            last = answer.outcomes[-1]
            self.error = f"{GIVE_UP_AFTER} batches in a row failed ({last.code}: {last.reason})"
        self.error = answer.refusal or self._journal.lost or self.error
        if not self.error:
            self._shown.update(self.sent)

    def _record(self, outcome: Outcome, *, named: bool) -> None:
        message, code, reason = outcome.message, outcome.code, outcome.reason
        about = {"id": message.id, "index": message.index}
        if outcome.sqs_id:
            asked = {"fields": dict(message.fields)} if message.fields else {}
            about |= {"poison": message.poison, "sqs_id": outcome.sqs_id}
            self._journal.write("sent", **about, **asked)
            return
        self._journal.write("send_failed", **about, code=code, reason=reason)
        if named:
            self._shown.note(f"not sent: {message.id} (index {message.index}): {code}: {reason}")

    def close(self, stop: Stop, span: float) -> None:
        """End the run; `span` is the seconds that its schedule covers, 0 if it had none."""
        self._seconds = time.monotonic() - self._started
        self._rate = self.sent / (span or self._seconds)
        self._shown.close()
        reason = "error" if self.error else "signal" if stop.caught else "done"
        signal = stop.caught.name if stop.caught else None
        self._journal.write("stop", reason=reason, signal=signal)
        self._journal.write(
            "summary",
            sent=self.sent,
            failed=self.failed,
            poison=self.poison,
            rate=round(self._rate, 3),
            calls=dict(self._calls),
            retries=self.retries,
            seconds=round(self._seconds, 3),
        )
        self._tell(span)

    def _tell(self, span: float) -> None:
        if self.error:
            what = f"stopped after {self.sent} messages" if self.sent else "nothing was sent"
            cannot = f"send to {self._settings.queue_url}"
            if self._journal.lost:
                cannot = f"write the journal {self._settings.journal_path}"
            self._shown.note(f"cannot {cannot}; {what}: {self.error}")
        asked = self._settings.rate
        if asked and not self.failed and span - self.sent / asked > LATE_SECONDS:
            reached = f"{self._rate:.1f} of {asked:g} messages/s reached"
            self._shown.note(f"{reached}: calls take too long; try a higher --concurrency")
        if self.sent or not self.error:
            sys.stdout.write(self.summary() + "\n")

    def summary(self) -> str:
        """The closing line."""
        return (
            f"sent {self.sent} ({self.poison} poison), failed {self.failed},"
            f" {self._rate:.1f} messages/s, {self._calls.total()} API calls,"
            f" {self.retries} retries, {self._seconds:.1f} s, seed {self._settings.seed}"
        )

    def exit(self, stop: Stop) -> Exit:
        """How the process is to end."""
        if self._journal.lost:
            return Exit.JOURNAL if self.sent else Exit.SETTINGS
        if self.error and not self.sent:
            return Exit.AWS
        if stop.caught:
            return Exit.INTERRUPTED if stop.caught is SIGINT else Exit.TERMINATED
        return Exit.FAILED if self.failed else Exit.OK


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
