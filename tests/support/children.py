"""Runs doors as real processes with a clean environment; always reaps them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.environment import base_environment

ROOT = Path(__file__).resolve().parents[2]
CONSUMER = (ROOT / "consumer", "consume.py")
PRODUCER = (ROOT / "producer", "produce.py")


@dataclass(frozen=True)
class Finished:
    """How a child ended; ``code`` is negative when a signal killed it."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


class Process:
    """A running door whose output goes to files, so that it can never block on a full pipe."""

    def __init__(
        self,
        door: tuple[Path, str],
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
    ) -> None:
        cwd, script = door
        self._stdout = folder / "stdout.txt"
        self._stderr = folder / "stderr.txt"
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self._child = subprocess.Popen(
                [sys.executable, script, *arguments],
                cwd=cwd,
                env={**base_environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.pid = self._child.pid

    @property
    def stdout(self) -> str:
        return self._stdout.read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        return self._stderr.read_text(encoding="utf-8", errors="replace")

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def running(self) -> bool:
        return self._child.poll() is None

    def signal(self, number: int = signal.SIGTERM) -> None:
        self._child.send_signal(number)

    def signal_beside(self, number: int) -> None:
        """To a thread other than the main one, as Linux does where that one has a signal already.

        Python runs handlers in the main thread alone, which hears of it when it wakes up.
        """
        threads = [int(task.name) for task in Path(f"/proc/{self.pid}/task").glob("*")]
        others = [thread for thread in threads if thread != self.pid]
        assert others, "it has one thread only"
        tgkill = ctypes.CDLL(None, use_errno=True).tgkill
        assert tgkill(self.pid, others[0], int(number)) == 0, os.strerror(ctypes.get_errno())

    def kill(self) -> Finished:
        """``kill -9``, then reap."""
        self._child.kill()
        return self.wait()

    def wait(self, seconds: float = 30.0) -> Finished:
        """Reap within ``seconds``, or kill the child and fail with what it said."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
            raise AssertionError(f"still running after {seconds} s:\n{self.output}") from None
        return Finished(code, self.stdout, self.stderr)


class Nursery:
    """Starts children, each with a folder of its own, and leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Process] = []

    def start(
        self, door: tuple[Path, str], arguments: Sequence[str], environment: Mapping[str, str]
    ) -> Process:
        folder = self._folder / f"child-{len(self._children)}"
        folder.mkdir(parents=True)
        child = Process(door, arguments, environment, folder)
        self._children.append(child)
        return child

    def reap(self) -> None:
        for child in self._children:
            if child.running():
                child.kill()
