"""Runs a soak from stack to verdict, with a line of progress and a closing report."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from harness.findings import ask
from harness.history import History
from harness.journals import Tail
from harness.scenario import Finding, Verdict
from local_aws import child_environment, start, stop
from reliability.judging import CHECKS, history_of
from reliability.soaking.account import Account, account
from reliability.soaking.plan import MAX_RECEIVES, VISIBILITY, Plan, parse
from reliability.soaking.swarm import Swarm
from support.children import PRODUCER, Nursery, Process
from support.endpoint import Endpoint, Throttle
from support.proxy import Proxy
from support.queues import REGION, QueueSet, QueueSets
from support.waiting import wait_for

TICK = 0.2
PATIENCE = 120.0  # seconds without a message finished, after which the run has failed


@dataclass(frozen=True)
class Outcome:
    """What a soak came to."""

    plan: Plan
    findings: Sequence[Finding]
    account: Account
    history: History
    seconds: float
    swarm: Swarm
    calls: int
    faulted: int
    throttled: int

    @property
    def kills(self) -> int:
        """Consumers that were killed."""
        return len(self.swarm.killed)

    @property
    def faults(self) -> float:
        """The share of calls that were faulted."""
        return self.faulted / max(1, self.calls)

    @property
    def passed(self) -> bool:
        """Whether every check passed, nothing is in the DLQ, and there were faults enough."""
        good = all(finding.verdict is Verdict.PASS for finding in self.findings)
        hit = self.faults >= self.plan.faults and (self.throttled or not self.plan.write_units)
        return bool(good and hit and not self.history.dlq)


def soak(plan: Plan, out: TextIO) -> Outcome:
    """Run it on a stack of its own, in the plan's folder."""
    stack = start(plan.folder / "stack", 0, REGION)
    try:
        env = child_environment(stack.endpoint, REGION)
        made = QueueSets(stack.endpoint, env)(VISIBILITY, 1, MAX_RECEIVES)
        proxy = Proxy(stack.endpoint, [], plan.folder / "proxy.log")
        throttle = Throttle(plan.write_units)
        front = Endpoint(proxy.endpoint, throttle)
        try:
            env = {"AWS_ENDPOINT_URL_DYNAMODB": front.endpoint} if plan.write_units else {}
            outcome = _under_fire(plan, made, proxy, env, out)
            return replace(outcome, throttled=throttle.throttled.total())
        finally:
            front.close()
            proxy.close()
    finally:
        stop(plan.folder / "stack")


def _under_fire(
    plan: Plan, made: QueueSet, proxy: Proxy, more: dict[str, str], out: TextIO
) -> Outcome:
    env = {**made.env, "AWS_ENDPOINT_URL": proxy.endpoint, **more}
    nursery = Nursery(plan.folder / "producer")
    sent = Tail(plan.folder / "producer.jsonl")
    swarm = Swarm(plan, env)
    began = time.monotonic()
    try:
        arguments = ["--n", str(plan.messages), "--rate", str(plan.rate), "--batch-size", "5"]
        producer = nursery.start(PRODUCER, arguments, {**env, "JOURNAL_PATH": str(sent.path)})
        wait_for(lambda: _ids(sent), 30, "the first message sent")
        proxy.rules(plan.rules())
        _hunt(plan, swarm, sent, producer, Progress(plan, proxy, out))
        seconds = time.monotonic() - began
        requests = proxy.stats()["requests"]
        proxy.rules([])
        wait_for(lambda: made.depth() == 0, 90, "an empty queue")
        swarm.stop()
    finally:
        swarm.reap()
        nursery.reap()
    ids = dict.fromkeys([*_ids(sent), *made.status_rows()])
    history = history_of(made, ids, swarm.journals)
    findings = [ask(check, history) for check in CHECKS]
    spent = account(history, swarm.killed)
    calls, faulted = requests["total"], requests["faulted"]
    return Outcome(plan, findings, spent, history, seconds, swarm, calls, faulted, throttled=0)


def _hunt(plan: Plan, swarm: Swarm, sent: Tail, producer: Process, progress: Progress) -> None:
    """Kill at every interval until all that was sent is finished."""
    killed_at = moved_at = time.monotonic()
    finished = 0
    while True:
        now = time.monotonic()
        swarm.read()
        ids = _ids(sent)
        if len(swarm.finished) > finished:
            finished, moved_at = len(swarm.finished), now
        assert now - moved_at < PATIENCE, f"nothing was finished in {PATIENCE:g} s"
        if not producer.running() and swarm.finished >= ids:
            progress.show(len(ids), finished, len(swarm.killed), final=True)
            return
        if plan.kill_every and now - killed_at >= plan.kill_every and swarm.kill_one():
            killed_at = now
        progress.show(len(ids), finished, len(swarm.killed))
        time.sleep(TICK)


def _ids(sent: Tail) -> set[str]:
    return {str(event.data["id"]) for event in sent.read() if event.name == "sent"}


class Progress:
    """One line that is written over on a terminal, and a line every ten seconds elsewhere."""

    def __init__(self, plan: Plan, proxy: Proxy, out: TextIO) -> None:
        self._plan, self._proxy, self._out = plan, proxy, out
        self._began = time.monotonic()
        self._next = 0.0
        self._pause, self._end = (1.0, "\r") if out.isatty() else (10.0, "\n")

    def show(self, sent: int, finished: int, kills: int, *, final: bool = False) -> None:
        """Say how far the run is."""
        passed = time.monotonic() - self._began
        if passed < self._next and not final:
            return
        self._next = passed + self._pause
        requests = self._proxy.stats()["requests"]
        share = 100 * requests["faulted"] / max(1, requests["total"])
        line = (
            f"{passed:5.0f} s  sent {sent}/{self._plan.messages}  finished {finished}  "
            f"kills {kills}  calls {requests['total']}, {share:.1f} % faulted"
        )
        self._out.write(f"{line:<100}{self._end if not final else chr(10)}")
        self._out.flush()


def report(outcome: Outcome) -> str:
    """The closing report."""
    spent, sent = outcome.account, len(outcome.history.ids)
    done = sum(row.get("effects") == 1 for row in (outcome.history.status or {}).values())
    lines = [
        f"soak: {sent} messages in {outcome.seconds:.0f} s, {sent / outcome.seconds:.0f} a second, "
        f"by {outcome.plan.consumers} consumers",
        f"kills: {outcome.kills} (SIGKILL); {outcome.swarm.unstarted} could not start for a fault",
        f"faults: {outcome.faulted} of {outcome.calls} calls, {100 * outcome.faults:.1f} %",
        f"throttled: {outcome.throttled} writes"
        + (f", at {outcome.plan.write_units:g} units a second" if outcome.throttled else ""),
        f"completed: {done}, each with one effect; in the DLQ: {len(outcome.history.dlq or ())} "
        f"(after {MAX_RECEIVES} receives)",
        f"in the queue: {sum(spent.spent.values())}, a lost answer makes the producer send again",
        f"receives: {spent.receives}, {spent.receives / sent:.2f} a message, "
        f"{spent.redeliveries} of them redeliveries",
        *(f"  {n} messages took {count}" for count, n in sorted(spent.spent.items())),
        "what became of the receives:",
        *(f"  {n:6} {why}" for why, n in spent.why.most_common()),
    ]
    for finding in outcome.findings:
        lines.append(f"{finding.verdict.value:8}{finding.check}: {finding.seen}")
        lines += [f"        look at: {finding.look_at}"] if finding.look_at else []
    verdict = "PASS" if outcome.passed else "FAIL"
    return "\n".join([*lines, f"{verdict}: evidence in {outcome.plan.folder}"])


def private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner only."""
    old = os.umask(0o077)
    try:
        folder.mkdir(parents=True)
    finally:
        os.umask(old)


def main(arguments: list[str], folder: Path) -> int:
    """Run what the command line asks for, with its evidence in `folder`; 0 is a PASS."""
    plan = parse(arguments, folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leave no child
    private(folder)
    outcome = soak(plan, sys.stdout)
    text = report(outcome)
    (folder / "report.txt").write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return 0 if outcome.passed else 1
