"""Wherever a consumer dies, the next one finishes: nothing lost, one effect, right attempts."""

import re

import pytest

from reliability.crash_points import ATTEMPTS, CELLS, Cell, Death, Mode, run_all, run_cell
from sqs_worker.variables import CRASH_POINTS
from support.documents import section, text_of


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_every_cell_of_the_matrix(queue_set, tmp_path) -> None:
    results = run_all(queue_set, tmp_path)
    bad = [f"{result.cell}: {'; '.join(result.problems)}" for result in results if result.problems]
    assert not bad, "\n".join(bad)


@pytest.mark.integration
@pytest.mark.parametrize("death", Death)
@pytest.mark.parametrize("mode", [Mode.PLAIN, Mode.PLAIN_GROUPED])
def test_the_worst_boundary(queue_set, tmp_path, mode, death) -> None:
    """Between the two writes the tables contradict each other; the next delivery repairs that."""
    made = queue_set(visibility=1, max_receive_count=5)
    assert run_cell(Cell("between-writes", mode, 1, death), made, tmp_path).problems == ()


def test_the_documented_boundaries_are_those_of_the_matrix() -> None:
    """The test above proves the numbers that the page states."""
    part = section(text_of("docs/concepts.md"), "## Where a consumer can die")
    documented = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \|", part, re.MULTILINE)
    assert documented == [(point, str(ATTEMPTS.get(point, "1 or 2"))) for point in CRASH_POINTS]
    assert f"All {len(CELLS)} combinations hold" in part
