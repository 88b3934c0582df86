"""Wherever a consumer dies, the next one finishes: nothing lost, one effect, right attempts."""

import re

import pytest

from reliability import crash_points
from reliability.crash_points import CELLS, Cell, Death, Mode, run_all, run_cell, table
from worker.variables import CRASH_POINTS


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(400)
def test_every_cell_of_the_matrix(queue_set, tmp_path) -> None:
    """The README's table is made from this run."""
    results = run_all(queue_set, tmp_path)
    bad = [f"{result.cell}: {'; '.join(result.problems)}" for result in results if result.problems]
    assert not bad, "\n".join(bad)
    assert table(results) == crash_points.written_table()


@pytest.mark.integration
@pytest.mark.parametrize("death", Death)
@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.PLAIN_GROUPED])
def test_the_worst_boundary(queue_set, tmp_path, mode, death) -> None:
    """Between the two writes the tables contradict each other; the next delivery repairs that."""
    made = queue_set(visibility=1, max_receive_count=5)
    assert run_cell(Cell("between-writes", mode, 1, death), made, tmp_path).problems == ()


def test_the_readme_has_each_boundary_and_counts_each_cell() -> None:
    """Cheap enough for every run of the tests; the slow one above makes the numbers."""
    written = crash_points.written_table()
    assert re.findall(r"^\| `([\w-]+)`", written, re.MULTILINE) == list(CRASH_POINTS)
    held = [tuple(map(int, pair)) for pair in re.findall(r"(\d+) of (\d+)", written)]
    assert sum(good for good, _ in held) == sum(all_ for _, all_ in held) == len(CELLS)
