"""A short soak: producer, consumers, SIGKILL and faults at once, and every message is judged."""

import io
from pathlib import Path

import pytest

from harness.history import Event, History, Journal
from reliability.soaking.account import KILLED, UNSEEN, account
from reliability.soaking.plan import Plan, parse
from reliability.soaking.run import report, soak


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(240)
def test_1000_messages_under_fire(stack, tmp_path) -> None:
    """The tables throttle as well: a message takes about five units, so they take 20 a second."""
    plan = Plan(
        1000, consumers=4, kill_every=1.0, faults=0.05, rate=60, folder=tmp_path, write_units=100
    )
    outcome = soak(plan, io.StringIO())
    assert outcome.passed, report(outcome)
    assert outcome.seconds <= 120
    assert outcome.kills >= 5  # on a busy machine a consumer takes seconds to start
    assert len(outcome.history.ids) >= plan.messages
    assert outcome.account.why[KILLED] > 0


def test_every_receive_is_accounted_for() -> None:
    """Three receives: one that nobody told of, one of a killed consumer, one that was deleted."""

    def event(name: str, who: str, delivery: str, count: int = 0) -> Event:
        data = {"id": "a", "sqs_id": "s", "delivery": delivery, "receive_count": count}
        return Event(1.0, who, name, 1, data)

    first = Journal("1", (event("received", "c-1", "d2", 2), event("claimed", "c-1", "d2")))
    second = Journal("2", (event("received", "c-2", "d3", 3), event("deleted", "c-2", "d3")))
    told = account(History(consumers=(first, second)), killed={"c-1"})
    assert dict(told.why) == {KILLED: 1, UNSEEN: 1, "finished: deleted": 1}
    assert (told.receives, told.redeliveries, dict(told.spent)) == (3, 2, {3: 1})


@pytest.mark.parametrize(
    "asked",
    ["--messages 0", "--faults 0.51", "--rate nan", "--kill-every -0.5", "--write-units -1.5"],
)
def test_what_a_soak_cannot_be_is_refused_by_name(
    asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(asked.split(), tmp_path)
    assert exit_.value.code == 2
    assert f"error: {asked}: " in capsys.readouterr().err
