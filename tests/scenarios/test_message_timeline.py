"""What the page tells of each message: every delivery, its end, and what nobody wrote down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.deliveries import with_deaths
from harness.history import Child, Event, Held, History, Journal, Signalled
from report.message_timeline import (
    Delivery,
    Fate,
    Mark,
    MessageTimeline,
    message_timelines,
    moments,
)


def only(history: History) -> MessageTimeline:
    (timeline,) = message_timelines(history)
    return timeline


def names(delivery: Delivery) -> list[str]:
    return [mark.name for mark in delivery.marks]


def last(delivery: Delivery) -> Mark:
    """The last thing that a process did; the window runs out whatever they do."""
    return [mark for mark in delivery.marks if mark.name != "expired"][-1]


def late(history: History, t: float = 9.0) -> History:
    """The same, but somebody saw the queue at this time: windows that end before it have ended."""
    return replace(history, samples=(replace(history.samples[0], t=t),))


def test_a_message_that_goes_well(tell: Any) -> None:
    timeline = only(tell.good())
    (delivery,) = timeline.deliveries
    assert (timeline.fate, timeline.effects, timeline.sent) == (Fate.COMPLETED, 1, 0.1)
    assert names(delivery) == ["received", "claimed", "worked", "completed", "deleted"]
    assert delivery.hidden_until == 1.5, "the window ends with the delete"


@pytest.mark.parametrize(("t", "seen"), [(0.9, False), (1.2, True), (1.6, False)])
def test_a_stop_is_marked_on_what_its_consumer_holds(t: float, *, seen: bool, tell: Any) -> None:
    signal = Signalled(t, "consumer-1", "SIGTERM")
    (delivery,) = only(tell.good(signals=(signal,))).deliveries
    assert (Mark("signalled", t, "SIGTERM") in delivery.marks) is seen
    (other,) = only(tell.good(signals=(replace(signal, name="consumer-2"),))).deliveries
    assert "signalled" not in names(other)


def test_a_kill_by_the_runner_is_marked_once_at_its_time(tell: Any) -> None:
    kill = Signalled(2.0, "consumer-1", "SIGKILL")
    journal = with_deaths(tell.journal("consumer-1", *tell.done("a")[:2]), [kill])
    children = (Child("consumer-1", -9, (-9,)),)
    (delivery,) = only(
        tell.good(consumers=(journal,), children=children, signals=(kill,))
    ).deliveries
    assert [mark.t for mark in delivery.marks if mark.name == "killed"] == [2.0]
    assert "signalled" not in names(delivery)


def test_a_window_that_runs_out_is_marked_once_it_has(tell: Any) -> None:
    told = tell.told(("received", "a", 1.0, {"receive_count": 1, "visible_at": 3.0, "sent": 0}))
    assert "expired" in names(only(late(told)).deliveries[0])
    assert "expired" not in names(only(late(told, 2.0)).deliveries[0])


def test_an_extension_moves_the_end_of_the_window(tell: Any) -> None:
    extended = [*tell.done("a")[:2], ("extended", "a", 2.0, {"visible_at": 7.5})]
    delivery = only(late(tell.told(*extended))).deliveries[0]
    assert (delivery.visible_at, delivery.hidden_until) == ((3.0, 7.5), 7.5)


def test_a_release_ends_the_window(tell: Any) -> None:
    released = [*tell.done("a")[:2], ("released", "a", 1.4, {"reason": "shutdown"})]
    delivery = only(late(tell.told(*released))).deliveries[0]
    assert delivery.hidden_until == 1.4
    assert "expired" not in names(delivery)


def test_a_delete_after_the_window_leaves_both_marks(tell: Any) -> None:
    stale = [*tell.done("a")[:-1], ("delete_stale", "a", 5.0, {})]
    assert names(only(late(tell.told(*stale))).deliveries[0])[-2:] == ["expired", "delete_stale"]


def test_a_crash_strikes_every_delivery_that_was_held_and_no_other(tell: Any) -> None:
    dead = tell.journal(
        "consumer-1",
        *tell.done("a"),
        *tell.done("b", 2.0)[:2],
        *tell.done("c", 2.0)[:2],
        ("crash", "b", 2.5, {"point": "after-work", "code": 86}),
    )
    history = tell.good(producer=tell.producer(["a", "b", "c"]), consumers=(dead,), status={})
    struck = {
        timeline.id: "crash" in names(timeline.deliveries[0])
        for timeline in message_timelines(history)
    }
    assert struck == {"a": False, "b": True, "c": True}


def test_a_killed_consumer_is_marked_at_its_last_sign_of_life(tell: Any) -> None:
    killed = (Child("consumer-1", -9, (0,)),)
    delivery = only(tell.told(*tell.done("a")[:3], children=killed)).deliveries[0]
    assert last(delivery).name == "killed"
    assert "at or after" in last(delivery).note


def test_the_table_tells_of_a_completion_whose_consumer_died(tell: Any) -> None:
    crash = ("crash", "a", 1.4, {"point": "after-complete", "code": 86})
    row = tell.row(claim="consumer-1-a", completed_at=1.35)
    delivery = only(tell.told(*tell.done("a")[:3], crash, status={"a": row})).deliveries[0]
    assert names(delivery)[-3:] == ["completed", "crash", "expired"]
    other = tell.row(claim="another", completed_at=1.35)
    delivery = only(tell.told(*tell.done("a")[:3], crash, status={"a": other})).deliveries[0]
    assert "completed" not in names(delivery)


def test_an_effect_that_was_there_is_not_called_made(tell: Any) -> None:
    found = [*tell.done("a")[:3], ("completed", "a", 1.3, {"effect": False})]
    assert last(only(tell.told(*found)).deliveries[0]).name == "found_completed"


@pytest.mark.parametrize(
    ("changes", "fate"),
    [
        ({}, Fate.COMPLETED),
        ({"status": None, "completed": None}, Fate.COMPLETED),  # then the consumers' word counts
        ({"status": {}}, Fate.UNSETTLED),
        ({"dlq": (Held("a", "s", 2),)}, Fate.DEAD),
    ],
)
def test_the_fate_is_what_the_world_saw(tell: Any, changes: dict[str, Any], fate: Fate) -> None:
    assert only(tell.good(**changes)).fate is fate


def test_two_effects_are_told_above_all(tell: Any) -> None:
    twice = tell.good(status={"a": tell.row(effects=2)}, dlq=(Held("a", "s", 2),))
    assert only(twice).fate is Fate.MANIFOLD
    assert only(twice).interest == 0


def test_a_dead_lettered_message_ends_with_that(tell: Any) -> None:
    history = tell.told(*tell.rejected("a"), *tell.rejected("a", 4.0, 2), dlq=(Held("a", "s", 2),))
    first, second = only(late(history)).deliveries
    assert "dead_lettered" not in names(first)
    assert names(second)[-2:] == ["expired", "dead_lettered"]


def test_a_move_out_of_the_dlq_is_marked_on_the_delivery_before_it(tell: Any) -> None:
    told = [*tell.rejected("a"), *tell.rejected("a", 4.0, 2), *tell.done("a", 9.0)]
    move = Event(8.0, "redrive", "sent", 1, {"id": "a", "sqs_id": "old", "new_sqs_id": "new"})
    history = tell.told(*told, scripts=(Journal("script-1-redrive", (move,)),))
    first, second, third = only(late(history)).deliveries
    assert names(second)[-1] == "moved_back"
    assert second.marks[-1].note == "as new, a new message"
    assert "moved_back" not in names(first) + names(third)


def test_the_interesting_come_first(tell: Any) -> None:
    ids = ["fine", "again", "crashed", "lost"]
    journals = (
        tell.journal(
            "consumer-1",
            *tell.done("fine"),
            ("received", "crashed", 1.0, {"receive_count": 1, "visible_at": 3.0, "sent": 0}),
            ("received", "again", 1.0, {"receive_count": 1, "visible_at": 3.0, "sent": 0}),
            ("failed", "again", 1.1, {}),
            ("crash", "crashed", 1.2, {"point": "after-receive", "code": 86}),
        ),
        tell.journal("consumer-2", *tell.done("again", 4.0), *tell.done("crashed", 4.0)),
    )
    rows = {key: tell.row() for key in ids[:3]}
    told = message_timelines(
        tell.good(producer=tell.producer(ids), consumers=journals, status=rows)
    )
    assert [timeline.id for timeline in told] == ["lost", "crashed", "again", "fine"]


def test_a_reason_as_long_as_a_body_is_cut(tell: Any) -> None:
    long = ("rejected", "a", 1.2, {"reason": "x" * 10_000})
    delivery = only(tell.told(*tell.done("a")[:2], long)).deliveries[0]
    assert len(last(delivery).note) == 300


def test_nothing_known_has_no_moments() -> None:
    assert moments(History()) == (0.0, 0.0)
    assert message_timelines(History()) == []
