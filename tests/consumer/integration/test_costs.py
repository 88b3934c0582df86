"""What the path of a message costs in API calls, counted by a proxy outside the process."""

import pytest

from consumer.integration.support import QUICK
from support.proxy import COUNT_EVERYTHING

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("transactional", "batch", "count", "most"),
    [("1", "10", 1000, 1.4), ("1", "1", 100, 4.1), ("0", "10", 100, 2.4), ("0", "1", 100, 5.1)],
)
@pytest.mark.smoke
def test_calls_per_message(
    run_consumer, queue_set, proxy, journal, transactional, batch, count, most
) -> None:
    made = queue_set(visibility=30)
    made.send_many(count)
    counter = proxy(rules=[COUNT_EVERYTHING])
    ended = run_consumer(
        {
            **made.env,
            **QUICK,
            **journal.env,
            "AWS_ENDPOINT_URL": counter.endpoint,
            "MAX_MESSAGES": batch,
            "USE_TRANSACTIONAL_WRITES": transactional,
        },
        100,
    )
    assert ended.code == 0, ended.output

    rows = made.status_rows()
    calls = counter.operations()
    summary = journal.summary()
    assert summary["completed"] == count == len(rows) == len(made.completed_rows())
    assert {(row["effects"], row["attempts"]) for row in rows.values()} == {(1, 1)}
    assert made.depth() == 0
    assert summary["calls"] == dict(calls)
    assert sum(calls.values()) / count <= most
