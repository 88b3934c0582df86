"""The cache forgets the id that was met longest ago, and forgetting is all it may do."""

from concurrent.futures import ThreadPoolExecutor

from worker.cache import FinishedIds


def test_it_remembers_what_it_was_told() -> None:
    cache = FinishedIds(2)
    cache.add("a")
    assert "a" in cache
    assert "b" not in cache


def test_the_oldest_makes_room() -> None:
    cache = FinishedIds(2)
    for name in "abc":
        cache.add(name)
    assert [name in cache for name in "abc"] == [False, True, True]


def test_meeting_an_id_again_keeps_it() -> None:
    cache = FinishedIds(2)
    cache.add("a")
    cache.add("b")
    assert "a" in cache
    cache.add("c")
    assert [name in cache for name in "abc"] == [True, False, True]


def test_adding_an_id_again_keeps_it_and_takes_no_more_room() -> None:
    cache = FinishedIds(2)
    for name in "abac":
        cache.add(name)
    assert [name in cache for name in "abc"] == [True, False, True]


def test_size_0_remembers_nothing() -> None:
    cache = FinishedIds(0)
    cache.add("a")
    assert "a" not in cache


def test_lanes_may_use_it_at_once() -> None:
    cache = FinishedIds(50)

    def use(lane: int) -> bool:
        for number in range(500):
            cache.add(f"{lane}-{number}")
            _ = f"{lane}-{number - 1}" in cache
        return f"{lane}-missing" in cache

    with ThreadPoolExecutor(4) as lanes:
        assert not any(lanes.map(use, range(4)))
    assert sum(f"{lane}-{n}" in cache for lane in range(4) for n in range(500)) == 50
