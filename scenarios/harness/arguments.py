"""The command line of run.py; it checks ranges and starts nothing."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.scenario import Options

LONGEST_VISIBILITY = 43_200  # seconds, the limit of SQS (quirk 2)


def parser(names: Iterable[str], exits: str) -> argparse.ArgumentParser:
    """The parser for these scenario names; argparse itself exits with 2."""
    made = argparse.ArgumentParser(
        description="Run scenarios and judge what they leave behind.", epilog=exits
    )
    add = made.add_argument
    add(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; or use --fast, --slow, --all"
    )
    add("--list", action="store_true", help="print the name of each scenario and what it proves")
    add("--fast", action="store_true", help="run the scenarios that take seconds")
    add("--slow", action="store_true", help="run the scenarios that take longer")
    add("--all", action="store_true", help="run all scenarios")
    add("--repeat", type=whole(1), default=1, metavar="N", help="run each N times")
    add("--json", action="store_true", help="results as JSON on stdout, progress on stderr")
    add(
        "--judge",
        type=Path,
        metavar="DIR",
        help="judge a saved run again, without running anything",
    )
    add(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("RUN_A", "RUN_B"),
        help="show what changed between two saved runs; exit with 1 if a verdict got worse",
    )
    add(
        "--outputs",
        type=Path,
        metavar="FILE",
        help="names of the resources, as `terraform output -json` prints them",
    )
    add("--reports", type=Path, metavar="DIR", help="where to save the evidence; default: reports/")
    _scenario_options(made.add_argument_group("what a scenario does (default: as its case says)"))
    return made


def _scenario_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--count", type=whole(1), help="messages to send")
    add("--batch-size", type=whole(1, 10), help="messages per SendMessageBatch")
    add("--rate", type=number(0), help="messages per second; 0 = as fast as possible")
    add("--poison-every", type=whole(1), help="every Nth message is poison")
    add(
        "--visibility-timeout",
        type=whole(1, LONGEST_VISIBILITY),
        help="of each receive, in seconds; default: 2 on the local stack, else that of the queue",
    )
    add("--timeout", type=number(1), help="seconds to wait for any condition before giving up")
    add("--work-seconds", type=number(0.01), help="backpressure: seconds of work per message")
    add("--max-consumers", type=whole(1, 64), help="backpressure: maximum number of consumers")
    add("--target-latency", type=number(0.1), help="backpressure: acceptable latency, in seconds")


def options(chosen: argparse.Namespace) -> Options:
    return Options(
        count=chosen.count,
        batch_size=chosen.batch_size,
        rate=chosen.rate,
        poison_every=chosen.poison_every,
        work_seconds=chosen.work_seconds,
        max_consumers=chosen.max_consumers,
        target_latency=chosen.target_latency,
        visibility=chosen.visibility_timeout,
        timeout=chosen.timeout,
    )


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A whole number in this range, for argparse; written as the consumer's settings are."""

    def parse(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()) else low - 1
        if value < low or (high is not None and value > high):
            bounds = f"{low} or more" if high is None else f"{low} to {high}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {bounds}")
        return value

    return parse


NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


def number(low: float) -> Callable[[str], float]:
    """A finite number of at least this, for argparse."""

    def parse(text: str) -> float:
        value = float(text) if re.fullmatch(NUMBER, text.strip()) else low - 1
        if not low <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number, {low:g} or more")
        return value

    return parse
