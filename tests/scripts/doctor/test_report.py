"""How a diagnosis is told: on a terminal, plainly, to a program; strangers' names harmless."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest

from doctor.evidence import End
from doctor.facts import Facts, Missing, Unknown
from doctor.findings import examine
from doctor.report import as_json, as_text
from doctor.rules import RULES
from support.healthy_facts import (
    DLQ,
    GONE,
    HEALTHY,
    NO_JOURNAL,
    QUEUE,
    TABLE,
    delivery,
    having,
    seen,
    told,
)

SOURCE = "settings come from the environment"
HOSTILE = "\x1b[2Jgone\r\nDANGER   forged\u202e\x07[red]:smile:"


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def text_of(facts: Facts, stream: StringIO | None = None) -> str:
    out = stream or StringIO()
    as_text(out, facts, examine(facts, RULES), SOURCE)
    return out.getvalue()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_a_healthy_set_in_plain_text() -> None:
    assert text_of(HEALTHY).splitlines() == [
        SOURCE,
        "queue    orders: hidden for 30 s, 5 receives, kept for 4 days; 0 waiting, 0 in flight",
        "DLQ      orders-dlq: hidden for 30 s, kept for 14 days; 0 waiting, 0 in flight",
        "table    orders-status",
        "table    orders-completed",
        "journal  consumer: 1 run, 20 deliveries, jobs of 1 s to 1 s",
        "",
        f"{len(RULES)} questions: nothing found, 0 not known",
    ]


def test_a_finding_has_four_parts_and_fits_the_width() -> None:
    lines = text_of(told(CRASH_RATE="0.5")).splitlines()
    start = lines.index("DANGER   failure-knobs")
    assert lines[start + 1].startswith("  what ")
    assert any(line.startswith("  why  ") for line in lines)
    assert any(line.startswith("  set  ") for line in lines)
    assert lines[-1].endswith("questions: 1 danger, 0 warnings, 0 notes, 0 not known")
    assert max(map(len, lines)) <= 100


def test_open_questions_stand_under_their_reason_once() -> None:
    said = text_of(NO_JOURNAL)
    assert said.count("NOT KNOWN refused") == 1
    assert "  were messages finished after their visibility timeout expired?\n" in said
    assert "nothing found, " in said


def test_what_was_not_there_is_said_where_it_was_looked_at() -> None:
    said = text_of(having(dlq=GONE, status=Unknown("refused"), completed=GONE))
    assert "DLQ      gone does not exist" in said
    assert "table    not known: refused" in said
    assert "table    gone does not exist" in said


def test_the_visibility_of_the_consumer_s_own_is_told() -> None:
    said = text_of(told(VISIBILITY_TIMEOUT_SECONDS="60"))
    assert "hidden for 30 s" in said
    assert "hidden for 60 s by this consumer" in " ".join(said.split())


def test_older_runs_are_named() -> None:
    assert "; 2 older runs left out" in text_of(seen(left_out=2))


def test_a_terminal_gets_colours_and_its_own_width(terminal: Terminal) -> None:
    said = text_of(told(CRASH_RATE="0.5"), terminal)
    assert "\x1b[1;31mDANGER" in said
    plain = said.replace("\x1b[1;31m", "").replace("\x1b[0m", "").replace("\x1b[1m", "")
    assert max(len(line) for line in plain.splitlines() if "orders" not in line) <= 80


def test_no_color_takes_the_colours_away(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    said = text_of(told(CRASH_RATE="0.5", LOG_LEVEL="DEBUG"), terminal)
    assert "DANGER" in said
    assert "\x1b[1;31m" not in said
    assert "\x1b[36m" not in said


def ill() -> Facts:
    """Everything that a stranger may name has a name to harm a terminal with."""
    stale = delivery(1, id=HOSTILE, sqs_id="s", end=End.STALE, receive_count=5, late=1.0)
    shared = delivery(2, id=HOSTILE * 50, end=End.CHANGED)
    run = replace(HEALTHY.seen().runs[0], outages=(HOSTILE,))
    facts = seen(
        told(REJECT_PAYLOAD_MARKER=HOSTILE),
        deliveries=(stale, shared),
        torn=(HOSTILE,),
        files=(HOSTILE,),
        runs=(run,),
        settings={"MAX_MESSAGES": HOSTILE},
    )
    return replace(
        facts,
        queue=replace(QUEUE, name=HOSTILE, sources=(HOSTILE,), max_receives=1, policy=None),
        dlq=replace(DLQ, name=HOSTILE, visible=1, sources=(HOSTILE, "b"), in_flight=1),
        status=replace(TABLE, name=HOSTILE, key=HOSTILE, expiry=HOSTILE),
        completed=Missing(HOSTILE),
        peeked=Unknown(HOSTILE),
    )


def test_names_of_strangers_move_no_cursor_and_forge_no_line() -> None:
    diagnosis = examine(ill(), RULES)
    assert len(diagnosis.findings) > 13
    said = text_of(ill())
    assert said.replace("\n", "").isprintable()
    assert "\nDANGER   forged" not in said
    assert r"\x1b[2Jgone\r\nDANGER" in said
    assert "[red]:smile:" in said
    assert max(len(line) for line in said.splitlines()) < 500, "an id is cut"


def test_a_program_gets_the_same_in_ascii() -> None:
    facts = ill()
    said = as_json(facts, examine(facts, RULES), SOURCE)
    assert said.isascii()
    assert said.replace("\n", "").isprintable()
    read = json.loads(said)
    assert read["settings"] == SOURCE
    assert read["questions"] == len(RULES)
    assert {"what": "journal", "is": "not known: refused"} in json.loads(
        as_json(NO_JOURNAL, examine(NO_JOURNAL, RULES), SOURCE)
    )["looked_at"]
    for finding in read["findings"]:
        assert set(finding) == {"rule", "severity", "what", "why", "set", "numbers"}
        assert finding["severity"] in ("danger", "warning", "note")
    for one in read["not_known"]:
        assert set(one) == {"rule", "asks", "reason"}
