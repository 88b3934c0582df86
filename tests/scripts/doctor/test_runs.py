"""What journals tell the doctor: works, ends of deliveries, runs; whatever is written in them."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.evidence import End, Evidence
from doctor.findings import examine
from doctor.report import as_json, as_text
from doctor.rules import RULES
from doctor.runs import gather
from harness.history import Event, Journal
from sqs_worker.ports import Claim, Completion, Deletion
from support.healthy_facts import having
from support.healthy_facts import told as told_settings

URL = "https://sqs.us-west-1.amazonaws.com/123456789012/orders"
START: dict[str, Any] = {"queue": URL, "settings": {"MAX_MESSAGES": 10}}


def line(t: float, name: str, key: str = "", who: str = "consumer-1", **data: Any) -> Event:
    names = {"id": key, "sqs_id": f"sqs-{key}", "delivery": f"d-{key}"} if key else {}
    return Event(t, who, name, 1, {**names, **data})


def received(t: float, key: str, count: int = 1, visible_at: float = 110.0) -> Event:
    return line(t, "received", key, receive_count=count, visible_at=visible_at, sent=1.0)


def read(*events: Event, alive: frozenset[str] = frozenset(), torn: str | None = None) -> Evidence:
    told = gather([Journal("one", events, torn)], URL, alive)
    assert isinstance(told, Evidence), told
    return told


WHOLE = (
    line(100, "start", **START),
    received(101, "a"),
    line(101.5, "work_started", "a"),
    line(103.5, "worked", "a"),
    line(103.6, "completed", "a", effect=True),
    line(103.7, "deleted", "a"),
    line(104, "stop", reason="idle", signal=None),
    line(104, "summary", received=1, seconds=4.0, calls={"sqs.ReceiveMessage": 2}),
)


def test_a_whole_run() -> None:
    told = read(*WHOLE)
    (one,) = told.deliveries
    assert (one.id, one.sqs_id, one.receive_count) == ("a", "sqs-a", 1)
    assert one.end is End.DELETED
    assert one.done
    assert one.work == 2.0
    assert one.late == pytest.approx(-6.3)
    assert told.work == (2.0,)
    (run,) = told.runs
    assert (run.who, run.reason, run.crashed, run.alive) == ("consumer-1", "idle", None, False)
    assert run.peak == 1
    assert told.receives == 2
    assert told.total("seconds") == 4.0
    assert told.settings == {"MAX_MESSAGES": 10}
    assert told.files == ("one",)


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (line(2, "delete_stale", "a"), End.STALE),
        (line(2, "delete_unknown", "a"), End.LEFT),
        (line(2, "claim_unknown", "a"), End.LEFT),
        (line(2, "complete_unknown", "a"), End.LEFT),
        (line(2, "payload_changed", "a"), End.CHANGED),
        (line(2, "rejected", "a", reason="x"), End.FAILED),
        (line(2, "work_failed", "a", reason="x"), End.FAILED),
        (line(2, "abandoned", "a"), End.ABANDONED),
        (line(2, "crash", "a", point="in-work"), End.DIED),
        (line(2, "released", "a", reason="shutdown"), End.SHUTDOWN),
        (line(2, "released", "a", reason="outage"), End.OUTAGE),
        (line(2, "released", "a", reason="limit"), End.LIMIT),
        (line(2, "work_started", "a"), End.DIED),
    ],
)
def test_how_a_receive_ended(last: Event, end: End) -> None:
    told = read(line(0, "start", **START), received(1, "a"), last)
    assert [one.end for one in told.deliveries] == [end]
    assert (told.deliveries[0].late == 0.0) is (end not in (End.DELETED, End.STALE))
    assert not told.deliveries[0].done


def test_every_answer_of_the_ports_that_ends_a_receive_is_known() -> None:
    goes_on = {Claim.CLAIMED.value, Claim.ALREADY_DONE.value, Completion.EFFECT.value}
    answers = {answer.value for port in (Claim, Completion, Deletion) for answer in port}
    for answer in answers - goes_on:
        told = read(line(0, "start", **START), received(1, "a"), line(2, answer, "a"))
        assert told.deliveries[0].end is not End.DIED, answer


def test_a_crash_right_after_the_receive_counts_as_one() -> None:
    crash = line(1, "crash", "a", point="after-receive", receive_count=2)
    told = read(line(0, "start", **START), crash)
    assert [(one.end, one.receive_count) for one in told.deliveries] == [(End.DIED, 2)]
    assert told.untold == 1  # the first receive


def test_a_clock_that_steps_back_makes_no_work_negative() -> None:
    events = (line(2, "work_started", "a"), line(1, "worked", "a"))
    assert read(line(0, "start", **START), received(1, "a"), *events).work == (0.0,)


def test_a_run_without_work_has_no_peak_and_a_receive_without_an_id_is_none() -> None:
    bare = line(1, "received", delivery="d", receive_count=1)
    told = read(line(0, "start", **START), bare)
    assert told.runs[0].peak == 0
    assert told.deliveries == ()
    odd = line(1, "received", "a", receive_count="many")
    (one,) = read(line(0, "start", **START), odd, line(2, "cached", "a")).deliveries
    assert (one.receive_count, one.done, one.late) == (1, True, 0.0)


def test_an_event_about_a_delivery_of_before_is_no_receive() -> None:
    told = read(line(0, "start", **START), line(1, "deleted", "a"))
    assert told.deliveries == ()


def test_what_is_open_when_a_run_ends_in_order_was_left() -> None:
    stop = line(3, "stop", reason="idle")
    told = read(line(0, "start", **START), received(1, "a"), stop)
    assert [one.end for one in told.deliveries] == [End.LEFT]


def test_what_is_open_in_a_run_that_goes_on_is_in_hand() -> None:
    told = read(line(0, "start", **START), received(1, "a"), alive=frozenset({"consumer-1"}))
    assert [one.end for one in told.deliveries] == [End.IN_HAND]
    assert told.runs[0].alive


def test_an_extension_makes_a_delete_be_in_time() -> None:
    events = (
        line(0, "start", **START),
        received(100, "a", visible_at=102.0),
        line(101, "extended", "a", visible_at=104.0),
        line(103, "deleted", "a"),
    )
    assert read(*events).deliveries[0].late == pytest.approx(-1)
    without = [event for event in events if event.name != "extended"]
    assert read(*without).deliveries[0].late == pytest.approx(1)


def test_the_most_works_at_a_time() -> None:
    events = [line(0, "start", **START)]
    events += [received(1, key) for key in "abc"]
    events += [line(2, "work_started", "a"), line(3, "work_started", "b"), line(4, "worked", "a")]
    events += [line(5, "extended", "b", visible_at=9.0), line(5, "work_started", "c")]
    events += [line(5, "work_started", "a"), line(6, "work_failed", "b"), line(7, "rejected", "c")]
    assert read(*events).runs[0].peak == 3


def test_outages_and_refused_heartbeats_are_counted() -> None:
    told = read(
        line(0, "start", **START),
        line(1, "outage", state="down", reason="ThrottlingException"),
        line(2, "outage", state="up", reason="1 s"),
        received(3, "a"),
        line(4, "extend_refused", "a"),
        line(5, "extend_ended", "a", seconds=3600),
    )
    assert told.runs[0].outages == ("ThrottlingException",)
    assert (told.runs[0].refused, told.runs[0].ended) == (1, 1)


def test_a_pid_that_comes_back_is_another_run() -> None:
    told = read(*WHOLE, line(200, "start", **START), received(201, "b"))
    assert [run.reason for run in told.runs] == ["idle", None]
    assert [one.end for one in told.deliveries] == [End.DELETED, End.DIED]


def test_runs_before_the_last_change_of_settings_are_left_out() -> None:
    changed = {"queue": URL, "settings": {"MAX_MESSAGES": 5}}
    told = read(*WHOLE, line(200, "start", who="consumer-2", **changed))
    assert [run.who for run in told.runs] == ["consumer-2"]
    assert told.left_out == 1
    assert told.settings == {"MAX_MESSAGES": 5}
    same = {"queue": URL, "settings": {"MAX_MESSAGES": 10, "MESSAGE_LIMIT": 5}}
    assert read(*WHOLE, line(200, "start", who="consumer-2", **same)).left_out == 0


def test_a_journal_of_another_queue_tells_nothing_of_this_one() -> None:
    other = line(300, "start", who="consumer-9", queue="https://other/queue", settings={})
    told = gather([Journal("one", (other,))], URL, frozenset())
    assert told == "the journal is of another queue, https://other/queue"
    assert [run.who for run in read(*WHOLE, other).runs] == ["consumer-1"]


def test_a_journal_without_a_start_tells_nothing() -> None:
    assert (
        gather([Journal("one", WHOLE[1:])], URL, frozenset()) == "no consumer began in the journal"
    )


def test_several_journals_are_told_of_together() -> None:
    second = tuple(Event(e.t, "consumer-2", e.name, e.place, e.data) for e in WHOLE)
    told = gather(
        [Journal("one", WHOLE), Journal("two", second, "line 9 is torn")], URL, frozenset()
    )
    assert isinstance(told, Evidence)
    assert len(told.runs) == 2
    assert told.torn == ("two: line 9 is torn",)


NAMES = ("start", "received", "work_started", "worked", "deleted", "stop", "summary", "outage")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
FIELDS = ("id", "sqs_id", "delivery", "receive_count", "visible_at", "reason", "settings", "calls")


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats() | st.just(1.0),
            st.sampled_from(["consumer-1", "consumer-2"]) | ANYTHING,
            st.sampled_from(NAMES) | ANYTHING,
            st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=4),
        ),
        max_size=8,
    )
)
def test_no_journal_can_break_it(lines: list[tuple[Any, Any, Any, dict[str, Any]]]) -> None:
    events = [line(0, "start", **START)]
    events += [Event(t, who, name, 1, {"queue": URL, **data}) for t, who, name, data in lines]
    told = gather([Journal("one", tuple(events))], URL, frozenset())
    assert isinstance(told, Evidence)
    json.dumps([told.work, told.receives, told.total("seconds")], allow_nan=False)
    ill = having(told_settings(CONCURRENCY="2", WAIT_TIME_SECONDS="0"), evidence=told)
    out = StringIO()
    diagnosis = examine(ill, RULES)
    as_text(out, ill, diagnosis, "settings come from a test")
    assert out.getvalue().replace("\n", "").isprintable()
    json.loads(as_json(ill, diagnosis, "settings come from a test"))


def test_the_reader_of_files_and_this_one_agree(tmp_path: Path) -> None:
    """A number that JSON has no room for, a name that is a list: left out, not believed."""
    from doctor.runs import evidence  # noqa: PLC0415

    start = {"t": 1, "who": "consumer-1", "event": "start", **START}
    path = tmp_path / "journal.jsonl"
    wrong = ['{"t": NaN, "who": "consumer-1", "event": "stop", "reason": "idle"}']
    wrong += ['{"t": 2, "who": "consumer-1", "event": ["stop"]}', "no JSON", '{"t": 3}']
    path.write_text("\n".join([json.dumps(start), *wrong]) + "\n{")
    told = evidence([path], URL)
    assert isinstance(told, Evidence)
    assert [run.reason for run in told.runs] == [None]
    assert told.torn
