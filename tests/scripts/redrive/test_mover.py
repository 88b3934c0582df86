"""Every line on which a redrive may die, and every answer that AWS may give or not give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.dead_letters import DeadLetter, Record
from redrive.exits import RefusedError
from redrive.mover import LATE, TRIES
from redrive.queues import Answer
from redrive.rules import Fate, Outgoing, Why
from redrive.runlog import RunLog
from support.dead_letters import VISIBILITY, Died, World, letter, mover_in, play, rules

IDS = [f"id-{number}" for number in range(23)]


def full() -> World:
    world = World()
    world.put(*({"id": key} for key in IDS))
    return world


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def steps_of_a_run(folder: Path) -> list[str]:
    world = full()
    play(world, folder / "none.jsonl", rules())
    return world.steps


def test_all_are_moved_once_and_gone_from_the_dlq(log: Path) -> None:
    world = full()
    mover = play(world, log, rules())
    assert world.sent_ids() == dict.fromkeys(IDS, 1)
    assert not world.dlq
    assert mover.tally.fates[Fate.MOVE] == len(IDS)
    assert mover.tally.whole
    assert world.calls == {"send": 3, "delete": 3}


def test_death_at_any_step_loses_nothing_and_doubles_only_what_no_note_can_save(
    tmp_path: Path,
) -> None:
    """Between the call and its note nobody can know; everywhere else the journal does."""
    steps = steps_of_a_run(tmp_path)
    assert {"after send", "before sent", "after sent", "before delete"} <= set(steps)
    for place, name in enumerate(steps):
        world, path = full(), tmp_path / f"{place}.jsonl"
        world.die_at = place
        with pytest.raises(Died, match=name):
            play(world, path, rules())
        world.reborn()
        mover = play(world, path, rules())
        assert set(world.sent_ids()) == set(IDS), name
        assert not world.dlq, name
        doubled = [key for key, times in world.sent_ids().items() if times > 1]
        assert bool(doubled) == (name in ("after send", "before sent")), name
        assert len(doubled) <= 10
        assert max(world.sent_ids().values()) <= 2
        # Each that is doubled was told of; one that died before the call is a false alarm.
        assert len(doubled) <= len(mover.tally.twice), name
        assert bool(mover.tally.twice) == (
            name in ("after sending", "before send", "after send", "before sent")
        ), name


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_number_of_deaths_in_a_row(
    tmp_path_factory: pytest.TempPathFactory, places: list[int]
) -> None:
    world, path = full(), tmp_path_factory.mktemp("log") / "run.jsonl"
    between = 0
    for place in places:
        world.reborn(die_at=place)
        try:
            play(world, path, rules())
        except Died as died:
            between += str(died) in ("after send", "before sent")
    world.reborn()
    play(world, path, rules())
    assert set(world.sent_ids()) == set(IDS)
    assert not world.dlq
    assert world.sent_ids().total() - len(IDS) <= 10 * between


def test_a_death_with_the_next_run_too_early_leaves_nothing_behind(log: Path) -> None:
    """What the dead one held is hidden still: the next one waits until that has run out."""
    world = full()
    world.die_at = world.steps.index("after receive") if world.steps else 1
    with pytest.raises(Died, match="after receive"):
        play(world, log, rules())
    world.reborn(after=0.5)
    mover = play(world, log, rules())
    assert world.sent_ids() == dict.fromkeys(IDS, 1)
    assert mover.tally.in_other_hands == 0


def test_what_others_hold_longer_is_told_of(log: Path) -> None:
    world = full()
    world.dlq["m-3"].visible_at = world.now + 10 * VISIBILITY
    mover = play(world, log, rules())
    assert mover.tally.in_other_hands == 1
    assert not mover.tally.whole
    assert "id-3" not in world.sent_ids()


def only(code: str, *ids: str, again: bool, unknown: bool = False) -> Any:
    """Answers where these messages fail so in the first call, and nothing after that."""

    def answer(call: int, messages: Sequence[Outgoing]) -> dict[str, Answer] | None:
        if call > 1:
            return None
        return {
            one.letter.sqs_id: Answer(code, again, unknown)
            if one.letter.sqs_id in ids
            else Answer(new_id=f"new-{one.letter.sqs_id}")
            for one in messages
        }

    return answer


def test_what_fails_in_part_is_sent_again_alone(log: Path) -> None:
    world = World(answer_send=only("InternalError", "m-1", again=True))
    world.put({"id": "a"}, {"id": "b"}, {"id": "c"})
    mover = play(world, log, rules())
    assert world.sent_ids() == {"a": 1, "b": 1, "c": 1}
    assert world.calls["send"] == 2
    assert mover.tally.whole


def test_what_is_refused_is_named_and_given_back(log: Path) -> None:
    world = World(answer_send=only("InvalidMessageContents: no", "m-1", again=False))
    world.put({"id": "a"}, {"id": "b"})
    mover = play(world, log, rules())
    assert mover.tally.failed == {"b": "InvalidMessageContents: no"}
    assert not mover.tally.whole
    assert list(world.dlq) == ["m-1"]
    assert world.dlq["m-1"].visible_at <= world.now
    assert world.calls["send"] == 1


def test_what_fails_each_time_is_left_after_some_tries(log: Path) -> None:
    def never(_: int, messages: Sequence[Outgoing]) -> dict[str, Answer]:
        return {one.letter.sqs_id: Answer("Throttled", again=True) for one in messages}

    world = World(answer_send=never)
    world.put({"id": "a"})
    mover = play(world, log, rules())
    assert world.calls["send"] == TRIES
    assert mover.tally.failed == {"a": "Throttled"}
    assert not world.queue
    # It is certain that it was not sent, so a later run sends it without a doubt.
    world.answer_send = lambda *_: None
    world.reborn()
    assert not play(world, log, rules()).tally.twice


def test_a_lost_answer_is_sent_again_and_said_to_be_doubtful(log: Path) -> None:
    world = World(answer_send=only("ReadTimeout", "m-0", again=True, unknown=True))
    world.put({"id": "a"})
    mover = play(world, log, rules())
    assert world.sent_ids() == {"a": 2}
    assert mover.tally.twice == {"m-0"}
    assert mover.tally.whole


def test_a_lost_answer_about_a_message_without_an_id_is_not_sent_again(log: Path) -> None:
    world = World(answer_send=only("ReadTimeout", "m-0", again=True, unknown=True))
    world.put("no id")
    mover = play(world, log, rules(allow_new_ids=True))
    assert len(world.queue) == 1
    assert mover.tally.failed == {"m-0": "ReadTimeout"}
    # Nor by the next run, which remembers.
    world.reborn()
    again = play(world, log, rules(allow_new_ids=True, run="r-2"))
    assert len(world.queue) == 1
    assert list(again.tally.kept) == [Why.DOUBTFUL]
    assert not again.tally.whole


def test_a_death_before_the_answer_leaves_a_message_without_an_id_in_doubt(log: Path) -> None:
    world = World()
    world.put("no id")
    world.die_at = steps_of_a_run(log.parent).index("after send")
    with pytest.raises(Died):
        play(world, log, rules(allow_new_ids=True))
    world.reborn()
    assert list(play(world, log, rules(allow_new_ids=True)).tally.kept) == [Why.DOUBTFUL]
    assert len(world.queue) == 1
    assert list(world.dlq) == ["m-0"]


def test_a_refusal_of_the_call_ends_the_run_and_leaves_no_doubt(log: Path) -> None:
    def refuse(*_: Any) -> None:
        raise RefusedError("AccessDenied: no")

    world = World(answer_send=refuse)
    world.put({"id": "a"}, "no id")
    with pytest.raises(RefusedError):
        play(world, log, rules(allow_new_ids=True))
    assert set(world.dlq) == {"m-0", "m-1"}
    with RunLog(log) as found:
        assert not found.memory.doubtful
        assert not found.memory.sent


def test_a_delete_that_fails_for_the_moment_is_tried_again(log: Path) -> None:
    def once(call: int, letters: Sequence[DeadLetter]) -> dict[str, Answer] | None:
        return {one.sqs_id: Answer("Busy", again=True) for one in letters} if call == 1 else None

    world = World(answer_delete=once)
    world.put({"id": "a"})
    mover = play(world, log, rules())
    assert not world.dlq
    assert world.calls["delete"] == 2
    assert mover.tally.whole


def test_a_delete_that_fails_for_good_is_done_by_the_next_receive(log: Path) -> None:
    """A stale handle: the message comes back, is known to be sent, and is only deleted."""

    def stale(call: int, letters: Sequence[DeadLetter]) -> dict[str, Answer] | None:
        return (
            {one.sqs_id: Answer("ReceiptHandleIsInvalid") for one in letters} if call < 2 else None
        )

    world = World(answer_delete=stale)
    world.put({"id": "a"})
    mover = play(world, log, rules())
    assert world.sent_ids() == {"a": 1}
    assert not world.dlq
    assert mover.tally.fates == {Fate.MOVE: 1, Fate.FINISH: 1}
    assert mover.tally.whole


def test_a_delete_that_never_works_is_named_and_ends(log: Path) -> None:
    def stale(_: int, letters: Sequence[DeadLetter]) -> dict[str, Answer]:
        return {one.sqs_id: Answer("Oops") for one in letters}

    world = World(answer_delete=stale)
    world.put({"id": "a"})
    mover = play(world, log, rules())
    mover.tally.all_seen()
    assert mover.tally.undeleted == {"a": "Oops"}
    assert not mover.tally.whole
    assert world.sent_ids() == {"a": 1}
    assert world.calls["delete"] == 2


def test_a_delete_that_was_done_though_the_answer_says_no_is_no_failure(log: Path) -> None:
    """Its first answer was lost, and the second try found nothing."""
    world = World()
    world.put({"id": "a"})

    def done_before(_: int, letters: Sequence[DeadLetter]) -> dict[str, Answer]:
        world.dlq.clear()
        return {one.sqs_id: Answer("ReceiptHandleIsInvalid") for one in letters}

    world.answer_delete = done_before
    mover = play(world, log, rules())
    assert not mover.tally.whole
    mover.tally.all_seen()
    assert mover.tally.whole


def test_what_is_no_longer_hidden_is_not_sent(log: Path) -> None:
    """Somebody else may have it by now and send it, too."""
    world = World()
    with RunLog(log) as found:
        mover = mover_in(world, found, rules())
        mover.take([letter(deadline=0.0)], {})
    assert mover.tally.failed == {"a": LATE}
    assert not world.queue


def test_a_full_disk_stops_the_run_and_still_deletes_what_was_sent(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = full()

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunLog, "sent", full_disk)
    with pytest.raises(OSError, match="No space"):
        play(world, log, rules())
    assert len(world.queue) == 10
    assert len(world.dlq) == 13
    assert not set(world.sent_ids()) & {one.body for one in world.dlq.values()}


def test_a_disk_that_is_full_before_the_call_sends_nothing(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    world = full()
    monkeypatch.setattr(RunLog, "sending", full_disk)
    with pytest.raises(OSError, match="No space"):
        play(world, log, rules())
    assert not world.queue
    assert len(world.dlq) == len(IDS)


def test_what_is_completed_is_sent_or_dropped_as_asked(log: Path) -> None:
    for drop, sent in ((False, 1), (True, 0)):
        world = World()
        world.put({"id": "a"})
        (found,) = world.receive(1)
        done = {"a": Record("COMPLETED", digest=found.identity.digest)}
        with RunLog(log.with_name(f"{drop}.jsonl")) as journal:
            mover = mover_in(world, journal, rules(drop_completed=drop))
            mover.take([found], done)
        assert len(world.queue) == sent
        assert not world.dlq
        assert mover.tally.completed == 1
        assert mover.tally.fates[Fate.DROP] == 1 - sent


def test_poison_that_comes_back_is_not_moved_twice_by_one_run(log: Path) -> None:
    """A consumer that refuses as fast as the redrive moves: without this no run would end."""
    world = World()
    world.put({"id": "a"})

    def back(_: int, messages: Sequence[Outgoing]) -> None:
        for one in messages:
            world.put(one.letter.body, **one.attributes)

    world.answer_send = back
    mover = play(world, log, rules())
    assert mover.tally.fates[Fate.MOVE] == 1
    assert list(mover.tally.kept) == [Why.CAME_BACK]
    for turn, why in enumerate((None, Why.CAP), start=2):
        world.reborn()
        mover = play(world, log, rules(run=f"r-{turn}", max_replays=2))
        assert next(iter(mover.tally.kept)) == (why or Why.CAME_BACK)
    assert len(world.queue) == 2
