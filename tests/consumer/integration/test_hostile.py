"""A ledger that mostly fails, kill -9 at any moment, and input that is not as it should be."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest

from consumer.integration.support import QUICK, Journal
from support.children import CONSUMER
from support.environment import base_environment
from support.waiting import wait_for

pytestmark = pytest.mark.integration


def effects(made) -> dict[str, int]:
    return {name: row.get("effects", 0) for name, row in made.status_rows().items()}


def test_a_ledger_that_fails_nine_times_in_ten_loses_nothing(
    start_consumer, queue_set, proxy, tmp_path
) -> None:
    failing = {"service": "dynamodb", "probability": 0.9, "error": {"code": "InternalServerError"}}
    between = proxy(rules=[])
    runs = []
    for mode in ("0", "1"):
        made, journal = queue_set(visibility=4), Journal(tmp_path / mode)
        ids = set(made.send_many(40))
        settings = {
            "AWS_ENDPOINT_URL": between.endpoint,
            "USE_TRANSACTIONAL_WRITES": mode,
            "MAX_MESSAGES": "10",
            "IDLE_TIMEOUT_SECONDS": "6",
        }
        child = start_consumer({**made.env, **QUICK, **journal.env, **settings})
        wait_for(lambda journal=journal: journal.count("start"), what="the start")
        runs.append((made, journal, ids, child))
    between.rules([failing])

    def lost() -> set[str]:
        """Deleted without a completion record."""
        return {
            event["id"]
            for made, journal, _, _ in runs
            for event in journal.events("deleted")
            if event["id"] not in made.completed_rows()
        }

    until = time.monotonic() + 30
    wait_for(lambda: lost() or time.monotonic() > until, 40)
    assert not lost()
    between.rules([])
    for made, _, ids, child in runs:
        ended = child.wait(60)
        assert ended.code == 0, ended.output
        assert effects(made) == dict.fromkeys(ids, 1)
        assert made.completed_rows().keys() == ids
        assert (made.depth(), made.dlq_messages()) == (0, [])


@pytest.mark.parametrize("transactional", ["0", "1"])
def test_kill_9_at_any_moment(
    start_consumer, run_consumer, queue_set, journal, transactional
) -> None:
    made = queue_set(visibility=1, max_receive_count=10)
    ids = set(made.send_many(200))
    env = {
        **made.env,
        **QUICK,
        **journal.env,
        "MAX_MESSAGES": "10",
        "USE_TRANSACTIONAL_WRITES": transactional,
        "SLEEP_MIN_SECONDS": "0.005",  # some is left for each death
        "SLEEP_MAX_SECONDS": "0.005",
    }
    for _ in range(4):
        seen = journal.count("received")
        child = start_consumer(env)
        wait_for(lambda seen=seen: journal.count("received") > seen, what="a receive")
        time.sleep(random.uniform(0, 0.25))
        child.kill()
    ended = run_consumer({**env, "IDLE_TIMEOUT_SECONDS": "3"}, 60)
    assert ended.code == 0, ended.output
    assert effects(made) == dict.fromkeys(ids, 1)
    assert made.completed_rows().keys() == ids
    assert (made.depth(), made.dlq_messages()) == (0, [])


BODIES = [
    ("not JSON {", None),
    ("[1, 2]", None),
    ('{"work": 1}', None),
    ('{"id": 7}', "7"),
    ('{"id": null}', None),
    ('{"id": ""}', None),
    ('{"id": ["a"]}', None),
    ('{"id": true}', None),
    ('{"id": "\\ud800"}', None),
    (json.dumps({"id": "x" * 3000}), "sha256:"),
    ("[" * 20000, None),
    ('{"id": ' + "9" * 5000 + "}", None),
    (json.dumps({"id": "two\nlines \x1b[31m"}), "two\nlines \x1b[31m"),
]


@pytest.mark.smoke
def test_no_body_stops_the_consumer(run_consumer, queue_set, journal) -> None:
    made = queue_set(visibility=30)
    made.send(*(body for body, _ in BODIES))
    ended = run_consumer({**made.env, **QUICK, **journal.env, "MAX_MESSAGES": "10"})
    assert ended.code == 0, ended.output
    assert "Traceback" not in ended.output
    assert "\x1b" not in ended.output
    assert effects(made) == dict.fromkeys(made.completed_rows(), 1)
    assert len(made.completed_rows()) == len(BODIES)
    assert made.depth() == 0
    for _, own in BODIES:
        assert own is None or any(name.startswith(own) for name in made.completed_rows())


def _bad_start(run_consumer, env) -> str:
    ended = run_consumer(env, 20)
    assert ended.code == 3, ended.output
    assert "Traceback" not in ended.output
    (line,) = [line for line in ended.stderr.splitlines() if "ERROR" in line]
    return line


def test_what_the_settings_name_does_not_exist(run_consumer, queue_set) -> None:
    made = queue_set()
    assert "made-up" in _bad_start(
        run_consumer, {**made.env, "QUEUE_URL": f"{made.queue_url}made-up"}
    )
    for table in ("MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE"):
        line = _bad_start(run_consumer, {**made.env, table: "made-up"})
        assert f"{table}='made-up': " in line
    assert made.depth() == 0


def test_no_credentials_no_profile_no_region_no_endpoint(run_consumer, queue_set) -> None:
    made = queue_set()
    no_keys = {name: v for name, v in made.env.items() if "KEY" not in name}
    assert "credentials" in _bad_start(run_consumer, no_keys)
    assert "nobody" in _bad_start(run_consumer, {**made.env, "AWS_PROFILE": "nobody"})
    no_region = {name: v for name, v in made.env.items() if "REGION" not in name}
    assert "region" in _bad_start(run_consumer, no_region)
    down = {**made.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "START_TIMEOUT_SECONDS": "0"}
    assert "127.0.0.1:1" in _bad_start(run_consumer, down)


def test_a_start_that_waits_says_so_and_ends_at_once_on_a_stop(start_consumer, queue_set) -> None:
    child = start_consumer({**queue_set().env, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    wait_for(lambda: "cannot start yet: " in child.stderr, 30, "it to wait")
    child.signal()
    ended = child.wait(10)
    assert ended.code == 0, ended.output
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("gone", ["stdout", "stderr"])
def test_a_reader_that_is_gone_changes_no_exit_code(queue_set, journal, gone: str) -> None:
    made = queue_set()
    folder, door = CONSUMER
    child = subprocess.Popen(
        [sys.executable, door],
        cwd=folder,
        env={**base_environment(), **made.env, **journal.env, "WAIT_TIME_SECONDS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: journal.count("start"), 30, "the start")
        getattr(child, gone).close()
        made.send({"id": "one"})
        wait_for(lambda: journal.count("deleted"), 30, "the delete")
        child.terminate()
        assert child.wait(20) == 0
    finally:
        child.kill()
        for stream in (child.stdout, child.stderr):
            stream.close()
        child.wait()
    assert effects(made) == {"one": 1}


@pytest.mark.smoke
def test_ten_bad_settings_at_once(run_consumer, queue_set, proxy) -> None:
    watched = proxy(rules=[])
    bad = {
        "QUEUE_URL": "not-a-url",
        "MAX_MESSAGES": "11",
        "WAIT_TIME_SECONDS": "ten",
        "CRASH_RATE": "1.5",
        "SLEEP_MIN_SECONDS": "-1",
        "LOG_LEVEL": "LOUD",
        "MESSAGE_STATUS_TABLE": "only-one",
        "CONCURRENCY": "0",
        "IDEMPOTENCY_CACHE_SIZE": "1.5",
        "USE_TRANSACTIONAL_WRITES": "yes",
    }
    ended = run_consumer(
        {
            **queue_set().env,
            **bad,
            "MESSAGE_COMPLETED_TABLE": "",
            "AWS_ENDPOINT_URL": watched.endpoint,
        }
    )
    assert ended.code == 2
    assert all(name in ended.stderr for name in bad)
    assert watched.requests() == 0


def test_a_second_signal_exits_at_once(start_consumer, queue_set, journal) -> None:
    made = queue_set(visibility=30)
    made.send({"id": "a"})
    work = {"SLEEP_MIN_SECONDS": "20", "SLEEP_MAX_SECONDS": "20"}
    child = start_consumer({**made.env, **QUICK, **journal.env, **work})
    wait_for(lambda: journal.count("work_started"), what="work")
    child.signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in child.stderr, what="the stop")
    child.signal(signal.SIGTERM)
    assert child.wait(2).code == 128 + signal.SIGTERM


def test_a_second_signal_does_not_wait_for_a_queue_that_does_not_answer(
    start_consumer, queue_set, journal, proxy
) -> None:
    """Whichever thread Linux gives it to, and whatever the main one waits for at the stop."""
    made = queue_set(visibility=30)
    made.send({"id": "a"}, {"id": "b"})
    silent = proxy(rules=[{"operation": "ChangeMessageVisibilityBatch", "latency": 60_000}])
    work = {"SLEEP_MIN_SECONDS": "20", "SLEEP_MAX_SECONDS": "20", "MAX_MESSAGES": "10"}
    endpoint = {"AWS_ENDPOINT_URL": silent.endpoint}
    child = start_consumer({**made.env, **QUICK, **journal.env, **work, **endpoint})
    wait_for(lambda: journal.count("work_started"), what="work")
    child.signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in child.stderr, what="the stop")
    child.signal_beside(signal.SIGTERM)
    assert child.wait(2).code == 128 + signal.SIGTERM
