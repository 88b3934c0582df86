"""The cache forgets the id that was met longest ago, and forgetting is all it may do."""

from concurrent.futures import ThreadPoolExecutor

from sqs_worker.pipeline import FinishedIds

BODY = "digest"


def known(cache: FinishedIds, names: str) -> list[bool]:
    return [cache.has(name, BODY) for name in names]


def test_it_remembers_what_it_was_told() -> None:
    cache = FinishedIds(2)
    cache.add("a", BODY)
    assert known(cache, "ab") == [True, False]


def test_it_answers_only_for_the_body_that_was_finished() -> None:
    cache = FinishedIds(2)
    cache.add("a", BODY)
    assert not cache.has("a", "another")
    assert cache.has("a", BODY)
    cache.add("a", "another")
    assert cache.has("a", "another")
    assert not cache.has("a", BODY)


def test_another_body_does_not_keep_an_id() -> None:
    cache = FinishedIds(2)
    cache.add("a", BODY)
    cache.add("b", BODY)
    assert not cache.has("a", "another")
    cache.add("c", BODY)
    assert known(cache, "abc") == [False, True, True]


def test_the_oldest_makes_room() -> None:
    cache = FinishedIds(2)
    for name in "abc":
        cache.add(name, BODY)
    assert known(cache, "abc") == [False, True, True]


def test_meeting_an_id_again_keeps_it() -> None:
    cache = FinishedIds(2)
    cache.add("a", BODY)
    cache.add("b", BODY)
    assert cache.has("a", BODY)
    cache.add("c", BODY)
    assert known(cache, "abc") == [True, False, True]


def test_adding_an_id_again_keeps_it_and_takes_no_more_room() -> None:
    cache = FinishedIds(2)
    for name in "abac":
        cache.add(name, BODY)
    assert known(cache, "abc") == [True, False, True]


def test_size_0_remembers_nothing() -> None:
    cache = FinishedIds(0)
    cache.add("a", BODY)
    assert not cache.has("a", BODY)


def test_lanes_may_use_it_at_once() -> None:
    cache = FinishedIds(50)

    def use(lane: int) -> bool:
        for number in range(500):
            cache.add(f"{lane}-{number}", BODY)
            cache.has(f"{lane}-{number - 1}", BODY)
        return cache.has(f"{lane}-missing", BODY)

    with ThreadPoolExecutor(4) as lanes:
        assert not any(lanes.map(use, range(4)))
    assert sum(cache.has(f"{lane}-{n}", BODY) for lane in range(4) for n in range(500)) == 50
