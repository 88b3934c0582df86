"""What others wrote reaches the terminal as plain text, short, and bodies only when asked for."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.dead_letters import NO_RECORD, Record
from redrive.mover import Tally
from redrive.rules import Decision, Fate, Why
from redrive.show import CHANGED, as_json, harmless, listing, seen, summary
from support.dead_letters import letter

MOVE = Decision(Fate.MOVE)
HOSTILE = [
    "\x1b]0;title\x07\x1b[2J\x1b[31mred",
    "a\r\nb\x00c\x7f\x9b31m",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "\ud800 lone",
    "\u2028line\u2029",
]


@given(st.text(st.characters(exclude_categories=())), st.integers(4, 50))
def test_nothing_that_a_terminal_obeys_is_left(text: str, most: int) -> None:
    shown = harmless(text, most)
    assert not [c for c in shown if unicodedata.category(c)[0] in "CZ" and c != " "]
    assert len(shown) <= 10 * most + 3
    shown.encode()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_ids_reasons_and_bodies_are_harmless(text: str) -> None:
    one = letter(json.dumps({"id": text + "x"}))
    rows = [seen(one, Record("FAILED", text), MOVE, 1e9, body=True)]
    for line in (*listing(rows, dry_run=False), *as_json(rows)):
        assert line.isprintable(), ascii(line)
    tally = Tally()
    tally.fail(one, text)
    tally.undeleted[text] = text
    tally.keep(one, Decision(Fate.KEEP, Why.NO_ID))
    for line in summary(tally, Counter()):
        assert line.isprintable(), ascii(line)


def test_a_body_is_not_shown_unless_it_is_asked_for() -> None:
    one = letter({"id": "a", "secret": "hunter2"})
    for asked in (False, True):
        rows = [seen(one, NO_RECORD, MOVE, 1e9, body=asked)]
        said = "\n".join((*listing(rows, dry_run=False), *as_json(rows)))
        assert ("hunter2" in said) is asked


def test_a_huge_body_takes_one_line_and_little_memory() -> None:
    rows = [seen(letter("x" * 1_000_000), NO_RECORD, MOVE, 1e9, body=True)]
    assert max(map(len, listing(rows, dry_run=False))) <= 404
    assert len(rows[0].body) < 500
    assert rows[0].bytes == 1_000_000


def test_counts_by_reason() -> None:
    told = [
        (Record("FAILED", "rejected: x"), 2),
        (Record("STARTED"), 1),
        (Record("COMPLETED"), 1),
        (NO_RECORD, 1),
    ]
    rows = [seen(letter(), record, MOVE, 1e9) for record, times in told for _ in range(times)]
    said = list(listing(rows, dry_run=False))
    assert said[0] == "5 messages"
    assert said[1] == "       2  FAILED: rejected: x"
    for text in ("STARTED: claimed", "COMPLETED: the work is done", "not in the status table"):
        assert any(text in line for line in said), text


def test_a_changed_payload_is_not_called_done() -> None:
    """The claim refuses it: an id or key that stood for something else."""
    one = letter({"id": "a", "amount": 900})
    rows = [
        seen(one, Record("COMPLETED", digest=digest), MOVE, 1e9)
        for digest in ("another", one.identity.digest, "")
    ]
    said = list(listing(rows, dry_run=False))
    assert f"       1  COMPLETED: {CHANGED}" in said
    assert any(line.startswith("       2  COMPLETED: the work is done") for line in said)
    assert [json.loads(line)["reason"] for line in as_json(rows)] == [CHANGED, "", ""]


def test_what_came_from_another_queue_is_counted_apart() -> None:
    other = Decision(Fate.KEEP, Why.OTHER_QUEUE)
    rows = [seen(letter(), NO_RECORD, other, 1e9), seen(letter(), NO_RECORD, MOVE, 1e9)]
    said = list(listing(rows, dry_run=False))
    assert f"       1  it {Why.OTHER_QUEUE}" in said
    assert "       1  not in the status table" in said


def test_a_dry_run_counts_by_what_would_become_of_them() -> None:
    rows = [seen(letter(), NO_RECORD, MOVE, 1e9)]
    rows += [seen(letter(), NO_RECORD, Decision(Fate.KEEP, Why.CAP), 1e9)] * 2
    said = list(listing(rows, dry_run=True))
    assert said[1] == f"       2  would be kept: it {Why.CAP}"
    assert said[2] == "       1  would be moved"


def test_ages_are_of_the_first_sending() -> None:
    one = letter(sent=1_000_000)
    for later, shown in ((5, "5 s"), (90, "1.5 min"), (7200, "2.0 h"), (2 * 86_400, "2.0 d")):
        (*_, line) = listing([seen(one, NO_RECORD, MOVE, 1000 + later)], dry_run=False)
        assert shown in line


def test_a_summary_names_what_did_not_go_as_asked() -> None:
    tally = Tally()
    tally.fates[Fate.MOVE] = 3
    tally.keep(letter({"id": "poison"}), Decision(Fate.KEEP, Why.CAP))
    tally.keep(letter({"id": "other"}), Decision(Fate.KEEP, Why.FILTERED))
    tally.fail(letter({"id": "bad"}), "InvalidMessageContents: no")
    tally.twice.add("m-1")
    tally.in_other_hands, tally.not_given_back = 2, 1
    said = "\n".join(summary(tally, {"sqs.SendMessageBatch": 2, "sqs.ReceiveMessage": 4}))
    assert "moved 3, kept 2, failed 1" in said
    assert "--max-replays allows: poison" in said
    assert "kept 1: it does not match the filter" in said
    assert "other\n" not in said
    assert "failed: bad: InvalidMessageContents: no" in said
    for part in ("1 may have been sent twice", "about 2 are hidden", "1 could not be given back"):
        assert part in said
    assert "API calls: 6 (4 ReceiveMessage, 2 SendMessageBatch)" in said


def test_only_the_first_of_many_are_named() -> None:
    tally = Tally()
    for number in range(100):
        tally.keep(letter({"id": f"id-{number}"}), Decision(Fate.KEEP, Why.CAP))
        tally.fail(letter({"id": f"id-{number}"}), "no")
    lines = list(summary(tally, {}))
    assert any("id-19 and 80 more" in line for line in lines)
    assert sum("failed: id-" in line for line in lines) == 20
