"""A redrive killed with SIGKILL at twenty random moments and run again: what is lost, what doubled.

The stack answers as slowly as AWS, so that the moments fall into every part of a batch.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from redrive.runlog import recalled
from support.children import ROOT, Finished, Nursery, Process
from support.proxy import Proxy, Rule
from support.queues import COUNTS, QueueSet, QueueSets
from support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(300)]
DOOR = (ROOT / "scripts", "redrive.py")
MESSAGES, KILLS, BATCH = 400, 20, 10
AS_ON_AWS: Rule = {"service": "sqs", "latency": {"min": 10, "max": 40}}


def dead_letters(queues: QueueSet, count: int) -> list[str]:
    """Put so many messages into the DLQ; returns their ids."""
    ids = [f"id-{number}" for number in range(count)]
    for start in range(0, count, BATCH):
        entries = [
            {"Id": str(place), "MessageBody": json.dumps({"id": key})}
            for place, key in enumerate(ids[start : start + BATCH])
        ]
        queues.sqs.send_message_batch(QueueUrl=queues.dlq_url, Entries=entries)  # type: ignore[arg-type]
    return ids


def depth(queues: QueueSet, url: str) -> int:
    answer = queues.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=COUNTS)
    return sum(int(answer["Attributes"][name]) for name in COUNTS)


def lines_of(journal: Path, event: str) -> int:
    return journal.read_text().count(f'"event": "{event}"') if journal.exists() else 0


def kill_somewhere(process: Process, journal: Path, begun: int, chance: random.Random) -> str:
    """Kill it at a random moment of its moving; returns the event that it noted last."""
    wait_for(lambda: lines_of(journal, "start") > begun or not process.running(), seconds=20)
    time.sleep(chance.uniform(0.0, 0.25))
    process.kill()
    events = [line for line in journal.read_text().splitlines() if '"event"' in line]
    return str(json.loads(events[-1])["event"]) if events else ""


def test_nothing_is_lost_and_no_effect_doubled(
    queue_set: QueueSets,
    proxy: Callable[[Sequence[Rule]], Proxy],
    nursery: Nursery,
    run_consumer: Callable[..., Finished],
    tmp_path: Path,
) -> None:
    queues, journal = queue_set(), tmp_path / "run.jsonl"
    wanted = dead_letters(queues, MESSAGES)
    slow = {"AWS_ENDPOINT_URL": proxy([AS_ON_AWS]).endpoint}
    env = {**queues.env, **slow, "ENV_FILE": "", "JOURNAL_PATH": str(journal)}
    arguments = ["move", "--visibility-timeout", "2", "--status-table", ""]
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    last = [
        kill_somewhere(nursery.start(DOOR, arguments, env), journal, turn, chance)
        for turn in range(KILLS)
    ]
    killed_at_work = depth(queues, queues.dlq_url)
    ended = nursery.start(DOOR, arguments, env).wait(60)
    sent = depth(queues, queues.queue_url)
    told = f"seed {seed}, died after {last}, {killed_at_work} left, {sent - MESSAGES} sent twice"
    logging.getLogger(__name__).info(told)  # pytest --log-cli-level=info shows it
    assert ended.code == 0, f"{told}\n{ended.output}"
    assert killed_at_work, f"the last kill came when all was done: {told}"
    assert depth(queues, queues.dlq_url) == 0, told
    # Each send that no note followed is at most one batch; nothing else is sent twice.
    unnoted = last.count("sending")
    assert 0 <= sent - MESSAGES <= BATCH * unnoted, told
    assert len(recalled(journal).sent) == MESSAGES, told
    fast = {"MAX_MESSAGES": "10", "CONCURRENCY": "4", "IDLE_TIMEOUT_SECONDS": "2"}
    quick = {"SLEEP_MIN_SECONDS": "0", "SLEEP_MAX_SECONDS": "0", "WAIT_TIME_SECONDS": "1"}
    done = run_consumer({**queues.env, **fast, **quick, "VISIBILITY_TIMEOUT_SECONDS": "30"}, 60)
    assert done.code == 0, done.output
    rows = queues.status_rows()
    assert {key: row["effects"] for key, row in rows.items()} == dict.fromkeys(wanted, 1), told
    assert not queues.dlq_messages()
