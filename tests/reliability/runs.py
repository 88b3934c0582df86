"""Runs consumers through trouble and keeps what they did: calls by the clock, journals, output."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.history import Event
from harness.journals import Tail
from reliability.judging import history_of, judged
from support.children import ROOT, Nursery, Process
from support.proxy import Proxy, Rule
from support.queues import QueueSet
from support.waiting import wait_for

DOOR = (ROOT / "consumer", str(ROOT / "tests" / "reliability" / "door.py"))


class Network:
    """One microburst with rules for each consumer: its User-Agent tells whose call it is."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._rules: dict[str, list[Rule]] = {}
        self._lock = threading.Lock()

    def env(self, name: str, *services: str) -> dict[str, str]:
        """What leads a consumer through the proxy, with all its calls or those to `services`."""
        named = [f"AWS_ENDPOINT_URL_{service.upper()}" for service in services]
        endpoints = dict.fromkeys(named or ["AWS_ENDPOINT_URL"], self._proxy.endpoint)
        return {**endpoints, "AWS_SDK_UA_APP_ID": name}

    def rules(self, name: str, *rules: Rule) -> None:
        """Replace the rules for the consumer of this name; none are left without `rules`."""
        with self._lock:
            self._rules[name] = [
                {**rule, "headers": {"user-agent": f"app/{name}"}} for rule in rules
            ]
            self._proxy.rules([rule for own in self._rules.values() for rule in own])

    def fired(self) -> int:
        """How many faults there have been."""
        return len(self._proxy.fired())


@dataclass
class Watched:
    """A consumer behind the test's door, with its journal and its calls."""

    process: Process
    journal: Path
    calls: Path
    tail: Tail = field(init=False)

    def __post_init__(self) -> None:
        self.tail = Tail(self.journal)

    def events(self, *names: str) -> list[Event]:
        return [event for event in self.tail.read() if event.name in names]

    def calls_between(self, begin: float, end: float) -> list[str]:
        """API calls that left between two epoch times, in order."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        timed = [json.loads(line) for line in lines if line.endswith("]")]
        return [call for at, call in timed if begin <= at < end]

    def stop(self) -> None:
        """SIGTERM, and a clean end."""
        self.process.signal(signal.SIGTERM)
        ended = self.process.wait(30)
        assert ended.code == 0, ended.output
        assert "Traceback" not in ended.output, ended.output


def watch(nursery: Nursery, folder: Path, env: Mapping[str, str], hand: str = "clock") -> Watched:
    """Start a consumer; files go to `folder`."""
    number = len(list(folder.glob("journal-*")))
    journal, calls = folder / f"journal-{number}.jsonl", folder / f"calls-{number}.jsonl"
    journal.touch()
    names = {"HAND": hand, "JOURNAL_PATH": str(journal), "CALLS_PATH": str(calls)}
    return Watched(nursery.start(DOOR, [], {**env, **names}), journal, calls)


def all_gone(made: QueueSet, watched: Sequence[Watched]) -> Callable[[], bool]:
    """Whether the queue is empty, for `wait_for`; asked twice a second."""
    last = 0.0

    def gone() -> bool:
        nonlocal last
        dead = [one.process.output for one in watched if not one.process.running()]
        assert not dead, dead[0]
        if time.monotonic() - last < 0.5:
            return False
        last = time.monotonic()
        return made.depth() == 0

    return gone


def verdict(
    made: QueueSet, ids: Sequence[str], watched: Sequence[Watched], seconds: float = 60
) -> list[str]:
    """Wait until the queue is empty, stop the consumers, and judge; no entry is all well."""
    wait_for(all_gone(made, watched), seconds, "an empty queue")
    for one in watched:
        one.stop()
    found = judged(history_of(made, ids, [one.journal for one in watched]))
    return [f"{f.verdict}: {f.check}: {f.seen} ({f.look_at})" for f in found]


def busiest_second(times: Sequence[float]) -> int:
    """The most calls in one second of the clock."""
    return max(Counter(map(int, times)).values(), default=0)
