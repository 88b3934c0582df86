"""What is shown: plain lines off a terminal, a table on one, findings that say where to look."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from harness.console import Report, as_json
from harness.history import Tick
from harness.judging import Outcome
from harness.progress import bars
from harness.scenario import Finding, Verdict
from run import Exit, cases, exit_code

COUNTS = {"sent": 4, "completed": 3, "in_dlq": 1, "deliveries": 6, "crashes": 2, "stale_deletes": 1}
BAD = Finding("conservation", Verdict.FAIL, "no loss", "[a] is lost", "grep a *.jsonl")
TICK = Tick(3.0, 40, 2, 5, "flood")


def outcome(verdict: Verdict, *findings: Finding, name: str = "happy", error: str = "") -> Outcome:
    counts = {} if error else COUNTS
    return Outcome(name, name, verdict, findings, counts, Path("reports/x"), 2.5, error)


PASSED = outcome(Verdict.PASS)
FAILED = outcome(Verdict.FAIL, BAD, name="crash")
UNKNOWN = outcome(Verdict.UNKNOWN, name="poison")
BROKEN = outcome(Verdict.UNKNOWN, name="poison", error="no queue [x]")


def shown(*outcomes: Outcome, terminal: bool = False, ticks: int = 0) -> str:
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    report = Report(stream, cases())
    for _ in range(ticks):
        report.show_tick("backpressure", TICK)
    for one in outcomes:
        report.done(one)
    report.close(outcomes)
    return stream.getvalue()


def test_one_line_as_each_ends_and_then_what_it_proved() -> None:
    text = shown(PASSED)
    told = " 2.5 s  4 sent, 3 completed, 1 in the DLQ, 6 deliveries, 2 crashes, 1 stale delete\n"
    assert re.match(rf"PASS    happy +{told}", text)
    assert f"happy: {cases()['happy'].proves}" in text
    assert "1 PASS" in text
    assert "\x1b" not in text


def test_what_a_finding_shows_is_shown_though_it_passed() -> None:
    lesson = Finding("table", Verdict.PASS, "a table", "as expected", shows="way  once\nkey     1")
    text = shown(outcome(Verdict.PASS, lesson))
    assert "        way  once\n        key     1\n" in text
    assert "expected" not in text


def test_a_failure_is_explained_and_nothing_is_called_proved() -> None:
    text = shown(PASSED, FAILED, BROKEN)
    for part in ("expected  no loss", "seen      [a] is lost", "look at   grep a *.jsonl"):
        assert part in text
    assert "crash: not proved:" in text
    assert "SETUP   poison" in text
    assert "no queue [x]" in text
    assert "1 PASS, 1 FAIL, 1 SETUP" in text


def test_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    text = shown(PASSED, FAILED, terminal=True)
    assert text.count("─" * 60) > 2
    assert re.search(r"\n  PASS +happy +every message", re.sub(r"\x1b\[[0-9;]*m", "", text))
    assert "\x1b[" in text


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown(PASSED, FAILED, terminal=True))


def test_a_flood_is_lines_elsewhere_and_a_view_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "flood       consumers 2 (rule: 5)  backlog 40" in shown(PASSED, ticks=2)
    monkeypatch.setenv("TERM", "xterm")
    text = shown(PASSED, terminal=True, ticks=2)
    assert "the rule asks for 5" in text
    assert "peak 40" in text


def test_bars_are_relative_to_the_largest() -> None:
    assert bars([0, 1, 4, 8]) == " ▁▄█"
    assert bars([0, 0]) == "  "


def test_json_for_a_program() -> None:
    told = json.loads(as_json([FAILED, BROKEN], "the local stack"))
    assert told["talks_to"] == "the local stack"
    failed, broken = told["scenarios"]
    assert failed["findings"][0]["look_at"] == "grep a *.jsonl"
    assert (failed["verdict"], broken["verdict"]) == ("FAIL", "SETUP")


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([PASSED], Exit.PASS),
        ([PASSED, FAILED, BROKEN, UNKNOWN], Exit.FAIL),
        ([PASSED, BROKEN, UNKNOWN], Exit.SETUP),
        ([PASSED, UNKNOWN], Exit.UNKNOWN),
        ([], Exit.UNKNOWN),
    ],
)
def test_the_exit_code_is_the_worst(outcomes: list[Outcome], code: Exit) -> None:
    assert exit_code(outcomes) is code
