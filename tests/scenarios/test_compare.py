"""Two runs side by side: what is told, what counts as worse, and which exit code that gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.compare import Change, as_json, compare, in_lines
from harness.infra import SetupError
from run import Exit
from support.children import ROOT
from support.saved_runs import GOOD, Made, crash, poison


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """The second fails in crash, delivers once more and slower there, and lacks poison."""
    before = poison().save(crash().save(tmp_path / "before"))
    made = crash()
    made.deliver("consumer-2", "aaaa-1", 6.0, *GOOD, count=3)
    return before, made.save(tmp_path / "after", "FAIL")


def changed(changes: list[Change]) -> dict[tuple[str, str], tuple[object, object]]:
    return {(c.scenario, c.figure): (c.before, c.after) for c in changes if not c.same}


def test_verdicts_deliveries_calls_and_times(runs: tuple[Path, Path]) -> None:
    found = changed(compare(*runs))
    assert found["crash", "verdict"] == ("PASS", "FAIL")
    assert found["crash", "deliveries"] == (2, 3)
    assert found["poison", "verdict"] == ("PASS", "not run")
    assert ("crash", "to first receive, median s") not in found


def test_times_are_from_sending_to_the_first_of_each_message(tmp_path: Path) -> None:
    quick, slow = Made(), Made()
    for made, wait in ((quick, 1.0), (slow, 3.0)):
        made.send("a", 0.0)
        made.deliver("consumer-1", "a", wait, *GOOD)
    found = changed(compare(quick.save(tmp_path / "a"), slow.save(tmp_path / "b")))
    assert found["happy", "to first receive, median s"] == (1.0, 3.0)
    assert found["happy", "to completion, 95 % s"] == (1.08, 3.08)


def test_calls_are_compared_per_message(tmp_path: Path) -> None:
    one, two = Made(), Made()
    for made, ids in ((one, "a"), (two, "ab")):
        for key in ids:
            made.send(key, 0.0)
            made.deliver("consumer-1", key, 1.0, *GOOD)
    found = changed(compare(one.save(tmp_path / "a"), two.save(tmp_path / "b")))
    assert found["happy", "calls per message"] == (17.0, 8.5)
    assert found["happy", "write units per message"] == (12.0, 6.0)


def test_a_run_is_equal_to_itself(runs: tuple[Path, Path]) -> None:
    changes = compare(runs[0], runs[0])
    assert changed(changes) == {}
    assert in_lines(changes)[-1].startswith("0 figures differ")


def test_lines_tell_the_difference_and_name_what_is_worse(runs: tuple[Path, Path]) -> None:
    lines = in_lines(compare(*runs))
    assert "crash  verdict                    PASS -> FAIL (WORSE)" in lines
    assert "crash  deliveries                 2 -> 3 (+1, +50%)" in lines
    assert lines[-1].endswith("2 verdicts are worse")


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ("PASS", "FAIL", True),
        ("PASS", "UNKNOWN", True),
        ("PASS", "PASS", False),
        ("FAIL", "PASS", False),
        ("UNKNOWN", "FAIL", False),
    ],
)
def test_only_a_lost_pass_is_worse(before: str, after: str, worse: bool) -> None:
    assert Change("x", "verdict", before, after).worse is worse
    assert not Change("x", "deliveries", 1, 2).worse


def test_json_has_the_equal_figures_too(runs: tuple[Path, Path]) -> None:
    told = json.loads(as_json(compare(*runs)))
    assert {"scenario": "crash", "figure": "sent", "before": 1, "after": 1} in told


def test_a_folder_that_is_no_run(runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="holds no saved scenario"):
        compare(runs[0], tmp_path)


@pytest.mark.parametrize(
    ("order", "code"), [((0, 1), Exit.FAIL), ((1, 0), Exit.PASS), ((0, 2), Exit.SETUP)]
)
def test_the_door(runs: tuple[Path, Path], order: tuple[int, int], code: Exit) -> None:
    folders = [*runs, runs[0].parent / "nowhere"]
    answer = subprocess.run(
        [sys.executable, "run.py", "--compare", *(str(folders[at]) for at in order)],
        cwd=ROOT / "scenarios",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode == code
    assert ("holds no saved scenario" in answer.stderr) is (code is Exit.SETUP)
