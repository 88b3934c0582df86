"""What a soak is told, and what follows from it: settings of consumers, rules of the proxy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
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

FLAGS: tuple[tuple[str, Callable[[str], float], float, float, float, str], ...] = (
    ("--messages", int, 10_000, 1, 1_000_000, "messages that are sent"),
    ("--consumers", int, 4, 1, 64, "consumers that run at once"),
    ("--kill-every", float, 1.0, 0, 3600, "least seconds between two kills (0 = no kills)"),
    ("--faults", float, 0.05, 0, 0.5, "least share of calls that fail"),
    ("--rate", float, 40.0, 0, 10_000, "messages sent a second (0 = as fast as it goes)"),
    ("--write-units", float, 0.0, 0, 40_000, "write units a second before throttling (0 = any)"),
)
"""Name, type, default, lowest, highest, what it is."""


@dataclass(frozen=True)
class Plan:
    """`kill_every` in seconds, 0 = never; `faults` a share of all calls; `rate` in messages/s.

    `write_units` is what the tables take a second before they throttle items; 0 = any number.
    """

    messages: int
    consumers: int
    kill_every: float
    faults: float
    rate: float
    folder: Path
    write_units: float = 0.0

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
            "USE_PARTIQL_STATEMENTS": "1" if number % 3 == 2 else "0",
            "COMMIT_BATCH": "5" if number % 4 > 1 else "1",
        }


def parse(arguments: list[str], folder: Path) -> Plan:
    """The plan that the command line asks for; exits 2 where it cannot be."""
    parser = argparse.ArgumentParser(
        prog="soak",
        description="Send messages, kill consumers, fault their calls, and judge every message.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for flag, kind, default, low, high, what in FLAGS:
        parser.add_argument(flag, type=kind, default=default, help=f"{what}, {low} to {high:,}")
    given = parser.parse_args(arguments)
    for flag, _, _, low, high, what in FLAGS:
        value = getattr(given, flag.removeprefix("--").replace("-", "_"))
        if not low <= value <= high:
            parser.error(f"{flag} {value}: {what} must be {low} to {high:,}")
    return Plan(**vars(given), folder=folder)
