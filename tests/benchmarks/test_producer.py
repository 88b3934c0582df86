"""The producer at full speed against a batch loop that waits for each answer."""

import json
import statistics
import time
import uuid

import boto3
import pytest

from consumer.integration.support import Journal

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LATENCY = {"service": "sqs", "latency": {"preset": "sqs"}}
MESSAGES = 3000
LEAST = 4
CONCURRENCY = 8
"""Twice the default: four calls at a time cannot be more than four times one."""


def one_after_the_other(endpoint: str, queue_url: str, count: int) -> float:
    """Messages per second of SendMessageBatch in a loop, as boto3 comes out of the box."""
    sqs = boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name="us-west-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    started = time.monotonic()
    for _ in range(count // 10):
        bodies = [json.dumps({"id": str(uuid.uuid4()), "work": 1}) for _ in range(10)]
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        assert len(answer["Successful"]) == 10
    return count / (time.monotonic() - started)


def test_four_times_a_sequential_loop(run_producer, queue_set, proxy, tmp_path) -> None:
    made, journal = queue_set(), Journal(tmp_path / "journal.jsonl")
    slow = proxy(rules=[LATENCY])
    one_after_the_other(slow.endpoint, made.queue_url, 10)  # microburst loads SQS's model
    ratios = []
    for _ in range(3):
        sequential = one_after_the_other(slow.endpoint, made.queue_url, MESSAGES // 5)
        before = made.depth()
        done = run_producer(
            ["--n", str(MESSAGES), "--concurrency", str(CONCURRENCY)],
            made.env | journal.env | {"AWS_ENDPOINT_URL": slow.endpoint},
        )
        assert done.code == 0, done.output
        assert made.depth() - before == MESSAGES
        ratios.append(journal.summary()["rate"] / sequential)
    assert statistics.median(ratios) >= LEAST, ratios
