"""The demo: its own stack, the scenarios, and nothing left of either, however it ends."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import demo
import run
from support.children import ROOT
from support.waiting import wait_for

if TYPE_CHECKING:
    from support.children import Nursery, Process

pytestmark = pytest.mark.integration
DEMO = (ROOT, "scripts/demo.py")
HOSTILE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_PROFILE": "nobody",
    "QUEUE_URL": "x",
    "SCENARIO_OUTPUTS": "/nowhere.json",
    "LOG_LEVEL": "nonsense",
}


def start(nursery: Nursery, reports: Path, *arguments: str) -> Process:
    return nursery.start(DEMO, [*arguments, "--reports", str(reports)], HOSTILE)


def state(process: Process) -> Path:
    return ROOT / ".local" / f"demo-{process.pid}"


def stack_pid(process: Process) -> int:
    record = state(process) / "ministack.json"
    wait_for(record.exists, seconds=30, what="the demo's stack")
    return int(json.loads(record.read_text())["pid"])


def consumer_pids(reports: Path) -> list[int]:
    """Of both consumers, as soon as both have said that they start."""
    paths = list(reports.glob("*/duplicates/consumer-*.jsonl"))
    starts = [path.read_text().partition("\n")[0] for path in paths]
    return [json.loads(line)["pid"] for line in starts] if all(starts) and len(starts) > 1 else []


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def dotenv() -> str | None:
    path = ROOT / ".env"
    return path.read_text() if path.exists() else None


@pytest.mark.smoke
def test_it_proves_and_leaves_nothing(nursery: Nursery, tmp_path: Path) -> None:
    before = dotenv()
    demo = start(nursery, tmp_path, "happy", "--count", "4")
    pid = stack_pid(demo)
    answer = demo.wait(90)
    assert answer.code == 0, answer.output
    assert f"happy: {run.cases()['happy'].proves}" in answer.stdout
    assert "4 sent, 4 completed" in answer.stdout
    assert gone(pid)
    assert not state(demo).exists()
    assert dotenv() == before


def test_the_exit_code_of_the_scenarios_is_its_own(nursery: Nursery, tmp_path: Path) -> None:
    answer = start(nursery, tmp_path, "no-such-scenario").wait(60)
    assert answer.code == 2
    assert "no scenario 'no-such-scenario'" in answer.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_stops_what_it_started_whatever_happens(
    nursery: Nursery, tmp_path: Path, number: signal.Signals
) -> None:
    demo = start(nursery, tmp_path, "duplicates", "--visibility-timeout", "9")
    pid = stack_pid(demo)
    consumers = wait_for(lambda: consumer_pids(tmp_path), seconds=30, what="the consumers")
    demo.signal(number)
    answer = demo.wait(60)
    assert answer.code == (-9 if number is signal.SIGKILL else 130), answer.output
    wait_for(lambda: all(map(gone, [pid, *consumers])), what="the end of all that it started")


def test_a_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("demo.ROOT", tmp_path)
    (tmp_path / ".local").touch()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert demo.main([]) == 2
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    said = capsys.readouterr().err
    assert said.startswith("demo: ")
    assert str(tmp_path / ".local") in said
    assert said.count("\n") == 1
