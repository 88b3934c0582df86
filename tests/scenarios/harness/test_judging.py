"""From a saved folder to a verdict: what cannot be read or was cut short is never a pass."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from checks.delivery import dlq_holds
from checks.invariants import ALWAYS
from harness import evidence
from harness.history import History, Tick
from harness.infra import SetupError
from harness.judging import judge, judge_again, measures
from harness.scenario import Given, Scenario, Verdict

CASE = Scenario("happy", "p", "happy", Given(1), [], [dlq_holds(0)])
ABOUT = {"scenario": "happy", "given": {"messages": 1}, "queue_arn": "q", "quiet_seconds": 1}


@pytest.fixture
def saved(tmp_path: Path, tell: Any) -> Path:
    """The good history as a run would have saved it."""
    good: History = tell.good()
    evidence.save(tmp_path, "scenario.json", ABOUT)
    for journal in (good.producer, *good.consumers):
        assert journal
        lines = [
            json.dumps({"t": e.t, "who": e.who, "event": e.name, **e.data}) for e in journal.events
        ]
        (tmp_path / f"{journal.name}.jsonl").write_text("\n".join(lines) + "\n")
    rows = [
        {"name": c.name, "code": c.code, "allowed": c.allowed, "tail": []}
        for c in good.children or ()
    ]
    evidence.save(tmp_path, "children.json", rows)
    evidence.save(tmp_path, "problems.json", [])
    evidence.save(tmp_path, "dlq.json", {"dead_lettered": [], "left_in_queue": []})
    evidence.save(tmp_path, "tables.json", {"status": good.status, "completed": good.completed})
    for sample in good.samples:
        evidence.append(tmp_path, "samples.jsonl", sample)
    return tmp_path


def test_a_whole_folder_passes_and_keeps_its_verdict(saved: Path) -> None:
    outcome = judge(CASE, saved, "happy", 1.0)
    assert outcome.verdict is Verdict.PASS, outcome.findings
    verdict = json.loads((saved / "verdict.json").read_text())
    assert verdict["verdict"] == "PASS"
    assert verdict["measures"]["completed"] == 1
    assert len(verdict["findings"]) == len(ALWAYS) + 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("samples.jsonl", "nonsense\n"),
        ("samples.jsonl", '{"depth": 1}\n'),
        ("dlq.json", '{"dead_lettered": [{"id": 1}], "left_in_queue": []}'),
        ("children.json", '[{"name": "consumer-1"}]'),
        ("tables.json", "[]"),
        ("problems.json", "7"),
        ("consumer-1.jsonl", "\x00\n"),
    ],
)
def test_what_cannot_be_read_is_unknown(saved: Path, name: str, text: str) -> None:
    (saved / name).write_text(text)
    assert judge(CASE, saved, "happy", 1.0).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("name", "text"),
    [("problems.json", '["interrupted"]'), ("problems.json", "{"), ("children.json", "null")],
)
def test_a_run_cut_short_is_asked_nothing_else(saved: Path, name: str, text: str) -> None:
    (saved / name).write_text(text)
    (saved / "tables.json").unlink()
    outcome = judge(CASE, saved, "happy", 1.0)
    assert outcome.verdict is Verdict.UNKNOWN
    assert len(outcome.findings) == 1


def test_a_run_and_each_of_its_scenarios_can_be_judged_again(saved: Path, tmp_path: Path) -> None:
    assert [o.verdict for o in judge_again(saved, {"happy": CASE})] == [Verdict.PASS]
    shutil.copytree(saved, tmp_path / "run" / "happy")
    assert [o.label for o in judge_again(tmp_path / "run", {"happy": CASE})] == ["happy"]
    with pytest.raises(SetupError, match="names no scenario"):
        judge_again(saved, {})


def test_what_is_measured_of_a_flood(tell: Any) -> None:
    ticks = (
        Tick(0.0, 1, 0, 1, "head start"),
        Tick(1.0, 9, 2, 2, "flood"),
        Tick(2.0, 5, 2, 1, "equilibrium"),
        Tick(3.0, 0, 1, 1, "drain"),
    )
    found = measures(tell.good(scaling=ticks))
    assert found["peak_backlog"] == 9
    assert found["peak_consumers"] == 2
    assert found["oldest_wait_seconds"] == 0.9
    assert found["seconds_to_equilibrium"] == 2.0
    assert found["consumers_over_time"] == [[0.0, 0], [1.0, 2], [3.0, 1]]
