"""The live view: what runs and how far it is, from the evidence alone; a board, or lines."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from harness import console as report
from harness.console import Report
from harness.history import Tick
from harness.progress import Progress, Watching, board, in_words
from run import cases
from support.saved_runs import GOOD, crash, poison
from support.waiting import wait_for

ROW = Progress("partial-batch", 12.3, 120_000, 11, 99_999, 1234, 17, 10)


@pytest.fixture
def running(tmp_path: Path) -> Path:
    """Two scenarios under way: no verdict yet, no summary."""
    run = poison().save(crash().save(tmp_path / "run"))
    for folder in run.iterdir():
        (folder / "verdict.json").unlink()
    return run


def rows(watching: Watching) -> dict[str, Progress]:
    return {row.label: row for row in watching.look()}


def test_what_is_counted(running: Path) -> None:
    found = rows(Watching(running))
    crashed, poisoned = found["crash"], found["poison"]
    assert (crashed.sent, crashed.completed, crashed.redelivered) == (1, 1, 1)
    assert crashed.consumers == 1, "the one that crashed is not counted"
    assert (poisoned.sent, poisoned.completed, poisoned.redelivered) == (2, 1, 1)
    assert (poisoned.dlq, poisoned.in_flight) == (1, 0)
    assert 0 <= crashed.seconds < 60


def test_what_is_written_meanwhile_is_added_once(running: Path) -> None:
    watching = Watching(running)
    first = rows(watching)["crash"]
    assert rows(watching)["crash"].sent == first.sent == 1
    more = crash()
    more.send("bbbb-2", 5.0)
    more.deliver("consumer-2", "bbbb-2", 6.0, *GOOD)
    shutil.rmtree(running / "crash")
    more.save(running)
    (running / "crash" / "verdict.json").unlink()
    found = rows(watching)["crash"]
    assert (found.sent, found.completed) == (2, 2)


def test_every_arm_has_a_producer_and_all_of_them_count(running: Path) -> None:
    folder = running / "crash"
    shutil.copy(folder / "producer.jsonl", folder / "producer.other.jsonl")
    assert rows(Watching(running))["crash"].sent == 2


def test_one_that_has_its_verdict_is_gone(running: Path) -> None:
    watching = Watching(running)
    assert set(rows(watching)) == {"crash", "poison"}
    (running / "crash" / "verdict.json").write_text("{}")
    assert set(rows(watching)) == {"poison"}


def test_a_torn_or_missing_sample_is_no_trouble(running: Path) -> None:
    with (running / "poison" / "samples.jsonl").open("a") as samples:
        samples.write('{"t": 1, "visi')
    (running / "crash" / "samples.jsonl").unlink()
    found = rows(Watching(running))
    assert (found["crash"].in_flight, found["poison"].dlq) == (0, 1)


def test_the_board_fits_eighty_columns() -> None:
    stream = io.StringIO()
    Console(file=stream, width=80, force_terminal=True).print(board([ROW]))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80
    for part in ("partial-batch", "12 s", "120000", "99999", "1234"):
        assert part in lines[1]


def test_the_same_in_words() -> None:
    assert in_words(ROW).startswith("partial-batch runs for 12 s: 120000 sent, 11 in flight")


def watched(run: Path, monkeypatch: pytest.MonkeyPatch, *, terminal: bool, flood: str = "") -> str:
    """What a report writes while it watches these scenarios for two looks."""
    monkeypatch.setattr(report, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(report, "TELL_EVERY", 0.01)
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    shown = Report(stream, cases())
    if flood:
        shown.show_tick(flood, Tick(1.0, 30, 1, 2, "flood"))
    with shown.watch(run):
        wait_for(lambda: "poison" in stream.getvalue())
    return stream.getvalue()


def test_lines_where_there_is_no_terminal(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = watched(running, monkeypatch, terminal=False)
    assert "        poison runs for" in text
    assert "\x1b" not in text


def test_lines_on_a_terminal_that_cannot_move(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[1A" not in watched(running, monkeypatch, terminal=True)


def test_a_board_on_a_terminal_that_goes_when_all_is_over(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = watched(running, monkeypatch, terminal=True)
    assert "redelivered" in text
    assert re.search(r"\x1b\[1A\x1b\[2K\s*$", text), "the last thing is to wipe it"


def test_no_color(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", watched(running, monkeypatch, terminal=True))


def test_a_flood_tells_its_own_story_in_a_log(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = watched(running, monkeypatch, terminal=False, flood="crash")
    assert "crash    1.0 s  flood" in text
    assert "crash runs for" not in text


def test_a_flood_stays_on_a_terminal(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = watched(running, monkeypatch, terminal=True, flood="crash")
    assert "peak 1" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).rstrip().splitlines()[-1]
