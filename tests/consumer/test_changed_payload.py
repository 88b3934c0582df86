"""Two different messages under one id, on a real queue: one is completed, the other is not lost."""

import json
from pathlib import Path

import pytest

from consumer.integration.support import QUICK, Journal
from sqs_worker.message import digest_of

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("cache", ["0", pytest.param("1000", marks=pytest.mark.slow)])
@pytest.mark.parametrize("transactional", ["0", "1"])
def test_the_second_body_ends_in_the_dlq(
    run_consumer, queue_set, tmp_path: Path, cache: str, transactional: str
) -> None:
    made, journal = queue_set(visibility=1, max_receive_count=2), Journal(tmp_path / "journal")
    settings = {
        **QUICK,
        **journal.env,
        "IDLE_TIMEOUT_SECONDS": "3",
        "IDEMPOTENCY_CACHE_SIZE": cache,
        "USE_TRANSACTIONAL_WRITES": transactional,
    }
    bodies = [json.dumps({"id": "a", "work": work}) for work in (1, 2)]
    made.send(*bodies)
    ended = run_consumer({**made.env, **settings})
    assert ended.code == 0, ended.output
    (dead,) = made.dlq_messages()
    bodies.remove(dead["Body"])  # whichever came first was completed
    row = made.status_rows()["a"]
    assert row["digest"] == made.completed_rows()["a"]["digest"] == digest_of(bodies[0])
    assert (row["effects"], row["attempts"], made.depth()) == (1, 1, 0)
    assert journal.summary()["payload_changed"] == journal.count("payload_changed") == 2
    assert "another body" in ended.output
