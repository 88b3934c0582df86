"""Tables that throttle single items: messages wait, and none is dead-lettered for that."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reliability.runs import verdict, watch
from support.children import Nursery
from support.endpoint import Endpoint, Throttle
from support.queues import QueueSet

pytestmark = [pytest.mark.slow, pytest.mark.integration]

MESSAGES, WRITE_UNITS = 600, 200
MODES = {
    "transactional": {"USE_TRANSACTIONAL_WRITES": "1"},
    "plain": {"USE_TRANSACTIONAL_WRITES": "0"},
    "statements": {"USE_TRANSACTIONAL_WRITES": "0", "USE_PARTIQL_STATEMENTS": "1"},
}
SETTINGS = {
    "MAX_MESSAGES": "10",
    "COMMIT_BATCH": "10",
    "CONCURRENCY": "16",
    "WAIT_TIME_SECONDS": "1",
    "SLEEP_MIN_SECONDS": "0.01",
    "SLEEP_MAX_SECONDS": "0.03",
}


def _run(mode: str, made: QueueSet, front: Endpoint, folder: Path) -> list[str]:
    """What is wrong with a run behind this endpoint."""
    nursery = Nursery(folder)
    env = {**made.env, **SETTINGS, **MODES[mode], "AWS_ENDPOINT_URL_DYNAMODB": front.endpoint}
    try:
        ids = made.send_many(MESSAGES)
        one = watch(nursery, folder, env)
        problems = verdict(made, ids, [one], 240)
        dead = len(made.dlq_messages())
        problems += [f"{dead} messages in the DLQ"] if dead else []
    except AssertionError as error:
        return [str(error)]
    finally:
        nursery.reap()
        front.close()
    return problems


@pytest.mark.timeout(400)
def test_600_messages_at_200_write_units_a_second(stack, queue_set, tmp_path) -> None:
    """With a maxReceiveCount of 2 and 16 lanes of 10, in each way of writing."""
    throttles = {mode: Throttle(WRITE_UNITS) for mode in MODES}

    def run(mode: str) -> list[str]:
        folder = tmp_path / mode
        folder.mkdir()
        made = queue_set(visibility=10, max_receive_count=2)
        front = Endpoint(stack.endpoint, throttles[mode])
        return [f"{mode}: {problem}" for problem in _run(mode, made, front, folder)]

    with ThreadPoolExecutor(len(MODES)) as pool:
        problems = [problem for found in pool.map(run, MODES) for problem in found]
    assert not problems, "\n".join(problems)
    # Statements take the fewest units: on a busy machine they may stay below what is throttled.
    assert sum(throttle.throttled.total() for throttle in throttles.values()) > 100
