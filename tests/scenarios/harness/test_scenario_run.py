"""A scenario under way: how it asks its children to stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import scenario_run as stage_module
from harness.infra import SetupError
from harness.processes import Children, Program, Running, Watchdog
from harness.scenario_run import Stage

# As a consumer does: it hears a signal once its handler is there, and begins its journal after it.
SLOW_TO_BEGIN = """
import json, os, signal, sys, time
time.sleep(float(sys.argv[1]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
line = {"t": 1.0, "who": "consumer", "event": "start"}
with open(os.environ["JOURNAL_PATH"], "a") as journal:
    journal.write(json.dumps(line) + "\\n")
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """With no queue behind it."""
    shared: Any = SimpleNamespace(
        clients=SimpleNamespace(queues=lambda _: None), stop=threading.Event()
    )
    nothing: Any = None
    with Watchdog() as watchdog, Children(tmp_path, watchdog) as children:
        yield Stage(shared, nothing, tmp_path, nothing, children, None, 2)


def started(stage: Stage, name: str, seconds: float) -> Running:
    argv = [sys.executable, "-c", SLOW_TO_BEGIN, str(seconds)]
    return stage._start(name, Program(argv, stage.folder, {}), 0)


def test_a_child_is_not_stopped_before_it_has_begun_its_journal(stage: Stage) -> None:
    children = [started(stage, f"consumer-{n}", 0.7) for n in (1, 2)]
    stage.stop(children)
    assert [child.code for child in children] == [0, 0]


def test_one_of_many_is_not_asked_before_it_has_begun_its_journal(stage: Stage) -> None:
    child = started(stage, "consumer-1", 0.7)
    stage.ask(child, signal.SIGTERM)
    assert child.process.wait(10) == 0


def test_one_that_never_begins_is_a_setup_error_after_a_while(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_module, "START_SECONDS", 0.3)
    with pytest.raises(SetupError, match="consumer-1 did not start: it hangs"):
        stage.stop([started(stage, "consumer-1", 60)])
