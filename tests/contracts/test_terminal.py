"""What is printed fits a terminal of 80 columns, keeps to NO_COLOR, and is plain in a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local_aws import Stack, provision
from support.children import ROOT
from support.queues import QueueSets
from support.terminal import COLOURS, COLUMNS, CONTROLS, Seen, on_terminal

pytestmark = pytest.mark.integration

RUN = [sys.executable, "scenarios/run.py"]
TWO = ["happy", "poison", "--count", "6", "--visibility-timeout", "2"]


@pytest.fixture
def environment(stack: Stack, aws_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps(provision(stack.endpoint)))
    return {**aws_env, "SCENARIO_OUTPUTS": str(outputs)}


def fits(seen: Seen) -> None:
    """Nothing is cut in the middle of a word: only a path may be longer than the terminal."""
    long = [line for line in seen.lines if len(line) > COLUMNS]
    assert not [line for line in long if " " in line.strip()], long


def test_help() -> None:
    seen = on_terminal(["make", "--no-print-directory", "help"])
    assert seen.code == 0
    fits(seen)
    assert any(line.startswith("  scenario-%       Run one scenario") for line in seen.lines)
    written = {line.split()[0] for line in seen.lines if line.startswith("  ") and line[2] != " "}
    assert {"demo", "local-up", "scenarios-fast", "report"} <= written


def test_a_run(environment: dict[str, str], tmp_path: Path) -> None:
    seen = on_terminal([*RUN, *TWO, "--reports", str(tmp_path)], environment)
    assert seen.code == 0, seen.raw
    fits(seen)
    assert COLOURS.search(seen.raw)
    assert any(line.startswith("running") for line in seen.lines), "how far they are"
    head = [line.split() for line in seen.lines].index(["verdict", "scenario", "proved"])
    table = seen.lines[head:]
    assert sum(line.startswith("  PASS ") for line in table) == 2
    assert len(table) < 20, "short enough to be read at a glance"


@pytest.mark.slow
def test_a_run_without_colours(environment: dict[str, str], tmp_path: Path) -> None:
    quiet = {**environment, "NO_COLOR": "1"}
    seen = on_terminal([*RUN, *TWO, "--reports", str(tmp_path)], quiet)
    assert seen.code == 0, seen.raw
    fits(seen)
    assert not COLOURS.search(seen.raw)
    assert sum("PASS" in line for line in seen.lines) >= 4, "colours are not the only sign"


@pytest.mark.slow
def test_a_run_into_a_file(environment: dict[str, str], tmp_path: Path) -> None:
    """One line for each thing that is told, whatever its length: a log is searched."""
    log = tmp_path / "log"
    with log.open("w") as out:
        command = [*RUN, *TWO, "--reports", str(tmp_path / "reports")]
        env = {"PATH": "/usr/bin:/bin", "TERM": "xterm", **environment}
        code = subprocess.run(command, cwd=ROOT, env=env, stdout=out, stderr=out, check=False)
    text = log.read_text()
    assert code.returncode == 0, text
    assert not CONTROLS.search(text)
    assert "\r" not in text
    lines = text.splitlines()
    assert len([line for line in lines if line.startswith("PASS ")]) == 2
    assert [line for line in lines if line.startswith("happy: ")]


def test_the_producer(queue_set: QueueSets) -> None:
    made = queue_set()
    command = [sys.executable, "producer/produce.py", "--n", "6", "--rate", "10"]
    seen = on_terminal(command, made.env)
    assert seen.code == 0, seen.raw
    assert any(line.endswith("6/6 0:00:00") for line in seen.lines), seen.lines
    assert COLOURS.search(seen.raw)
    assert not COLOURS.search(on_terminal(command, {**made.env, "NO_COLOR": "1"}).raw)


def test_bad_settings_are_a_line_each(queue_set: QueueSets) -> None:
    bad = {"MESSAGE_LIMIT": "x", "SLEEP_MAX_SECONDS": "-1", "MAX_MESAGES": "3"}
    seen = on_terminal([sys.executable, "consumer/consume.py"], {**queue_set().env, **bad})
    assert seen.code == 2
    fits(seen)
    assert len([line for line in seen.lines if line]) == len(bad)
    assert not CONTROLS.search(seen.raw)
