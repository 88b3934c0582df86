"""The words of a case, and what the command line may change in it."""

from __future__ import annotations

import pytest

from harness.scenario import (
    CRASHED,
    AwaitWork,
    Consume,
    Each,
    Given,
    KeepUp,
    Options,
    Scenario,
    tuned,
)

PLAIN = Scenario("plain", "p", "happy", Given(5), [Consume(MAX_MESSAGES=10)], [])
POISON = Scenario("poison", "p", "poison", Given(5, poison_every=2), [Consume()], [])
TOLD = Scenario("told", "p", "dup", Given(1, fields=[{"order_id": "A17"}]), [Consume()], [])
FLOOD = Scenario("flood", "p", "backpressure", Given(0), [KeepUp(8, 0.5, 4, 8)], [])


def test_consume_reads_as_it_is_written() -> None:
    step = Consume(CRASH_AFTER_RECEIVE=1, exits=CRASHED)
    assert (step.consumers, step.exits, step.restarts) == (1, CRASHED, False)
    assert step.settings == (("CRASH_AFTER_RECEIVE", 1),)
    assert not step.leaves_by_itself()
    assert Consume(MESSAGE_LIMIT=1).leaves_by_itself()


def test_each_makes_one_consumer_for_each_value() -> None:
    step = Consume(CRASH_AT=Each("in-work", "after-work"), MAX_MESSAGES=2)
    assert step.of_each() == [
        {"CRASH_AT": "in-work", "MAX_MESSAGES": 2},
        {"CRASH_AT": "after-work", "MAX_MESSAGES": 2},
    ]
    assert Consume(3, MAX_MESSAGES=2).of_each() == [{"MAX_MESSAGES": 2}] * 3


def test_two_settings_cannot_both_differ() -> None:
    with pytest.raises(ValueError, match="Each in CRASH_AT and MAX_MESSAGES: one setting"):
        Consume(CRASH_AT=Each("in-work", "after-work"), MAX_MESSAGES=Each(1, 2))


def test_a_crowd_that_waits_for_one_message_each_needs_so_many() -> None:
    early = {"before_sending": True, "exits": CRASHED}
    crowd = Scenario("c", "p", "dup", Given(3), [Consume(3, **early)], [])  # type: ignore[arg-type]
    assert tuned(crowd, Options(count=3)).given.messages == 3
    with pytest.raises(ValueError, match="scenario c needs at least 3 messages"):
        tuned(crowd, Options(count=2))


def test_so_many_in_work_need_so_many_messages() -> None:
    busy = Scenario("b", "p", "dup", Given(3), [Consume(stays=True), AwaitWork(3), Consume()], [])
    assert tuned(busy, Options(count=3)).given.messages == 3
    with pytest.raises(ValueError, match="scenario b needs at least 3 messages"):
        tuned(busy, Options(count=2))


def test_an_interruption_is_no_setting() -> None:
    step = Consume(interrupts={"killed": "SIGKILL"}, MAX_MESSAGES=2)
    assert step.interrupts == {"killed": "SIGKILL"}
    assert step.settings == (("MAX_MESSAGES", 2),)
    assert Consume().interrupts == {}


def test_without_options_nothing_changes() -> None:
    assert tuned(PLAIN, Options()) == PLAIN


def test_options_go_where_they_belong() -> None:
    assert tuned(PLAIN, Options(count=9, batch_size=3, rate=2.0)).given == Given(9, 3, 2.0)
    assert tuned(POISON, Options(poison_every=4)).given.poison_every == 4
    flood = tuned(FLOOD, Options(rate=20.0, max_consumers=3, work_seconds=0.1))
    assert flood.when == [KeepUp(20.0, 0.1, 4, 3)]


@pytest.mark.parametrize(
    ("scenario", "options", "named"),
    [
        (PLAIN, Options(poison_every=2), "poison-every"),
        (TOLD, Options(count=9), "count"),
        (PLAIN, Options(max_consumers=2), "max-consumers"),
        (PLAIN, Options(work_seconds=2.0, target_latency=1.0), "target-latency, work-seconds"),
        (FLOOD, Options(count=5), "count"),
    ],
)
def test_an_option_without_use_is_refused(scenario: Scenario, options: Options, named: str) -> None:
    with pytest.raises(ValueError, match=f"scenario {scenario.name} has no use for: {named}"):
        tuned(scenario, options)
