"""Runs a subject as a process of its own and measures it from outside; starts no stack.

CPU comes from the kernel (wait4), memory from its high-water mark, calls and capacity units from
the subject's own meter, the rate from its first receive to its end.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.ground import Ground
from benchmarks.subjects import Subject
from support.environment import base_environment
from support.queues import QueueSet
from support.waiting import wait_for

_LONGEST = 1800.0  # seconds that a run may take before it is called stuck
_STARTS = 3


@dataclass(frozen=True)
class Child:
    """What one process left behind; times in epoch seconds, `cpu` in seconds, memory in MB."""

    spawned: float
    receiving: float
    ended: float
    cpu: float
    memory: float
    figures: dict[str, Any]


@dataclass(frozen=True)
class Start:
    """From the spawn to the first receive: seconds of the clock, and of CPU for the whole life of
    a process that receives once from an empty queue, which is a little more."""

    seconds: float
    cpu: float


@dataclass(frozen=True)
class Figures:
    """One row. Per message: calls, write units, dollars per million, CPU in ms without start-up."""

    messages: int
    rate: float
    calls: float
    write_units: float
    usd_per_million: float
    cpu_ms: float
    memory: float
    start: Start
    stack_busy: float
    proxy_busy: float


def start_up(ground: Ground, subject: Subject) -> Start:
    """The median start of a few."""
    made = ground.filled(0)
    once = {"MESSAGE_LIMIT": "0", "WAIT_TIME_SECONDS": "0", "IDLE_TIMEOUT_SECONDS": "0.1"}
    children = [_run(made, subject, [once])[0] for _ in range(_STARTS)]
    return Start(
        statistics.median(child.receiving - child.spawned for child in children),
        statistics.median(child.cpu for child in children),
    )


def measured(
    ground: Ground, subject: Subject, messages: int, start: Start, *, processes: int = 1
) -> Figures:
    """Fill a queue, drain it, check that all of it was done, and count."""
    made = ground.filled(messages)
    figures = drained(ground, made, subject, messages, start, processes=processes)
    if left := made.depth():
        raise AssertionError(f"{subject.name} left {left} of {messages} messages")
    return figures


def drained(
    ground: Ground,
    made: QueueSet,
    subject: Subject,
    messages: int,
    start: Start,
    *,
    processes: int = 1,
) -> Figures:
    """Take this many messages, an equal part in each process."""
    limits = [{"MESSAGE_LIMIT": str(messages // processes)}] * processes
    stack, proxy = ground.stack_seconds(), ground.proxy_seconds()
    children = _run(made, subject, limits)
    seconds = max(c.ended for c in children) - min(c.receiving for c in children)
    done = sum(child.figures["completed"] for child in children)
    if done != messages:
        raise AssertionError(f"{subject.name} completed {done} of {messages} messages")
    calls = sum(n for child in children for n in child.figures["calls"].values())
    return Figures(
        messages=messages,
        rate=messages / seconds,
        calls=calls / messages,
        write_units=sum(child.figures["write_units"] for child in children) / messages,
        usd_per_million=statistics.mean(child.figures["usd_per_million"] for child in children),
        cpu_ms=1000 * sum(child.cpu - start.cpu for child in children) / messages,
        memory=max(child.memory for child in children),
        start=start,
        stack_busy=(ground.stack_seconds() - stack) / seconds,
        proxy_busy=(ground.proxy_seconds() - proxy) / seconds,
    )


def _run(made: QueueSet, subject: Subject, settings: Sequence[dict[str, str]]) -> list[Child]:
    with TemporaryDirectory() as folder:
        running = [
            _Running(made, subject, chosen, Path(folder) / f"{number}.log")
            for number, chosen in enumerate(settings)
        ]
        try:
            wait_for(
                lambda: sum(child.look() for child in running) == len(running),
                _LONGEST,
                subject.name,
            )
        finally:
            for child in running:
                child.kill()
        return [child.result() for child in running]


class _Running:
    """A child that is watched until it ends."""

    def __init__(
        self, made: QueueSet, subject: Subject, settings: dict[str, str], log: Path
    ) -> None:
        self._log = log
        self._subject = subject
        self._memory = 0.0
        self._status: int | None = None
        self._cpu = 0.0
        self._spawned = time.time()
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [sys.executable, subject.script],
                cwd=subject.folder,
                env={**base_environment(), **made.env, **subject.settings, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def look(self) -> bool:
        """Note the memory so far; True once the child has ended."""
        if self._status is None:
            self._memory = max(self._memory, peak_memory(self._child.pid))
            pid, status, usage = os.wait4(self._child.pid, os.WNOHANG)
            if pid:
                self._status = self._child.returncode = os.waitstatus_to_exitcode(status)
                self._cpu = usage.ru_utime + usage.ru_stime
        return self._status is not None

    def kill(self) -> None:
        """For a benchmark that is interrupted."""
        if self._status is None:
            self._child.kill()
            self._child.wait()

    def result(self) -> Child:
        """What it told and what it took; AssertionError where it failed."""
        text = self._log.read_text(errors="replace")
        if self._status != 0:
            raise AssertionError(f"{self._subject.name} exited with {self._status}:\n{text}")
        told = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        receiving = next(line["t"] for line in told if line["text"].startswith("consuming"))
        last = next(line for line in told if "figures" in line)
        return Child(self._spawned, receiving, last["t"], self._cpu, self._memory, last["figures"])


def peak_memory(pid: int) -> float:
    """High-water mark of a living process in MB; 0 where the system does not tell (not Linux).

    Not ru_maxrss: it starts with what the parent held when it made the child.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
