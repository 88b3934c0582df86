"""Starts, watches and stops child processes; it knows no scenario, queue or verdict.

Each child leads a process group of its own: a Ctrl-C at the terminal reaches only the runner, and
stopping a child stops what it started. A watchdog kills them all if the runner itself is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

TAIL_LINES = 12
STOP_SECONDS = 30.0  # the consumer's SHUTDOWN_GRACE_SECONDS (25) and a little
WATCHDOG = Path(__file__).with_name("watchdog.py")


class Watchdog:
    """The runner's side of watchdog.py; usable from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(WATCHDOG)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def guard(self, pid: int) -> None:
        self._tell(f"+{pid}\n")

    def release(self, pid: int) -> None:
        self._tell(f"-{pid}\n")

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it; what is still guarded dies."""
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


@dataclass(frozen=True)
class Program:
    """What to run: where, and with exactly which environment."""

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]


class Running:
    """A child process: its name, its log, and the exit codes that the scenario allows it."""

    def __init__(self, name: str, program: Program, folder: Path, allowed: Sequence[int]) -> None:
        self.name = name
        self.allowed = tuple(allowed)
        self._asked = False
        self.log = folder / f"{name}.log"
        self.journal = folder / f"{name}.jsonl"
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as log:
            self.process = subprocess.Popen(
                list(program.argv),
                cwd=program.cwd,
                env={**program.environment, "JOURNAL_PATH": str(self.journal)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""
        return self.process.poll()

    @property
    def as_declared(self) -> bool:
        return self.code is None or self.code in self.allowed

    def ask(self, number: signal.Signals) -> None:
        """Ask it to end, once: a second signal would tell it to drop what it holds."""
        if self.code is None and not self._asked:
            self._asked = True
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def wake(self) -> None:
        """Let one that was frozen go on, for it could not even hear that it is to end."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)

    def tail(self) -> tuple[str, ...]:
        """The last lines of its log."""
        try:
            return tuple(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        except OSError:
            return ()


class Children:
    """Every child of one scenario; leaving the context stops and reaps them all."""

    def __init__(self, folder: Path, watchdog: Watchdog) -> None:
        self.all: list[Running] = []
        self._folder = folder
        self._watchdog = watchdog

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(self.all)

    def start(self, name: str, program: Program, allowed: Sequence[int]) -> Running:
        """Start one; OSError if it cannot be started at all."""
        child = Running(name, program, self._folder, allowed)
        self.all.append(child)
        self._watchdog.guard(child.process.pid)
        return child

    def stop(self, children: Sequence[Running], number: signal.Signals = signal.SIGTERM) -> None:
        """Ask each to stop, kill its group when it does not, reap it."""
        for child in children:
            child.ask(number)
            child.wake()
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
            self._watchdog.release(child.process.pid)
