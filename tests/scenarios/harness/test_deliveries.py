"""What is in hand, what is in work, and what a death leaves open."""

from __future__ import annotations

import pytest

from doctor import runs
from harness.deliveries import CLOSING, in_hand, in_work, with_deaths
from harness.history import Event, Journal, Signalled


def told(*names: str, key: str = "a", delivery: str = "1") -> list[Event]:
    about = {"id": key, "sqs_id": f"m-{key}", "delivery": delivery}
    return [Event(float(n), "consumer-7", name, n, about) for n, name in enumerate(names, start=1)]


@pytest.mark.parametrize("end", sorted(CLOSING))
def test_in_hand_is_what_was_received_and_not_closed(end: str) -> None:
    assert in_hand(told("received", "claimed", "completed"))[0].id == "a"
    assert in_hand(told("received", "claimed", end)) == []


def test_the_same_message_can_be_in_hand_again() -> None:
    again = told("received", delivery="2")
    assert [event.delivery for event in in_hand([*told("received", "released"), *again])] == ["2"]


@pytest.mark.parametrize("end", ["worked", "rejected", "work_failed", "crash", "killed"])
def test_in_work_is_what_was_begun_and_not_ended(end: str) -> None:
    assert in_work(told("received")) == []
    assert len(in_work(told("received", "work_started"))) == 1
    assert in_work(told("received", "work_started", end)) == []


def test_a_kill_strikes_all_that_its_process_held_and_nobody_else() -> None:
    held, done = (
        told("received", "work_started"),
        told("received", "deleted", key="b", delivery="2"),
    )
    journal = Journal("consumer-1", (*held, *done))
    kill = Signalled(9.0, "consumer-1", "SIGKILL")
    (death,) = with_deaths(journal, [kill]).events[4:]
    assert (death.t, death.name, death.who, death.id) == (9.0, "killed", "consumer-7", "a")
    assert death.delivery == "1"
    for other in (Signalled(9.0, "consumer-1", "SIGTERM"), Signalled(9.0, "consumer-2", "SIGKILL")):
        assert with_deaths(journal, [other]) == journal
    assert with_deaths(Journal("consumer-1", ()), [kill]).events == ()


def test_a_death_is_not_before_the_last_sign_of_life() -> None:
    journal = Journal("consumer-1", tuple(told("received", "work_started")))
    assert with_deaths(journal, [Signalled(1.5, "consumer-1", "SIGKILL")]).events[-1].t == 2.0


def test_the_doctor_knows_each_end_of_a_delivery() -> None:
    """It reads journals for another purpose, but the events that close a delivery are the same."""
    told_apart = {"released", "failed"}  # by their reason, and by the rejection before it
    assert set(runs._ENDS) >= CLOSING - told_apart
