"""The doctor on real queues: each misconfiguration is found, a healthy set is left in peace."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doctor import cli
from doctor.findings import Diagnosis, Finding, Severity, Unanswered
from local_aws import Stack, provision
from local_stack.provision import tls_only
from support.children import ROOT, Finished, Nursery, Process
from support.queues import QueueSet, QueueSets
from support.waiting import wait_for

pytestmark = pytest.mark.integration

DOOR = (ROOT / "scripts", "doctor.py")
DAY = 86_400
# MiniStack has no ListDeadLetterSourceQueues, so these two stay open there.
NOT_ON_MINISTACK = {"dlq-shared", "reads-a-dlq"}
SENSIBLE = {"MAX_MESSAGES": "10", "WAIT_TIME_SECONDS": "20", "SLEEP_MAX_SECONDS": "0.1"}

Run = Callable[..., Finished]
Start = Callable[[Mapping[str, str]], Process]
Examined = dict[str, Any]
Examine = Callable[..., Examined]


def sound(made: QueueSet) -> QueueSet:
    """Make a set what Terraform would make it, but for the demo's numbers; gives it back."""
    arn = queue_arn(made)
    common = {"SqsManagedSseEnabled": "true"}
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [arn]}
    attributes(made.sqs, made.queue_url, **common, Policy=json.dumps(tls_only(arn)))
    attributes(
        made.sqs,
        made.dlq_url,
        **common,
        Policy=json.dumps(tls_only(made.dlq_arn)),
        RedriveAllowPolicy=json.dumps(allow),
        MessageRetentionPeriod=str(14 * DAY),
    )
    for table in (made.status_table, made.completed_table):
        expiry(made, table, on=True)
    return made


def attributes(sqs: Any, url: str, **wanted: str) -> None:
    sqs.set_queue_attributes(QueueUrl=url, Attributes=wanted)


def queue_arn(made: QueueSet) -> str:
    return made.dlq_arn.removesuffix("-dlq")


def expiry(made: QueueSet, table: str, *, on: bool) -> None:
    made.dynamodb.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": on, "AttributeName": "expires_at"}
    )


def redrive(made: QueueSet, target: str | None, receives: int = 5) -> None:
    policy = {"deadLetterTargetArn": target, "maxReceiveCount": receives}
    attributes(made.sqs, made.queue_url, RedrivePolicy=json.dumps(policy) if target else "")


@pytest.fixture
def healthy(queue_set: QueueSets) -> QueueSet:
    return sound(queue_set(visibility=30, wait=20, max_receive_count=5))


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Examine:
    """``examine(made, "--peek", MAX_MESSAGES="1")``: what the doctor says, as JSON."""

    def look(made: QueueSet, *arguments: str, **settings: str) -> Examined:
        for name, value in {**made.env, **SENSIBLE, **settings}.items():
            monkeypatch.setenv(name, value)
        code = cli.main(["--json", *arguments])
        said: Examined = json.loads(capsys.readouterr().out)
        return {**said, "code": code}

    return look


def rules(said: Examined) -> set[str]:
    return {one["rule"] for one in said["findings"]}


def numbers(said: Examined, rule: str) -> dict[str, float]:
    (found,) = (one for one in said["findings"] if one["rule"] == rule)
    return dict(found["numbers"])


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def seen(run_consumer: Run, healthy: QueueSet, journal: Path) -> QueueSet:
    """The healthy set, after a consumer with sensible settings has worked off twenty messages."""
    healthy.send_many(20)
    ends = {"MESSAGE_LIMIT": "20", "JOURNAL_PATH": str(journal)}
    done = run_consumer({**healthy.env, **SENSIBLE, **ends})
    assert done.code == 0, done.output
    return healthy


@pytest.mark.smoke
def test_nothing_is_found_on_a_healthy_set(seen: QueueSet, journal: Path, examine: Examine) -> None:
    said = examine(seen, "--allow-unknown", JOURNAL_PATH=str(journal))
    assert said["findings"] == []
    assert {one["rule"] for one in said["not_known"]} <= NOT_ON_MINISTACK
    assert said["code"] == cli.Exit.HEALTHY
    assert examine(seen, "--fail-on", "note", "--allow-unknown")["code"] == cli.Exit.HEALTHY


def test_the_sets_of_terraform_get_one_note(
    stack: Stack, queue_set: QueueSets, examine: Examine, run_consumer: Run, journal: Path
) -> None:
    """Two receives and ten seconds are there on purpose: told, but nothing that fails a check."""
    ours = queue_set()
    made = provision(stack.endpoint)["scenarios"]["value"]
    for name, one in sorted(made.items()):
        names = {
            "queue_url": one["queue_url"],
            "status_table": one["message_status_table"],
            "completed_table": one["message_completed_table"],
        }
        env = {
            **ours.env,
            "QUEUE_URL": names["queue_url"],
            "MESSAGE_STATUS_TABLE": names["status_table"],
            "MESSAGE_COMPLETED_TABLE": names["completed_table"],
            "JOURNAL_PATH": str(journal.with_name(f"{name}.jsonl")),
        }
        given = replace(ours, env=env, **names)
        given.send_many(2)
        done = run_consumer({**env, **SENSIBLE, "MESSAGE_LIMIT": "2"})
        assert done.code == 0, done.output
        said = examine(given, "--allow-unknown")
        assert [one["severity"] for one in said["findings"]] == ["note"], said
        assert rules(said) == {"few-receives"}
        assert said["code"] == cli.Exit.HEALTHY


def set_up(change: Callable[[QueueSet], None], **settings: str) -> Any:
    return change, settings


def nothing(_made: QueueSet) -> None:
    """The settings are what is wrong."""


def wrong_key(made: QueueSet) -> None:
    made.dynamodb.delete_table(TableName=made.completed_table)
    made.dynamodb.create_table(
        TableName=made.completed_table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    expiry(made, made.completed_table, on=True)


def early_row(made: QueueSet) -> None:
    """An hour from now: what is past its time may be gone before the doctor looks."""
    now = int(time.time())
    item: Any = {
        "message_id": {"S": "m"},
        "completed_at": {"N": str(now)},
        "expires_at": {"N": str(now + 3600)},
    }
    made.dynamodb.put_item(TableName=made.completed_table, Item=item)


def own_dlq(made: QueueSet) -> None:
    redrive(made, queue_arn(made))


def chained(made: QueueSet) -> None:
    """The DLQ sends what is looked at too often back to the queue."""
    policy = {"deadLetterTargetArn": queue_arn(made), "maxReceiveCount": 3}
    attributes(made.sqs, made.dlq_url, RedrivePolicy=json.dumps(policy))


def opened(made: QueueSet) -> None:
    arn = queue_arn(made)
    policy = tls_only(arn)
    policy["Statement"].append(
        {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": arn}
    )
    attributes(made.sqs, made.queue_url, Policy=json.dumps(policy))


def dead_letter(made: QueueSet) -> None:
    made.sqs.send_message(QueueUrl=made.dlq_url, MessageBody="{}")


def consumed(made: QueueSet) -> None:
    dead_letter(made)
    made.sqs.receive_message(QueueUrl=made.dlq_url, VisibilityTimeout=600)


MISCONFIGURATIONS = {
    "one receive": (set_up(lambda m: redrive(m, m.dlq_arn, 1)), {"few-receives"}),
    "no redrive policy": (set_up(lambda m: redrive(m, None)), {"no-dlq", "hidden-poison"}),
    "a DLQ that is gone": (
        set_up(lambda m: m.sqs.delete_queue(QueueUrl=m.dlq_url)),
        {"dlq-missing"},
    ),
    "its own DLQ": (set_up(own_dlq), {"dlq-is-itself"}),
    "a chain": (set_up(chained), {"dlq-chain"}),
    "a DLQ that refuses": (
        set_up(
            lambda m: attributes(
                m.sqs, m.dlq_url, RedriveAllowPolicy='{"redrivePermission": "denyAll"}'
            )
        ),
        {"dlq-refuses"},
    ),
    "a DLQ that forgets first": (
        set_up(lambda m: attributes(m.sqs, m.dlq_url, MessageRetentionPeriod=str(4 * DAY))),
        {"dlq-retention"},
    ),
    "retention shorter than the receives": (
        set_up(lambda m: attributes(m.sqs, m.queue_url, MessageRetentionPeriod="120")),
        {"retention-before-dlq"},
    ),
    "poison that hides": (
        set_up(lambda m: redrive(m, m.dlq_arn, 1000)),
        {"hidden-poison"},
    ),
    "a message in the DLQ": (set_up(dead_letter), {"dlq-holds"}),
    "a consumer on the DLQ": (set_up(consumed), {"dlq-consumed"}),
    "no encryption": (
        set_up(lambda m: attributes(m.sqs, m.queue_url, SqsManagedSseEnabled="false")),
        {"not-encrypted"},
    ),
    "an open policy": (set_up(opened), {"open-policy"}),
    "no policy": (set_up(lambda m: attributes(m.sqs, m.dlq_url, Policy="")), {"plain-http"}),
    "a queue that polls short": (
        set_up(lambda m: attributes(m.sqs, m.queue_url, ReceiveMessageWaitTimeSeconds="0")),
        {"queue-wait"},
    ),
    "a table that is gone": (
        set_up(lambda m: m.dynamodb.delete_table(TableName=m.status_table)),
        {"table-missing"},
    ),
    "a table with another key": (set_up(wrong_key), {"table-key"}),
    "TTL off": (set_up(lambda m: expiry(m, m.status_table, on=False)), {"expiry-off"}),
    "rows that go too early": (set_up(early_row), {"rows-expire-early"}),
    "no tables": (
        set_up(nothing, MESSAGE_STATUS_TABLE="", MESSAGE_COMPLETED_TABLE=""),
        {"no-tables"},
    ),
    "no visibility": (
        set_up(nothing, VISIBILITY_TIMEOUT_SECONDS="0"),
        {"visibility-zero"},
    ),
    "a slow heartbeat": (set_up(nothing, HEARTBEAT_SECONDS="20"), {"heartbeat-against-visibility"}),
    "short polling": (set_up(nothing, WAIT_TIME_SECONDS="0"), {"empty-receives"}),
    "groups that never fill": (
        set_up(nothing, MAX_MESSAGES="5", COMMIT_BATCH="10"),
        {"commit-batch"},
    ),
    "a crash setting": (set_up(nothing, CRASH_RATE="0.2"), {"failure-knobs"}),
    "a poison marker": (set_up(nothing, REJECT_PAYLOAD_MARKER="poison"), {"failure-knobs"}),
    "a naive effect": (
        set_up(nothing, EFFECT_URL="http://127.0.0.1:9/", EFFECT_MODE="naive"),
        {"effect-mode"},
    ),
    "a grace beyond the platform's": (
        set_up(nothing, SHUTDOWN_GRACE_SECONDS="60"),
        {"grace-over-platform"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MISCONFIGURATIONS)
def test_a_misconfiguration_is_found_and_nothing_else(
    name: str, healthy: QueueSet, examine: Examine
) -> None:
    (change, settings), expected = MISCONFIGURATIONS[name]
    change(healthy)
    said = examine(healthy, "--fail-on", "note", **settings)
    assert rules(said) == expected
    assert said["code"] == cli.Exit.FINDINGS


@pytest.mark.smoke
def test_work_that_outlasts_its_visibility(
    queue_set: QueueSets, start_consumer: Start, examine: Examine, tmp_path: Path
) -> None:
    """Two consumers, one message, two seconds of work, one of visibility: the first
    experiment of the tutorial. It is completed, it is worked on twice, and it ends in the DLQ."""
    made = sound(queue_set(visibility=1, wait=20, max_receive_count=2))
    (key,) = made.send_many(1)
    files = [tmp_path / f"consumer-{number}.jsonl" for number in (1, 2)]
    slow = {"SLEEP_MIN_SECONDS": "2", "SLEEP_MAX_SECONDS": "2", "IDLE_TIMEOUT_SECONDS": "3"}
    slow |= {"WAIT_TIME_SECONDS": "1"}
    running = [start_consumer({**made.env, **slow, "JOURNAL_PATH": str(one)}) for one in files]
    assert [one.wait().code for one in running] == [0, 0]
    wait_for(made.dlq_messages, what="the DLQ to hold the message")

    arguments = [word for one in files for word in ("--journal", str(one))]
    said = examine(made, *arguments, **slow, MAX_MESSAGES="1")
    assert {"work-outlasts-visibility", "late-finishes", "completed-in-dlq"} <= rules(said)
    assert numbers(said, "work-outlasts-visibility")["work_p99_seconds"] == pytest.approx(
        2, abs=0.3
    )
    assert numbers(said, "late-finishes")["stale_deletes"] == 2
    assert numbers(said, "completed-in-dlq") == {"completed": 1}
    looked = examine(made, "--peek", *arguments, **slow, MAX_MESSAGES="1")
    told = next(one for one in looked["findings"] if one["rule"] == "completed-in-dlq")
    assert key in told["what"]
    assert "of 1 that were opened" in told["what"]


@pytest.mark.slow
def test_a_batch_that_outlasts_its_visibility_and_a_grace_that_is_too_short(
    queue_set: QueueSets, run_consumer: Run, examine: Examine, journal: Path
) -> None:
    made = sound(queue_set(visibility=2, wait=20, max_receive_count=5))
    made.send_many(10)
    slow = {"SLEEP_MIN_SECONDS": "0.3", "SLEEP_MAX_SECONDS": "0.3", "WAIT_TIME_SECONDS": "1"}
    slow |= {"SHUTDOWN_GRACE_SECONDS": "1.2", "JOURNAL_PATH": str(journal)}
    done = run_consumer({**made.env, **SENSIBLE, **slow, "MESSAGE_LIMIT": "10"})
    assert done.code == 0, done.output
    said = examine(made, **slow)
    assert {"batch-outlasts-visibility", "grace", "late-finishes"} <= rules(said)
    held = numbers(said, "batch-outlasts-visibility")
    assert held["hold_seconds"] == pytest.approx(3, abs=0.4)
    assert held["max_messages"] == 10


@pytest.mark.slow
def test_lanes_that_nothing_feeds_and_a_batch_of_one(
    healthy: QueueSet, run_consumer: Run, examine: Examine, journal: Path
) -> None:
    healthy.send_many(3)
    told = {"CONCURRENCY": "4", "JOURNAL_PATH": str(journal)}
    done = run_consumer({**healthy.env, **SENSIBLE, **told, "MESSAGE_LIMIT": "3"})
    assert done.code == 0, done.output
    assert rules(examine(healthy, **told)) == {"idle-lanes"}
    assert "one-at-a-time" in rules(examine(healthy, **told, MAX_MESSAGES="1"))


@pytest.mark.slow
def test_receives_that_were_spent_by_a_kill(
    queue_set: QueueSets, start_consumer: Start, run_consumer: Run, examine: Examine, journal: Path
) -> None:
    made = sound(queue_set(visibility=2, wait=20, max_receive_count=2))
    made.send_many(3)
    told = {**SENSIBLE, "WAIT_TIME_SECONDS": "1", "JOURNAL_PATH": str(journal)}
    slow = {"SLEEP_MIN_SECONDS": "60", "SLEEP_MAX_SECONDS": "60"}
    first = start_consumer({**made.env, **told, **slow})
    wait_for(lambda: journal.exists() and "work_started" in journal.read_text(), what="work")
    said = examine(made, **told)
    assert "ended-without-stop" not in rules(said), "it is alive"
    first.kill()
    done = run_consumer({**made.env, **told, "MESSAGE_LIMIT": "3"})
    assert done.code == 0, done.output
    said = examine(made, **told)
    assert {"ended-without-stop", "receives-spent-unfailed"} <= rules(said)
    spent = numbers(said, "receives-spent-unfailed")
    assert (spent["messages"], spent["worst"]) == (3, 1)
    assert numbers(said, "ended-without-stop")["killed"] == 1


@pytest.mark.slow
def test_receives_that_were_spent_by_a_stop_and_a_crash(
    queue_set: QueueSets, start_consumer: Start, run_consumer: Run, examine: Examine, journal: Path
) -> None:
    """Given back by SIGTERM, then crashed with: dead-lettered without having failed."""
    made = sound(queue_set(visibility=2, wait=20, max_receive_count=2))
    made.send_many(2)
    told = {**SENSIBLE, "WAIT_TIME_SECONDS": "1", "JOURNAL_PATH": str(journal)}
    slow = {"SLEEP_MIN_SECONDS": "1", "SLEEP_MAX_SECONDS": "1"}
    first = start_consumer({**made.env, **told, **slow})
    wait_for(lambda: journal.exists() and "work_started" in journal.read_text(), what="work")
    first.signal(signal.SIGTERM)
    assert first.wait().code == 0
    assert run_consumer({**made.env, **told, "CRASH_AT": "after-receive"}).code == 86
    done = run_consumer({**made.env, **told, "IDLE_TIMEOUT_SECONDS": "3"})
    assert done.code == 0, done.output
    said = examine(made, **told)
    assert numbers(said, "receives-spent-unfailed")["dead_lettered"] == 1
    assert "dlq-holds" in rules(said)
    assert numbers(said, "ended-without-stop")["crashed"] == 1


@pytest.mark.slow
def test_a_torn_journal_and_one_of_another_queue(
    seen: QueueSet, journal: Path, examine: Examine, queue_set: QueueSets
) -> None:
    with journal.open("a") as file:
        file.write('{"t": 1, "who"')
    assert rules(examine(seen, JOURNAL_PATH=str(journal))) == {"journal-torn"}
    other = sound(queue_set(visibility=30, wait=20, max_receive_count=5))
    said = examine(other, JOURNAL_PATH=str(journal))
    assert any("of another queue" in one["reason"] for one in said["not_known"])
    assert said["code"] == cli.Exit.NOT_KNOWN


@pytest.fixture
def run_doctor(nursery: Nursery) -> Callable[..., Finished]:
    def run(env: Mapping[str, str], *arguments: str) -> Finished:
        return nursery.start(DOOR, arguments, env).wait()

    return run


def test_the_door_in_plain_text(healthy: QueueSet, run_doctor: Callable[..., Finished]) -> None:
    env = {**healthy.env, **SENSIBLE, "CRASH_RATE": "1", "JOURNAL_PATH": "/nowhere/j.jsonl"}
    done = run_doctor({**env, "ENV_FILE": "/dev/null"})
    assert done.code == cli.Exit.FINDINGS, done.output
    assert "QUEUE_URL is set in the environment" in done.stdout
    assert "DANGER   failure-knobs" in done.stdout
    assert "NOT KNOWN journal /nowhere/j.jsonl: No such file or directory" in done.stdout
    assert "1 danger, 0 warnings, 0 notes" in done.stdout
    assert "\x1b" not in done.stdout
    assert not done.stderr


@pytest.mark.parametrize(
    ("env", "arguments", "said"),
    [
        ({"QUEUE_URL": ""}, [], "QUEUE_URL: not set"),
        ({"MAX_MESSAGES": "11"}, [], "MAX_MESSAGES='11': must be a whole number from 1 to 10"),
        ({"MAX_MESAGES": "1"}, [], "did you mean MAX_MESSAGES?"),
        ({}, ["--journal", "/nowhere"], "'/nowhere': no such file"),
        ({}, ["--fail-on", "panic"], "invalid choice: 'panic'"),
    ],
)
def test_what_is_refused(
    env: dict[str, str],
    arguments: list[str],
    said: str,
    run_doctor: Callable[..., Finished],
) -> None:
    reach = {"QUEUE_URL": "http://127.0.0.1:9/000000000000/q", "ENV_FILE": ""}
    done = run_doctor({**reach, **env}, *arguments)
    assert done.code == cli.Exit.SETTINGS
    assert said in done.stderr
    assert not done.stdout


def test_no_queue_no_endpoint_no_credentials(
    healthy: QueueSet, run_doctor: Callable[..., Finished], aws_env: dict[str, str]
) -> None:
    gone = {**aws_env, "QUEUE_URL": healthy.queue_url + "-gone"}
    nobody = {**gone, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    nameless = {name: v for name, v in gone.items() if name != "AWS_ACCESS_KEY_ID"}
    for env, words in (
        (gone, "there is no such queue"),
        (nobody, "Could not connect"),
        (nameless, "redentials"),
    ):
        done = run_doctor(env)
        assert done.code == cli.Exit.AWS, done.output
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not done.stdout


@pytest.mark.parametrize(
    ("severities", "unanswered", "fail_on", "allow", "code"),
    [
        ([], 0, "warning", False, cli.Exit.HEALTHY),
        ([], 1, "warning", False, cli.Exit.NOT_KNOWN),
        ([], 1, "warning", True, cli.Exit.HEALTHY),
        (["NOTE"], 0, "warning", False, cli.Exit.HEALTHY),
        (["NOTE"], 0, "note", False, cli.Exit.FINDINGS),
        (["WARNING"], 1, "warning", True, cli.Exit.FINDINGS),
        (["WARNING"], 1, "danger", False, cli.Exit.NOT_KNOWN),
        (["DANGER"], 0, "danger", True, cli.Exit.FINDINGS),
    ],
)
def test_the_exit_code(
    severities: list[str], unanswered: int, fail_on: str, allow: bool, code: cli.Exit
) -> None:
    findings = tuple(Finding(Severity[name], "what", "why", "set") for name in severities)
    diagnosis = Diagnosis(findings, (Unanswered("rule", "asks?", "why"),) * unanswered, 57)
    assert cli.verdict(diagnosis, Severity[fail_on.upper()], allow=allow) is code


def test_make_doctor_runs_it() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\t@$(BIN)/python scripts/doctor.py $(ARGS)\n" in makefile
    assert sys.version_info >= (3, 11)
