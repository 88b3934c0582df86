"""Journals that are whole, still growing, or torn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.history import Event
from harness.journals import Tail, deleted_ids, exhausted_ids, read_journal

LINE = json.dumps({"t": 1.5, "who": "consumer-7", "event": "received", "id": "a"}) + "\n"


def test_a_whole_journal(tmp_path: Path) -> None:
    path = tmp_path / "consumer-1.jsonl"
    path.write_text(LINE * 2)
    journal = read_journal(path)
    assert journal.name == "consumer-1"
    assert journal.torn is None
    assert journal.events[1] == Event(1.5, "consumer-7", "received", 2, {"id": "a"})


@pytest.mark.parametrize("rest", [LINE[:-1], LINE[:20], "{", "\x00"])
def test_a_torn_last_line_is_reported_and_the_rest_is_kept(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "consumer-1.jsonl"
    path.write_text(LINE + rest)
    journal = read_journal(path)
    assert len(journal.events) == 1
    assert "line 2" in (journal.torn or "")


@pytest.mark.parametrize("bad", ["nonsense", "[]", "{}", '{"t": "x", "who": "c", "event": "e"}'])
def test_a_line_that_is_no_event_is_reported_wherever_it_stands(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "consumer-1.jsonl"
    path.write_text(LINE + bad + "\n" + LINE)
    journal = read_journal(path)
    assert len(journal.events) == 2
    assert "line 2 is not an event" in (journal.torn or "")


def test_a_growing_journal_is_read_by_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "consumer-1.jsonl"
    tail = Tail(path)
    assert tail.read() == []
    path.write_text(LINE + LINE[:9])
    assert len(tail.read()) == 1
    assert tail.torn
    with path.open("a") as more:
        more.write(LINE[9:])
    assert [event.place for event in tail.read()] == [1, 2]
    assert tail.torn is None


def test_which_messages_are_deleted_and_which_exhausted() -> None:
    def received(key: str, count: int, until: float) -> Event:
        data = {"id": key, "receive_count": count, "visible_at": until}
        return Event(1.0, "c", "received", 1, data)

    events = [
        Event(2.0, "c", "deleted", 2, {"id": "a"}),
        Event(2.0, "c", "delete_stale", 3, {"id": "b"}),
        received("once", 1, 5.0),
        received("hidden", 2, 99.0),
        received("gone", 2, 5.0),
    ]
    assert deleted_ids(events) == {"a"}
    assert exhausted_ids(events, 2, now=6.0) == {"gone"}
