"""Consumers that are killed and replaced; knows their journals and nothing of what is sent."""

from __future__ import annotations

import signal
from pathlib import Path

from harness.history import Event
from harness.journals import Tail
from reliability.soaking.plan import Plan
from support.children import CONSUMER, Nursery, Process

AWS = 3
"""The consumer's exit code for an AWS that it cannot use at its start (sqs_worker/exits.py)."""


class Swarm:
    """`size` consumers at a time, each with a journal of its own."""

    def __init__(self, plan: Plan, env: dict[str, str]) -> None:
        self._plan = plan
        self._env = env
        self._folder = plan.folder / "journals"
        self._folder.mkdir()
        self._nursery = Nursery(plan.folder / "consumers")
        self._alive: list[tuple[Process, Tail]] = []
        self._at_work: set[Path] = set()
        self._started = 0
        self.killed: set[str] = set()
        self.finished: set[str] = set()
        self.unstarted = 0
        for _ in range(plan.consumers):
            self._start()

    @property
    def journals(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))

    def read(self) -> None:
        """Take in what the living have written; a message is finished once one of them says so.

        One that a fault kept from starting is replaced, as a scheduler would.
        """
        for one in list(self._alive):
            process, tail = one
            self._take(tail)
            if process.running():
                continue
            code = process.wait().code
            assert code == AWS, f"a consumer exited with {code}:\n{process.output[-3000:]}"
            self.unstarted += 1
            self._alive.remove(one)
            self._start()

    def kill_one(self) -> bool:
        """SIGKILL to the oldest, and another in its place.

        False while one of them has received nothing yet. On a slow machine a consumer takes
        seconds to start; killing faster than that proves nothing, and nothing would be finished.
        """
        if any(tail.path not in self._at_work for _, tail in self._alive):
            return False
        process, tail = self._alive.pop(0)
        process.kill()
        self.killed.add(f"consumer-{process.pid}")
        self._take(tail)
        self._start()
        return True

    def stop(self) -> None:
        """SIGTERM to all; each has to leave cleanly."""
        for process, _ in self._alive:
            process.signal(signal.SIGTERM)
        for process, _ in self._alive:
            ended = process.wait(40)
            assert ended.code == 0, ended.output
            assert "Traceback" not in ended.output, ended.output

    def reap(self) -> None:
        self._nursery.reap()

    def _take(self, tail: Tail) -> None:
        events: list[Event] = tail.read()
        ended = ("completed", "already_done")
        self.finished |= {event.id for event in events if event.id and event.name in ended}
        if any(event.name == "received" for event in events):
            self._at_work.add(tail.path)
        tail.events.clear()  # they are read again, whole, when all is over

    def _start(self) -> None:
        number, self._started = self._started, self._started + 1
        journal = self._folder / f"consumer-{number:04}.jsonl"
        own = {"JOURNAL_PATH": str(journal), **self._plan.settings(number)}
        process = self._nursery.start(CONSUMER, [], {**self._env, **own})
        self._alive.append((process, Tail(journal)))
