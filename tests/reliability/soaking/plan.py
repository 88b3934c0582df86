"""What a soak is told, and what follows from it: settings of consumers, rules of the proxy."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from support.proxy import Rule

VISIBILITY = 5  # seconds
MAX_RECEIVES = 20
"""Before the DLQ. A kill spends a receive of all that the killed one held; with the 2 of the
scenarios a healthy message that is hit twice would be dead-lettered, rightly, and prove nothing."""
MORE = 1.2  # times the share that is asked for: the share is what must be there at the end

KINDS: tuple[Rule, ...] = (
    {"error": {"code": "ThrottlingException", "status": 400}},
    {"error": {"code": "InternalServerError", "status": 500}},
    {"error": {"code": "ServiceUnavailable", "status": 503}},
    {"reset": True},
    {"response": {"abort_frac": 0.0}},
    {"latency": {"min": 500, "max": 2000}},
)
"""Refused, broken, cut off, done with the answer lost, slow: in equal shares."""


@dataclass(frozen=True)
class Plan:
    """`kill_every` in seconds, 0 = never; `faults` a share of all calls; `rate` in messages/s."""

    messages: int
    consumers: int
    kill_every: float
    faults: float
    rate: float
    folder: Path

    def rules(self) -> list[Rule]:
        """One rule a kind; the proxy draws for each in turn."""
        share = self.faults * MORE / len(KINDS)
        return [{"service": "*", "probability": share, **kind} for kind in KINDS] if share else []

    def settings(self, number: int) -> dict[str, str]:
        """A mixed fleet: every way of writing completions, on the same tables."""
        return {
            "WAIT_TIME_SECONDS": "1",
            "MAX_MESSAGES": "5",
            "CONCURRENCY": "2",
            "SLEEP_MIN_SECONDS": "0.01",
            "SLEEP_MAX_SECONDS": "0.05",
            "USE_TRANSACTIONAL_WRITES": str(number % 2),
            "COMMIT_BATCH": "5" if number % 4 > 1 else "1",
        }


def parse(arguments: list[str], folder: Path) -> Plan:
    """The plan that the command line asks for; exits 2 where it cannot be."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--consumers", type=int, default=4)
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds at least; 0 = never")
    parser.add_argument("--faults", type=float, default=0.05, help="least share of calls, 0 to 0.5")
    parser.add_argument("--rate", type=float, default=40.0, help="messages sent a second")
    given = parser.parse_args(arguments)
    if given.messages < 1 or given.consumers < 1 or given.kill_every < 0 or given.rate < 0:
        parser.error("--messages and --consumers: 1 or more; --kill-every and --rate: 0 or more")
    if not 0 <= given.faults <= 0.5:
        parser.error("--faults: a share from 0 to 0.5")
    return Plan(**vars(given), folder=folder)
