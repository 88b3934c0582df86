"""The door as a real process against a real queue: what each flag does, seen from the queue."""

import json
import os
import re
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from local_aws import Stack
from support.children import Finished, Process
from support.proxy import COUNT_EVERYTHING, Proxy
from support.queues import QueueSet, QueueSets
from support.waiting import wait_for

pytestmark = pytest.mark.integration
Run = Callable[..., Finished]
Start = Callable[[Sequence[str], Mapping[str, str]], Process]
SEND = "sqs.SendMessageBatch"


@pytest.fixture(scope="module")
def shared_proxy(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One proxy for all tests here: it takes seconds of CPU to start."""
    between = Proxy(stack.endpoint, [], tmp_path_factory.mktemp("proxy") / "log")
    yield between
    between.close()


@pytest.fixture
def between(shared_proxy: Proxy) -> Proxy:
    """The proxy without rules; its counts go on from the test before."""
    shared_proxy.rules([])
    return shared_proxy


def drain(queue: QueueSet) -> list[dict[str, Any]]:
    """Everything in the queue, bodies parsed, in the order in which SQS took it."""
    found: list[Any] = []
    while batch := queue.sqs.receive_message(
        QueueUrl=queue.queue_url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=120,
        WaitTimeSeconds=0,
        MessageSystemAttributeNames=["SentTimestamp"],
    ).get("Messages"):
        found += batch
    found.sort(key=lambda message: int(message["Attributes"]["SentTimestamp"]))
    return [
        json.loads(message["Body"]) | {"at": int(message["Attributes"]["SentTimestamp"]) / 1000}
        for message in found
    ]


def events(path: Path, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line["event"] == name]


def requests(between: Proxy) -> int:
    return int(between.requests())


def ids(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(one["id"]) for one in found]


@pytest.mark.smoke
def test_defaults_send_ten_good_messages(queue_set: QueueSets, run_producer: Run) -> None:
    queue = queue_set()
    done = run_producer([], queue.env)
    assert (done.code, done.stderr) == (0, "")
    assert re.fullmatch(
        r"sent 10 \(0 poison\), failed 0, [\d.]+ messages/s, 1 API calls, 0 retries, [\d.]+ s,"
        r" seed \d+\n",
        done.stdout,
    )
    found = drain(queue)
    assert len(set(ids(found))) == 10
    for payload in found:
        assert payload.keys() == {"id", "work", "at"}
        assert uuid.UUID(payload["id"]).version == 4
        assert 1 <= payload["work"] <= 1000


@pytest.mark.smoke
def test_n_poison_every_and_seed(queue_set: QueueSets, run_producer: Run, tmp_path: Path) -> None:
    """The same seed sends the same ids, work and poison again, whatever the batches."""
    first, second = queue_set(), queue_set()
    arguments = ["--n", "23", "--seed", "5", "--poison-every", "3", "--poison-count", "20"]
    journal = tmp_path / "journal"
    assert run_producer(arguments, first.env | {"JOURNAL_PATH": str(journal)}).code == 0
    assert run_producer([*arguments, "--batch-size", "4"], second.env).code == 0
    found, again = drain(first), drain(second)
    assert len(found) == 23
    assert sum(payload.get("poison", False) for payload in found) == 7
    assert {p["id"]: (p["work"], p.get("poison")) for p in found} == {
        p["id"]: (p["work"], p.get("poison")) for p in again
    }
    sent = events(journal, "sent")
    assert [event["index"] for event in sent] == list(range(23))
    assert [event["index"] for event in sent if event["poison"]] == [2, 5, 8, 11, 14, 17, 20]
    assert set(ids(sent)) == set(ids(found))
    assert {p["id"] for p in found if p.get("poison")} == {e["id"] for e in sent if e["poison"]}


def test_poison_count(queue_set: QueueSets, run_producer: Run) -> None:
    queue = queue_set()
    done = run_producer(["--n", "40", "--poison-count", "9", "--seed", "1"], queue.env)
    assert "sent 40 (9 poison)" in done.stdout
    poison = [payload for payload in drain(queue) if "poison" in payload]
    assert [payload["poison"] for payload in poison] == [True] * 9


@pytest.mark.parametrize(("size", "calls"), [("1", 12), ("5", 3), ("10", 2)])
def test_batch_size_decides_the_calls_and_the_meter_is_right(
    queue_set: QueueSets, between: Proxy, run_producer: Run, size: str, calls: int
) -> None:
    queue = queue_set()
    between.rules([COUNT_EVERYTHING])
    before = between.operations()[SEND]
    env = queue.env | {"AWS_ENDPOINT_URL": between.endpoint}
    done = run_producer(["--n", "12", "--batch-size", size], env)
    assert between.operations()[SEND] - before == calls
    assert f"{calls} API calls, 0 retries" in done.stdout
    assert queue.depth() == 12


def test_bodies_of_more_than_a_mebibyte_in_all_go_in_more_calls(
    queue_set: QueueSets, between: Proxy, run_producer: Run
) -> None:
    queue = queue_set()
    before = requests(between)
    fields = json.dumps({"note": "x" * 120_000})
    done = run_producer(["--fields", fields], queue.env | {"AWS_ENDPOINT_URL": between.endpoint})
    assert (done.code, requests(between) - before) == (0, 2), done.output
    assert len(drain(queue)) == 10


def test_concurrency_overlaps_calls_and_sends_each_message_once(
    queue_set: QueueSets, between: Proxy, run_producer: Run, tmp_path: Path
) -> None:
    between.rules([{"service": "sqs", "latency": 300}])
    seconds = {}
    for concurrency in (1, 4, 8):
        queue, journal = queue_set(), tmp_path / f"journal-{concurrency}"
        env = queue.env | {"AWS_ENDPOINT_URL": between.endpoint, "JOURNAL_PATH": str(journal)}
        before = between.operations()[SEND]
        arguments = ["--n", "170", "--concurrency", str(concurrency), "--seed", "3"]
        assert run_producer(arguments, env).code == 0
        assert between.operations()[SEND] - before == 17
        sent = events(journal, "sent")
        assert [event["index"] for event in sent] == list(range(170))
        assert sorted(ids(drain(queue))) == sorted(ids(sent))
        seconds[concurrency] = events(journal, "summary")[0]["seconds"]
    # 17 calls of 0.3 s, the first one alone: at best 5.1, 1.5 and 1.2 s.
    assert seconds[1] >= 5.1
    assert max(seconds[4], seconds[8]) < seconds[1] / 1.5


def test_a_rate_does_not_drift_in_ten_seconds(
    queue_set: QueueSets, start_producer: Start, tmp_path: Path
) -> None:
    """By the queue's own clock. Message n is due at (n - 1) / rate after the first batch is cut."""
    runs = []
    for rate in (5, 50, 500):
        queue, journal = queue_set(), tmp_path / f"journal-{rate}"
        arguments = ["--rate", str(rate), "--n", str(rate * 10)]
        child = start_producer(arguments, queue.env | {"JOURNAL_PATH": str(journal)})
        runs.append((rate, queue, journal, child))
    for rate, queue, journal, child in runs:
        done = child.wait(25)
        assert (done.code, events(journal, "summary")[0]["sent"]) == (0, rate * 10)
        start = events(journal, "start")[0]["t"]
        found = drain(queue)
        assert len(set(ids(found))) == rate * 10
        took, due = found[-1]["at"] - start, (rate * 10 - 1) / rate
        # A busy machine may be late by a moment; what adds up is later with each message.
        assert took - due < 1, f"{rate}/s: last at {took:.3f} s, due at {due:.3f} s"
        assert events(journal, "summary")[0]["rate"] == pytest.approx(rate, rel=0.1)
        late = [payload["at"] - start - k / rate for k, payload in enumerate(found)]
        assert max(late) < 2, "some message was held back"
        assert min(late) > -0.01, "some message left before it was due"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_n_0_runs_until_a_signal_and_ends_with_the_summary(
    queue_set: QueueSets,
    start_producer: Start,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    queue, journal = queue_set(), tmp_path / "journal"
    env = queue.env | {"JOURNAL_PATH": str(journal)}
    child = start_producer(["--n", "0"], env)
    wait_for(lambda: len(events(journal, "sent")) > 100, what="100 messages sent")
    child.signal(number)
    done = child.wait(5)
    assert done.code == code
    sent = len(events(journal, "sent"))
    assert f"sent {sent} (0 poison), failed 0" in done.stdout
    assert queue.depth() == sent
    assert events(journal, "stop")[0]["signal"] == number.name
    assert events(journal, "summary")[0]["sent"] == sent
    assert "Traceback" not in done.output


def test_a_signal_does_not_wait_for_the_next_message_of_a_slow_rate(
    queue_set: QueueSets, start_producer: Start
) -> None:
    queue = queue_set()
    child = start_producer(["--rate", "0.01"], queue.env)
    wait_for(lambda: queue.depth() == 1, what="the first message")
    child.signal(signal.SIGINT)
    assert child.wait(10).code == 130, "the next message is due in 100 s"


def test_the_open_batch_is_finished_and_a_second_signal_does_not_wait(
    queue_set: QueueSets, between: Proxy, start_producer: Start
) -> None:
    queue = queue_set()
    between.rules([{"service": "sqs", "latency": 3000}])
    before = requests(between)
    env = queue.env | {"AWS_ENDPOINT_URL": between.endpoint}
    patient, hasty = start_producer(["--n", "0"], env), start_producer(["--n", "0"], env)
    wait_for(lambda: requests(between) >= before + 2, what="two open calls")
    for child in (patient, hasty):
        child.signal(signal.SIGINT)
    assert hasty.running()
    time.sleep(0.2)
    hasty.signal_beside(signal.SIGTERM)
    assert hasty.wait(5).code == 128 + signal.SIGTERM
    assert queue.depth() == 0, "it waited for the open call"
    done = patient.wait(10)
    assert done.code == 130
    assert "sent 10 (0 poison), failed 0" in done.stdout


def test_throttled_batches_are_sent_in_the_end_and_retries_counted(
    queue_set: QueueSets, between: Proxy, run_producer: Run
) -> None:
    queue, before = queue_set(), len(between.fired())
    between.rules([{"service": "sqs", "error": {"code": "RequestThrottled"}, "times": 6}])
    done = run_producer(["--n", "50"], queue.env | {"AWS_ENDPOINT_URL": between.endpoint})
    assert (done.code, len(between.fired()) - before) == (0, 6)
    assert "sent 50 (0 poison), failed 0" in done.stdout
    assert "11 API calls, 6 retries" in done.stdout
    assert len(set(ids(drain(queue)))) == 50


def test_a_lost_answer_may_duplicate_but_loses_nothing(
    queue_set: QueueSets, between: Proxy, run_producer: Run, tmp_path: Path
) -> None:
    cut = {"service": "sqs", "response": {"abort_frac": 0.0}, "times": 2, "probability": 0.5}
    queue, journal, before = queue_set(), tmp_path / "journal", len(between.fired())
    between.rules([cut])
    env = queue.env | {"AWS_ENDPOINT_URL": between.endpoint, "JOURNAL_PATH": str(journal)}
    done = run_producer(["--n", "100"], env)
    assert (done.code, len(between.fired()) - before) == (0, 2)
    found = drain(queue)
    assert len(found) == 120, "the two batches whose answer was lost are there twice"
    assert set(ids(found)) == set(ids(events(journal, "sent")))
    assert len(events(journal, "sent")) == 100


def test_a_queue_that_goes_midway_ends_the_run_with_names(
    queue_set: QueueSets, start_producer: Start, tmp_path: Path
) -> None:
    queue, journal = queue_set(), tmp_path / "journal"
    arguments = ["--n", "100000", "--rate", "200"]
    child = start_producer(arguments, queue.env | {"JOURNAL_PATH": str(journal)})
    wait_for(lambda: len(events(journal, "sent")) > 50, what="50 messages sent")
    queue.sqs.delete_queue(QueueUrl=queue.queue_url)
    done = child.wait(10)
    assert done.code == 1
    failed = events(journal, "send_failed")
    assert 1 <= len(failed) <= 100
    for event in failed:
        line = f"not sent: {event['id']} (index {event['index']}): {event['code']}"
        assert line in done.stderr
    assert "NonExistentQueue" in done.stderr
    assert f"failed {len(failed)}," in done.stdout
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"QUEUE_URL": "http://127.0.0.1/000000000000/no-such-queue"}, "NonExistentQueue"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "NoCredentialsError"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "EndpointConnectionError"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "NoRegionError"),
        ({"AWS_PROFILE": "nobody"}, "ProfileNotFound"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_3(
    queue_set: QueueSets, run_producer: Run, change: dict[str, str], said: str
) -> None:
    env = queue_set().env | change
    done = run_producer(["--n", "1000"], {name: value for name, value in env.items() if value})
    assert done.code == 3
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "nothing was sent" in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("path", ["/", "/dev/full", "/proc/journal"])
def test_a_journal_that_cannot_be_written_is_a_bad_setting(run_producer: Run, path: str) -> None:
    done = run_producer([], {"QUEUE_URL": "http://127.0.0.1:1/0/q", "JOURNAL_PATH": path})
    assert (done.code, done.stdout) == (2, "")
    assert f"JOURNAL_PATH={path!r}: must be a file that can be written" in done.stderr
    assert "nothing was sent" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.smoke
def test_bad_settings_make_no_call(queue_set: QueueSets, between: Proxy, run_producer: Run) -> None:
    before = requests(between)
    env = queue_set().env | {"AWS_ENDPOINT_URL": between.endpoint}
    bad = {
        "--n": "x",
        "--rate": "-1",
        "--batch-size": "0",
        "--poison-count": "x",
        "--poison-every": "x",
        "--seed": "x",
        "--concurrency": "x",
        "--queue-url": "x",
        "--region": "x y",
        "--profile": "",
    }
    done = run_producer([text for pair in bad.items() for text in pair], env)
    assert done.code == 2
    for flag in bad:
        assert f"{flag}=" in done.stderr
    assert done.stderr.startswith("10 bad settings; nothing was sent")
    assert requests(between) == before


def test_queue_url_outranks_the_environment(queue_set: QueueSets, run_producer: Run) -> None:
    named, other = queue_set(), queue_set()
    assert run_producer(["--queue-url", named.queue_url], other.env).code == 0
    assert (named.depth(), other.depth()) == (10, 0)


def test_region_is_the_one_that_requests_are_signed_for(
    queue_set: QueueSets, between: Proxy, run_producer: Run
) -> None:
    refuse = {"service": "sqs", "region": "eu-west-3", "error": {"code": "AccessDenied"}}
    queue = queue_set()
    between.rules([refuse])
    env = queue.env | {"AWS_ENDPOINT_URL": between.endpoint}
    assert run_producer([], env).code == 0
    assert run_producer(["--region", "eu-west-3"], env).code == 3
    assert run_producer([], env | {"AWS_REGION": "eu-west-3"}).code == 3
    assert queue.depth() == 10


def test_profile_is_whose_settings_the_sdk_uses(
    queue_set: QueueSets, run_producer: Run, tmp_path: Path
) -> None:
    """Only the profile `here` has keys and an endpoint."""
    queue, config = queue_set(), tmp_path / "config"
    endpoint = queue.env["AWS_ENDPOINT_URL"]
    config.write_text(
        "[profile here]\nregion = us-west-1\naws_access_key_id = a\naws_secret_access_key = b\n"
        f"endpoint_url = {endpoint}\n[profile there]\nregion = us-west-1\n"
    )
    env = {name: value for name, value in queue.env.items() if not name.startswith("AWS_")}
    env |= {"AWS_CONFIG_FILE": str(config), "AWS_EC2_METADATA_DISABLED": "true"}
    assert run_producer([], env | {"AWS_PROFILE": "there"}).code == 3
    assert run_producer(["--profile", "here"], env | {"AWS_PROFILE": "there"}).code == 0
    assert run_producer([], env | {"AWS_PROFILE": "here"}).code == 0
    assert queue.depth() == 20


def test_everything_can_come_from_an_env_file(
    queue_set: QueueSets, run_producer: Run, tmp_path: Path
) -> None:
    queue, other, file = queue_set(), queue_set(), tmp_path / "my settings.env"
    journal = tmp_path / "a journal"
    lines = {**queue.env, "JOURNAL_PATH": str(journal)}
    file.write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()))
    done = run_producer([], {"ENV_FILE": str(file)})
    assert done.code == 0
    assert str(file) in done.stderr
    assert queue.depth() == 10
    assert len(events(journal, "sent")) == 10
    done = run_producer([], other.env | {"ENV_FILE": str(file)})
    assert f"QUEUE_URL is set in the environment, so {file} is not read" in done.stderr
    assert (queue.depth(), other.depth()) == (10, 10)
    done = run_producer([], {"ENV_FILE": str(tmp_path / "none")})
    assert done.code == 2
    assert "ENV_FILE=" in done.stderr


@pytest.mark.slow
def test_memory_is_flat_for_a_minute_at_full_speed(
    queue_set: QueueSets, start_producer: Start, tmp_path: Path
) -> None:
    child = start_producer(["--n", "0"], queue_set().env)
    page = os.sysconf("SC_PAGE_SIZE") / 2**20

    def megabytes() -> float:
        return int(Path(f"/proc/{child.pid}/statm").read_text().split()[1]) * page

    seen = []
    for _ in range(12):
        time.sleep(5)
        seen.append(megabytes())
    child.signal(signal.SIGINT)
    done = child.wait(10)
    assert done.code == 130
    assert max(seen) - seen[0] < 4, f"megabytes every 5 s: {seen}; {done.stdout}"
