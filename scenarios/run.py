#!/usr/bin/env python3
"""Door of the scenarios: choose, run, print, exit code; the work is in cases/ and harness/."""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
import threading
from collections.abc import Collection, Sequence
from enum import IntEnum
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent

try:
    from harness import infra
    from harness.arguments import options, parser
    from harness.compare import as_json as compared_as_json
    from harness.compare import compare, in_lines
    from harness.console import Report, as_json
    from harness.judging import Outcome, judge_again
    from harness.publish import publish
    from harness.runner import run_plan
    from harness.scenario import Scenario, Verdict, tuned
except ModuleNotFoundError as missing:
    sys.exit(f"run.py: {missing.name} is not installed in this Python; run: make venv")


class Exit(IntEnum):
    """What the exit code says; where several apply: interrupted, fail, setup, unknown."""

    PASS = 0
    """Every scenario passed."""
    FAIL = 1
    """A check found something wrong."""
    SETUP = 2
    """A scenario could not be run, or an argument was refused."""
    UNKNOWN = 3
    """The evidence is not sufficient for a verdict."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM: every child was stopped, and the evidence so far is saved."""


def cases() -> dict[str, Scenario]:
    """Every file of cases/, the slow ones last."""
    names = sorted(path.stem for path in (HERE / "cases").glob("[a-z]*.py"))
    found: list[Scenario] = [import_module(f"cases.{name}").SCENARIO for name in names]
    return {case.name: case for case in sorted(found, key=lambda case: (case.slow, case.name))}


def main(arguments: list[str] | None = None) -> int:
    os.umask(0o077)  # evidence is for the user's eyes only
    known = cases()
    chosen = _chosen(known, arguments)
    if chosen.list:
        widest = max(map(len, known))
        for case in known.values():
            print(f"{case.name:{widest}}  {case.proves}")
        return Exit.PASS
    if chosen.compare:
        return _compare(chosen)
    told = {case.name: case for case in chosen.plan} or known
    report = Report(sys.stderr if chosen.json else sys.stdout, told)
    stop = threading.Event()
    heard: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: _stop(stop, heard, number))
    try:
        talks_to, outcomes = _outcomes(chosen, known, report, stop)
    except infra.SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return Exit.SETUP
    report.close(outcomes)
    _publish(chosen, outcomes, report)
    if chosen.json:
        print(as_json(outcomes, talks_to))
    return Exit.INTERRUPTED if stop.is_set() else exit_code(outcomes)


def _chosen(known: dict[str, Scenario], arguments: list[str] | None) -> argparse.Namespace:
    """The arguments and the `plan` that they make; exits with 2 where one is refused."""
    codes = "exit codes: " + ", ".join(f"{code.value} {code.name.lower()}" for code in Exit)
    parse = parser(known, codes)
    chosen = parse.parse_args(arguments)
    groups = {True: chosen.slow or chosen.all, False: chosen.fast or chosen.all}
    names = [*chosen.names, *(name for name, case in known.items() if groups[case.slow])]
    unknown = [_unknown(name, known) for name in names if name not in known]
    if unknown:
        parse.exit(Exit.SETUP, f"{parse.prog}: {'; '.join(unknown)}\n")
    if not (names or chosen.list or chosen.judge or chosen.compare):
        parse.error("name a scenario, or use --fast, --slow, --all or --list")
    try:
        chosen.plan = [tuned(known[name], options(chosen)) for name in dict.fromkeys(names)]
    except ValueError as error:
        parse.error(str(error))
    return chosen


def _unknown(name: str, known: Collection[str]) -> str:
    """One line without the usage: a name that is nearly one comes with that one alone."""
    close = difflib.get_close_matches(name.replace("_", "-").lower(), known, n=1)
    like = f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"
    return f"no scenario {name!r}; {like}"


def _outcomes(
    chosen: argparse.Namespace, known: dict[str, Scenario], report: Report, stop: threading.Event
) -> tuple[str, list[Outcome]]:
    if chosen.judge:
        outcomes = judge_again(chosen.judge, known)
        for outcome in outcomes:
            report.done(outcome)
        return f"what {chosen.judge} holds", outcomes
    target = infra.find_target(chosen.outputs, os.environ)
    infra.adopt(target, os.environ)
    reports = (chosen.reports or HERE.parent / "reports").absolute()
    plan = [(turn, case) for turn in range(1, chosen.repeat + 1) for case in chosen.plan]
    return target.described, run_plan(plan, target, options(chosen), reports, report, stop)


def _publish(chosen: argparse.Namespace, outcomes: Sequence[Outcome], report: Report) -> None:
    """The page of the run; a single scenario that was judged again is no run and gets none."""
    runs = {outcome.folder.parent.resolve() for outcome in outcomes}
    for run in runs:
        if not chosen.judge or run == chosen.judge.resolve():
            publish(run, report.say)


def _compare(chosen: argparse.Namespace) -> Exit:
    try:
        changes = compare(*chosen.compare)
    except infra.SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return Exit.SETUP
    if chosen.json:
        print(compared_as_json(changes))
    else:
        print("\n".join(in_lines(changes)))
    return Exit.FAIL if any(change.worse for change in changes) else Exit.PASS


def _stop(stop: threading.Event, heard: list[int], number: int) -> None:
    """The first signal stops in order, the second at once; the watchdog kills what is left.

    The second may come while the first is in `set`, and must not wait for its lock.
    """
    heard.append(number)
    if len(heard) > 1:
        os._exit(Exit.INTERRUPTED)
    stop.set()


def exit_code(outcomes: Sequence[Outcome]) -> Exit:
    if any(outcome.verdict is Verdict.FAIL for outcome in outcomes):
        return Exit.FAIL
    if any(outcome.error for outcome in outcomes):
        return Exit.SETUP
    passed = outcomes and all(outcome.verdict is Verdict.PASS for outcome in outcomes)
    return Exit.PASS if passed else Exit.UNKNOWN


if __name__ == "__main__":
    sys.exit(main())
