"""Each variable of the consumer, seen to act on a real queue and real tables."""

import json
import signal
import time

import pytest

from consumer.integration.support import QUICK
from support.waiting import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def consume(run_consumer, journal):
    """Run a consumer on a set to its end with these settings; a code other than 0 is asked for."""

    def run(made, code: int = 0, **settings: str):
        ended = run_consumer({**made.env, **QUICK, **journal.env, **settings})
        assert ended.code == code, ended.output
        return ended

    return run


def test_queue_url_and_tables(consume, queue_set) -> None:
    made, other = queue_set(), queue_set()
    made.send({"id": "here"})
    other.send({"id": "there"})
    consume(made)
    assert list(made.status_rows()) == ["here"]
    assert list(made.completed_rows()) == ["here"]
    assert (made.depth(), other.depth()) == (0, 1)


def test_without_tables_messages_are_worked_on_and_deleted(consume, queue_set, journal) -> None:
    made = queue_set()
    made.send({"id": "a"})
    consume(made, MESSAGE_STATUS_TABLE="", MESSAGE_COMPLETED_TABLE="")
    assert (made.depth(), made.status_rows(), journal.count("worked")) == (0, {}, 1)


def test_aws_region(consume, queue_set, proxy) -> None:
    made = queue_set()
    seen = proxy(rules=[{"service": "*", "region": "eu-north-1", "latency": 0}])
    made.env["AWS_ENDPOINT_URL"] = seen.endpoint
    consume(made, code=3, AWS_REGION="eu-north-1")
    assert seen.fired()


@pytest.mark.parametrize(("wait", "least", "most"), [("0", 3, 9), ("2", 1, 2)])
def test_wait_time_seconds(consume, queue_set, journal, wait, least, most) -> None:
    consume(queue_set(), WAIT_TIME_SECONDS=wait, IDLE_TIMEOUT_SECONDS="2")
    assert least <= journal.summary()["empty_receives"] <= most


def test_max_messages(consume, queue_set, journal) -> None:
    made = queue_set()
    made.send_many(20)
    consume(made, MAX_MESSAGES="10", MESSAGE_LIMIT="20")
    assert journal.summary()["calls"]["sqs.ReceiveMessage"] == 2


def test_message_limit(consume, queue_set, journal) -> None:
    made = queue_set()
    made.send_many(10)
    consume(made, MAX_MESSAGES="4", MESSAGE_LIMIT="7", CONCURRENCY="3")
    assert journal.summary()["received"] == 7
    assert made.depth() == 3
    assert journal.events("stop")[-1]["reason"] == "limit"


def test_idle_timeout_seconds(consume, queue_set, journal) -> None:
    started = time.monotonic()
    consume(queue_set(), WAIT_TIME_SECONDS="10", IDLE_TIMEOUT_SECONDS="1.5")
    assert 1.5 <= time.monotonic() - started < 10, "the long poll was waited for"
    assert journal.events("stop")[-1]["reason"] == "idle"


def _work_times(journal) -> list[float]:
    begun = {event["delivery"]: event["t"] for event in journal.events("work_started")}
    return [event["t"] - begun[event["delivery"]] for event in journal.events("worked")]


def test_sleep_min_and_max_seconds(consume, queue_set, journal) -> None:
    made = queue_set()
    made.send_many(4)
    consume(made, SLEEP_MIN_SECONDS="0.2", SLEEP_MAX_SECONDS="0.4")
    assert all(0.2 <= seconds < 2 for seconds in _work_times(journal))


def test_long_sleep_seconds_and_every(consume, queue_set, journal) -> None:
    made = queue_set(visibility=30)
    made.send_many(5)
    consume(made, LONG_SLEEP_SECONDS="0.5", LONG_SLEEP_EVERY="2", MAX_MESSAGES="10")
    assert [seconds >= 0.5 for seconds in _work_times(journal)] == [False, True, False, True, False]


def test_crash_rate(consume, queue_set, journal) -> None:
    made = queue_set(visibility=30)
    made.send_many(40)
    consume(made, code=86, CRASH_RATE="0.5")
    consume(made, code=86, CRASH_RATE="1")
    assert journal.count("crash") == 2
    assert journal.events("crash")[-1]["id"] not in made.completed_rows()


@pytest.mark.parametrize("transactional", ["0", "1"])
def test_crash_after_receive(consume, queue_set, journal, transactional) -> None:
    made = queue_set(visibility=30)
    made.send({"id": "a"})
    consume(made, code=86, CRASH_AFTER_RECEIVE="1", USE_TRANSACTIONAL_WRITES=transactional)
    assert [event["point"] for event in journal.events("crash")] == ["after-work"]
    assert (made.status_rows()["a"]["status"], made.completed_rows()) == ("STARTED", {})
    assert made.depth() == 1


@pytest.mark.parametrize("transactional", ["0", "1"])
def test_crash_after_side_effect(consume, queue_set, journal, transactional) -> None:
    made = queue_set(visibility=1)
    made.send({"id": "a"})
    consume(made, code=86, CRASH_AFTER_SIDE_EFFECT="1", USE_TRANSACTIONAL_WRITES=transactional)
    assert (made.status_rows()["a"]["status"], made.depth()) == ("COMPLETED", 1)
    consume(made, IDLE_TIMEOUT_SECONDS="2")
    row = made.status_rows()["a"]
    assert (row["effects"], row["attempts"], made.depth()) == (1, 1, 0)
    assert journal.count("already_done") == 1


def test_crash_at(consume, queue_set, journal) -> None:
    made = queue_set(visibility=1)
    made.send({"id": "a"})
    consume(made, code=86, CRASH_AT="between-writes")
    assert (made.status_rows()["a"]["status"], list(made.completed_rows())) == ("STARTED", ["a"])
    consume(made, IDLE_TIMEOUT_SECONDS="2")
    row = made.status_rows()["a"]
    assert (row["status"], row["effects"], row["attempts"]) == ("COMPLETED", 1, 2)


@pytest.mark.parametrize(
    ("key", "rows"), [("", ["m-1", "m-2"]), ("[order_id, action]", ['key#["A17","charge"]'])]
)
def test_idempotency_key(consume, queue_set, journal, key, rows) -> None:
    made = queue_set(visibility=30)
    order = {"order_id": "A17", "action": "charge"}
    made.send({"id": "m-1", **order}, {"id": "m-2", **order})
    consume(made, IDEMPOTENCY_KEY=key)
    assert sorted(made.status_rows()) == sorted(made.completed_rows()) == rows
    assert {row["effects"] for row in made.status_rows().values()} == {1}
    assert (made.depth(), journal.count("worked")) == (0, len(rows))


@pytest.mark.parametrize(("size", "cached"), [("1000", 1), ("0", 0)])
def test_idempotency_cache_size(consume, queue_set, journal, size, cached) -> None:
    made = queue_set(visibility=30)
    made.send({"id": "a"}, {"id": "a"})
    consume(made, IDEMPOTENCY_CACHE_SIZE=size)
    assert (journal.count("cached"), journal.count("already_done")) == (cached, 1 - cached)
    assert (made.status_rows()["a"]["effects"], made.depth()) == (1, 0)


def test_reject_payload_marker(consume, queue_set, journal) -> None:
    made = queue_set(visibility=1)
    made.send({"id": "good"}, {"id": "bad", "poison": True})
    consume(
        made, REJECT_PAYLOAD_MARKER='"poison": true', MAX_MESSAGES="10", IDLE_TIMEOUT_SECONDS="2"
    )
    row = made.status_rows()["bad"]
    assert (row["status"], row["attempts"], row.get("effects", 0)) == ("FAILED", 2, 0)
    assert "poison" in row["reason"]
    assert list(made.completed_rows()) == ["good"]
    assert [json.loads(m["Body"])["id"] for m in made.dlq_messages()] == ["bad"]


def test_use_transactional_writes(consume, queue_set, journal) -> None:
    """The probe at the start is one call of each kind."""
    made = queue_set()
    made.send({"id": "a"})
    consume(made, USE_TRANSACTIONAL_WRITES="1")
    made.send({"id": "b"})
    consume(made, USE_TRANSACTIONAL_WRITES="0")
    first, second = (event["calls"] for event in journal.events("summary"))
    assert (first["dynamodb.TransactWriteItems"], first["dynamodb.PutItem"]) == (1 + 1, 1)
    assert (second["dynamodb.TransactWriteItems"], second["dynamodb.PutItem"]) == (1, 1 + 1)


def test_use_partiql_statements(consume, queue_set, journal) -> None:
    for chosen in "10":
        made = queue_set(visibility=30)
        made.send_many(3)
        knobs = {"MAX_MESSAGES": "10", "COMMIT_BATCH": "3", "MESSAGE_LIMIT": "3"}
        consume(made, USE_PARTIQL_STATEMENTS=chosen, **knobs)
        assert {row["effects"] for row in made.status_rows().values()} == {1}
    first, second = (event["calls"] for event in journal.events("summary"))
    kinds = ("dynamodb.BatchExecuteStatement", "dynamodb.TransactWriteItems")
    assert [first.get(kind, 0) for kind in kinds] == [1 + 3, 1]  # a probe each
    assert [second.get(kind, 0) for kind in kinds] == [0, 1 + 3]


def test_concurrency(consume, queue_set, journal) -> None:
    made = queue_set(visibility=30)
    made.send_many(8)
    work = {"SLEEP_MIN_SECONDS": "0.5", "SLEEP_MAX_SECONDS": "0.5"}
    consume(made, CONCURRENCY="4", MESSAGE_LIMIT="8", **work)
    open_now = most = 0
    for event in journal.events("work_started", "worked"):
        open_now += 1 if event["event"] == "work_started" else -1
        most = max(most, open_now)
    assert most == 4
    assert {row["effects"] for row in made.status_rows().values()} == {1}


def test_commit_batch(consume, queue_set, journal) -> None:
    made = queue_set(visibility=30)
    made.send_many(10)
    consume(
        made,
        MAX_MESSAGES="10",
        COMMIT_BATCH="5",
        USE_TRANSACTIONAL_WRITES="1",
        MESSAGE_LIMIT="10",
    )
    assert journal.summary()["calls"]["dynamodb.TransactWriteItems"] == 1 + 3  # the probe, and ours
    assert {row["effects"] for row in made.status_rows().values()} == {1}


@pytest.mark.parametrize(("beat", "deliveries"), [("0.5", 1), ("0", 2)])
def test_heartbeat_seconds(start_consumer, queue_set, journal, beat, deliveries) -> None:
    made = queue_set(visibility=1, max_receive_count=5)
    made.send({"id": "a"})
    work = {"SLEEP_MIN_SECONDS": "3", "SLEEP_MAX_SECONDS": "3", "HEARTBEAT_SECONDS": beat}
    env = {**made.env, **QUICK, **journal.env, **work, "MESSAGE_LIMIT": "1"}
    pair = [start_consumer(env), start_consumer({**env, "IDLE_TIMEOUT_SECONDS": "2"})]
    assert [child.wait().code for child in pair] == [0, 0]
    assert journal.count("received") == deliveries
    assert made.status_rows()["a"]["effects"] == 1


@pytest.mark.parametrize(("limit", "ended"), [("1", 1), ("3600", 0)])
def test_heartbeat_limit_seconds(consume, queue_set, journal, limit, ended) -> None:
    made = queue_set(visibility=2, max_receive_count=5)
    made.send({"id": "a"})
    beat = {"HEARTBEAT_SECONDS": "0.4", "HEARTBEAT_LIMIT_SECONDS": limit}
    consume(made, SLEEP_MIN_SECONDS="2.2", SLEEP_MAX_SECONDS="2.2", MESSAGE_LIMIT="1", **beat)
    assert journal.summary()["extend_ended"] == journal.count("extend_ended") == ended
    assert journal.count("extended") >= 2
    assert made.status_rows()["a"]["effects"] == 1


def test_visibility_timeout_seconds(consume, queue_set, journal) -> None:
    made = queue_set(visibility=30)
    made.send({"id": "a"})
    consume(made, code=86, CRASH_AFTER_RECEIVE="1", VISIBILITY_TIMEOUT_SECONDS="1")
    started = time.monotonic()
    consume(made, WAIT_TIME_SECONDS="10", MESSAGE_LIMIT="1", IDLE_TIMEOUT_SECONDS="10")
    assert time.monotonic() - started < 25, "the queue's own 30 s counted"
    assert (journal.events("start")[0]["visibility"], journal.count("completed")) == (1, 1)


@pytest.mark.parametrize(("grace", "abandoned"), [("10", 0), ("2", 1)])
def test_shutdown_grace_seconds(start_consumer, queue_set, journal, grace, abandoned) -> None:
    made = queue_set(visibility=30)
    made.send_many(2)
    work = {"SLEEP_MIN_SECONDS": "4", "SLEEP_MAX_SECONDS": "4", "MAX_MESSAGES": "2"}
    child = start_consumer(
        {**made.env, **QUICK, **journal.env, **work, "SHUTDOWN_GRACE_SECONDS": grace}
    )
    wait_for(lambda: journal.count("work_started"), what="work")
    child.signal(signal.SIGTERM)
    asked = time.time()
    ended = child.wait()
    assert ended.code == 0, ended.output
    summary = journal.summary()
    assert (summary["abandoned"], summary["completed"]) == (abandoned, 1 - abandoned)
    (released,) = journal.events("released")
    assert released["t"] - asked < 3, "it waited for the work"
    assert released["reason"] == "shutdown"


def test_log_level_and_format(consume, queue_set) -> None:
    made = queue_set()
    loud, quiet = consume(made), consume(made, LOG_LEVEL="ERROR")
    assert "consuming" in loud.stderr
    assert quiet.stderr == ""
    for line in consume(made, LOG_FORMAT="json").stderr.splitlines():
        assert {"t", "level", "text"} <= json.loads(line).keys()


def test_journal_path(run_consumer, queue_set, journal, tmp_path) -> None:
    made = queue_set()
    assert run_consumer({**made.env, **QUICK, **journal.env}).code == 0
    assert [event["event"] for event in journal.events()] == ["start", "stop", "summary"]
    assert journal.path.stat().st_mode & 0o777 == 0o600
    bad = run_consumer({**made.env, **QUICK, "JOURNAL_PATH": str(tmp_path / "no" / "where")})
    assert bad.code == 2
    assert "JOURNAL_PATH" in bad.stderr


def test_env_file(run_consumer, queue_set, aws_env, tmp_path) -> None:
    made = queue_set()
    made.send({"id": "a"})
    names = ("QUEUE_URL", "MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE")
    file = tmp_path / "a file's name.env"
    file.write_text("".join(f"{name}='{made.env[name]}'\n" for name in names))
    ended = run_consumer({**aws_env, **QUICK, "ENV_FILE": str(file)})
    assert ended.code == 0, ended.output
    assert made.status_rows()["a"]["effects"] == 1
    missing = run_consumer({**aws_env, "ENV_FILE": str(tmp_path / "none.env")})
    assert (missing.code, "ENV_FILE" in missing.stderr) == (2, True)


def test_queue_url_in_the_environment_takes_no_tables_from_a_file(
    run_consumer, queue_set, tmp_path
) -> None:
    made, other = queue_set(), queue_set()
    file = tmp_path / ".env"
    file.write_text(f"MESSAGE_STATUS_TABLE={other.status_table}\n")
    env = {name: value for name, value in made.env.items() if not name.startswith("MESSAGE_")}
    ended = run_consumer({**env, **QUICK, "ENV_FILE": str(file)})
    assert ended.code == 0, ended.output
    assert "is not read" in ended.stderr
