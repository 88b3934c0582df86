"""Runs scenarios: record, save, then judge; in parallel if they share no queue.

Beside the steps of a scenario, it samples the depth of both queues.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from checks.delivery import quiet
from harness import evidence
from harness.console import Report
from harness.history import INTERRUPTED
from harness.infra import AWS_ERRORS, Resources, SetupError, Target, connect
from harness.judging import Outcome, judge
from harness.processes import Children, Watchdog
from harness.queues import Drained
from harness.scenario import KeepUp, Options, Scenario, Verdict
from harness.scenario_run import LOCAL_VISIBILITY, Interrupted, Shared, Stage
from harness.steps import play

LOCAL_EVERY, REMOTE_EVERY = 0.25, 1.0  # seconds between two looks


class Sampler:
    """Records the depths of both queues over time, in a thread of its own."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self._every = LOCAL_EVERY if stage.shared.target.local else REMOTE_EVERY
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(self._every):
            try:
                sample = self._stage.queues.sample()
            except AWS_ERRORS as problem:
                self._stage.problems.append(f"no sample of the depths: {problem}")
                return
            self._stage.samples.append(sample)
            evidence.append(self._stage.folder, "samples.jsonl", sample)


LOCAL_LAG, REMOTE_LAG = 3.0, 75.0  # seconds that counts may take to tell the truth (quirk 5)
DRAIN_SLACK = 3.0  # beyond the visibility timeout, for what an earlier run left in flight
WORK_IN_VISIBILITY = 4  # times that the work of a flood fits into the visibility timeout
TICK_SECONDS = 0.1  # Linux may give a signal to any thread, and Python answers it in this one alone
TURN_SECONDS = 900.0  # to wait for another runner that uses the same queues


def run_plan(
    plan: Sequence[tuple[int, Scenario]],
    target: Target,
    options: Options,
    reports: Path,
    report: Report,
    stop: threading.Event,
) -> list[Outcome]:
    """Run each (turn, scenario) under reports/<run>/; raises SetupError before anything starts."""
    repeated = any(turn > 1 for turn, _ in plan)
    named = [(f"{case.name}-{turn:02}" if repeated else case.name, case) for turn, case in plan]
    folder = reports / (time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3))
    try:
        reports.mkdir(mode=0o700, parents=True, exist_ok=True)
        reports.chmod(0o700)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise SetupError(
            f"{reports} must be a folder that can be written: {error.strerror}; remove it, or name"
            " another one with --reports"
        ) from error
    report.say(
        f"talking to {target.described}; evidence in {str(folder).replace(f'{Path.cwd()}/', '')}"
    )
    with Watchdog() as watchdog:
        clients = connect(target)
        shared = Shared(
            target, clients, watchdog, stop, options, folder, report.say, report.show_tick
        )
        with report.watch(folder):
            return run_all(named, shared, report.done)


def run_all(
    plan: Sequence[tuple[str, Scenario]], shared: Shared, done: Callable[[Outcome], None]
) -> list[Outcome]:
    """Run each (label, scenario); those of one set in turn, different sets side by side."""
    lanes: dict[str, list[tuple[str, Scenario]]] = {}
    for label, scenario in plan:
        lanes.setdefault(scenario.runs_on, []).append((label, scenario))

    def lane(entries: list[tuple[str, Scenario]]) -> list[Outcome]:
        outcomes = []
        for label, scenario in entries:
            if shared.stop.is_set():
                break
            outcomes.append(run(label, scenario, shared))
            done(outcomes[-1])
        return outcomes

    with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        running = [pool.submit(lane, entries) for entries in lanes.values()]
        while wait(running, TICK_SECONDS).not_done:
            pass
        found = [outcome for one in running for outcome in one.result()]
    order = [label for label, _ in plan]
    return sorted(found, key=lambda outcome: order.index(outcome.label))


def run(label: str, scenario: Scenario, shared: Shared) -> Outcome:
    """Run one scenario to its outcome; no error of AWS or of a child escapes."""
    began = time.monotonic()
    folder = shared.reports / label
    folder.mkdir(mode=0o700, parents=True)
    error = ""
    try:
        _record(scenario, shared, folder)
    except Interrupted:
        pass  # it is in the evidence; here it only ends the scenario
    except (SetupError, *AWS_ERRORS) as problem:
        error = str(problem)
    except Exception as problem:  # a fault of ours must not cost the other scenarios their verdict
        error = f"the runner broke: {problem!r}\n{traceback.format_exc()}"
    seconds = time.monotonic() - began
    if error:
        evidence.save(folder, "verdict.json", {"error": error})
        return Outcome(scenario.name, label, Verdict.UNKNOWN, (), {}, folder, seconds, error)
    return judge(scenario, folder, label, seconds)


def _record(scenario: Scenario, shared: Shared, folder: Path) -> None:
    resources = shared.target.resources.get(scenario.runs_on)
    if resources is None:
        raise SetupError(f"the outputs have no set '{scenario.runs_on}'; run make infra-up again")
    with _turn(resources.queue_url, shared), Children(folder, shared.watchdog) as children:
        stage = _stage(scenario, shared, folder, resources, children)
        try:
            with Sampler(stage):
                _drain(stage)
                play(stage)
                children.stop(children.all)
                _settle(stage)
            _save_world(stage)
        except Interrupted:
            stage.problems.append(INTERRUPTED)
            raise
        finally:
            children.stop(children.all)
            _save_children(stage)


def _stage(
    scenario: Scenario, shared: Shared, folder: Path, resources: Resources, children: Children
) -> Stage:
    own = shared.clients.queues(resources).visibility()
    override = _override(scenario, shared, own)
    hidden = own if override is None else override
    stage = Stage(shared, scenario, folder, resources, children, override, hidden)
    about = {
        "scenario": scenario.name,
        "proves": scenario.proves,
        "given": asdict(scenario.given),
        "arms": list(scenario.arms),
        "services": [service.name for service in scenario.services],
        "talks_to": shared.target.described,
        "set": asdict(resources),
        "queue_arn": resources.queue_arn,
        "visibility_seconds": hidden,
        "quiet_seconds": stage.quiet_seconds,
        "target_latency": next(
            (step.target_latency for step in scenario.when if isinstance(step, KeepUp)), None
        ),
        "refuses_stale_handles": shared.target.is_ministack,
        "options": asdict(shared.options),
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    evidence.save(folder, "scenario.json", about)
    return stage


def _override(scenario: Scenario, shared: Shared, own: int) -> int | None:
    """Seconds that a receive hides a message, None for the queue's own."""
    if shared.options.visibility is not None:
        return shared.options.visibility
    work = max((s.work_seconds for s in scenario.when if isinstance(s, KeepUp)), default=None)
    if work is not None:  # nothing is to come back there: leave room for a slow machine
        wanted = math.ceil(work * WORK_IN_VISIBILITY)
        return wanted if wanted > own else None
    return LOCAL_VISIBILITY if shared.target.local else None


def _drain(stage: Stage) -> None:
    """What an earlier run left goes; it must not be taken for this run's."""
    left = stage.queues.drain(stage.hidden_seconds + DRAIN_SLACK, stage.pause)
    evidence.save(stage.folder, "drained.json", asdict(left))
    if left != Drained(0, 0, 0):
        stage.shared.say(f"{stage.scenario.name}: an earlier run's messages: {left}")


def _settle(stage: Stage) -> None:
    """Give the counts time to become zero, and to stay so."""
    lag = LOCAL_LAG if stage.shared.target.local else REMOTE_LAG
    deadline = time.monotonic() + stage.hidden_seconds + lag
    while not quiet(stage.samples, stage.quiet_seconds) and time.monotonic() < deadline:
        stage.pause()


def _save_world(stage: Stage) -> None:
    """What the queues and the tables hold, whatever the consumers claim."""
    ids = stage.sent_ids()
    left = stage.queues.left_in_queue(ids - stage.dead.keys())
    stage.dead |= stage.queues.dead_lettered(ids - stage.dead.keys() - left.keys())
    holds = {
        "dead_lettered": [asdict(held) for held in stage.dead.values()],
        "left_in_queue": [asdict(held) for held in left.values()],
    }
    evidence.save(stage.folder, "dlq.json", holds)
    keys = {event.key for event in stage.events() if event.id in ids and event.key}
    rows = stage.shared.clients.tables(stage.resources).rows(sorted(ids | keys))
    evidence.save(stage.folder, "tables.json", rows)


def _save_children(stage: Stage) -> None:
    rows = [
        {"name": c.name, "code": c.code, "allowed": c.allowed, "tail": c.tail()}
        for c in stage.children.all
    ]
    evidence.save(stage.folder, "children.json", rows)
    evidence.save(stage.folder, "problems.json", stage.problems)


@contextmanager
def _turn(queue_url: str, shared: Shared) -> Iterator[None]:
    """Two runners on the same queue would take each other's messages: one waits."""
    name = hashlib.sha256(queue_url.encode()).hexdigest()[:12]
    path = shared.reports.parent / f".{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + TURN_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SetupError(f"another run has held {queue_url} all the time") from None
                if shared.stop.wait(0.5):
                    raise Interrupted from None
        yield
    finally:
        os.close(descriptor)
