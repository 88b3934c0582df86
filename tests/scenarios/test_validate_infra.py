"""make validate sees each thing that is wrong, alone, and says what it expected instead."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.infra import SetupError, find_target
from local_aws import Stack, provision
from local_stack.blueprint import read_blueprint
from local_stack.provision import local_session
from support.environment import base_environment
from support.queues import REGION
from validate_infra import examine

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.integration


@dataclass
class OneSet:
    """The happy set alone, under a project name of its own."""

    names: dict[str, str]
    outputs: Path
    env: dict[str, str]
    sqs: SQSClient
    dynamodb: DynamoDBClient

    @property
    def dlq_url(self) -> str:
        return self.names["queue_url"] + "-dlq"

    def wrong(self) -> list[tuple[str, str, str]]:
        """(attribute, expected, seen) of what is not ok."""
        findings = examine(find_target(self.outputs, self.env))
        assert len(findings) > 10 or not all(finding.ok for finding in findings)
        return [(one.attribute, one.expected, one.seen) for one in findings if not one.ok]

    def queue(self, **attributes: str) -> None:
        self.sqs.set_queue_attributes(QueueUrl=self.names["queue_url"], Attributes=attributes)  # type: ignore[arg-type]

    def dlq(self, **attributes: str) -> None:
        self.sqs.set_queue_attributes(QueueUrl=self.dlq_url, Attributes=attributes)  # type: ignore[arg-type]


@pytest.fixture
def one_set(
    stack: Stack, aws_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> OneSet:
    plan = read_blueprint()
    happy = tuple(spec for spec in plan.sets if spec.name == "happy")
    plan = replace(plan, project_name=f"v-{uuid.uuid4().hex[:8]}", sets=happy)
    outputs = provision(stack.endpoint, plan)
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(outputs))
    for name, value in aws_env.items():
        monkeypatch.setenv(name, value)
    session = local_session(REGION)
    return OneSet(
        outputs["scenarios"]["value"]["happy"],
        file,
        aws_env,
        session.client("sqs", endpoint_url=stack.endpoint),
        session.client("dynamodb", endpoint_url=stack.endpoint),
    )


def door(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scenarios" / "validate_infra.py"), *arguments],
        env={**base_environment(), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.smoke
def test_all_ok(one_set: OneSet) -> None:
    done = door(["--outputs", str(one_set.outputs)], one_set.env)
    assert done.returncode == 0, done.stderr
    assert "23 checks on 1 sets: all ok" in done.stdout
    assert "NOT OK" not in done.stdout


@pytest.mark.smoke
def test_not_ok_shows_expected_and_seen(one_set: OneSet) -> None:
    one_set.queue(VisibilityTimeout="11")
    done = door(["--quiet", "--outputs", str(one_set.outputs)], one_set.env)
    assert done.returncode == 1
    row = next(line for line in done.stdout.splitlines() if "NOT OK" in line)
    assert row.split() == ["NOT", "OK", "visibility", "timeout", "10", "s", "11", "s"]
    assert "23 checks on 1 sets: 1 not ok" in done.stdout


def test_nothing_to_read_is_another_exit_code(tmp_path: Path) -> None:
    done = door(["--outputs", str(tmp_path / "none.json")], {})
    assert done.returncode == 2
    assert done.stderr.startswith("validate_infra: ")
    assert done.stderr.count("\n") == 1


def test_endpoint_down_is_one_line(one_set: OneSet) -> None:
    env = {**one_set.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    done = door(["--outputs", str(one_set.outputs)], env)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_outputs_without_settings_are_refused(one_set: OneSet) -> None:
    outputs = json.loads(one_set.outputs.read_text())
    del outputs["settings"]
    one_set.outputs.write_text(json.dumps(outputs))
    with pytest.raises(SetupError, match="lack 'settings'"):
        examine(find_target(one_set.outputs, one_set.env))


def redrive(to: str, after: int) -> str:
    arn = f"arn:aws:sqs:{REGION}:000000000000:{to}"
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": after})


def other_queue(one: OneSet) -> str:
    one.sqs.create_queue(QueueName="v-other")
    return "v-other"


def allow(*sources: str) -> str:
    arns = [f"arn:aws:sqs:{REGION}:000000000000:{source}" for source in sources]
    return json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": arns})


def weaker_policy(one: OneSet) -> str:
    """The same words, for one action only."""
    answer = one.sqs.get_queue_attributes(
        QueueUrl=one.names["queue_url"], AttributeNames=["Policy"]
    )
    return answer["Attributes"]["Policy"].replace("sqs:*", "sqs:SendMessage")


def name(one: OneSet) -> str:
    return one.names["queue_url"].rpartition("/")[2]


Change = Callable[[OneSet], Any]
CHANGES: list[tuple[str, str, Change]] = [
    ("visibility timeout", "9 s", lambda one: one.queue(VisibilityTimeout="9")),
    ("receive wait", "0 s", lambda one: one.queue(ReceiveMessageWaitTimeSeconds="0")),
    ("retention", "60 s", lambda one: one.queue(MessageRetentionPeriod="60")),
    (
        "redrive target",
        "v-other",
        lambda one: one.queue(RedrivePolicy=redrive(other_queue(one), 2)),
    ),
    (
        "redrive after",
        "3 receives",
        lambda one: one.queue(RedrivePolicy=redrive(f"{name(one)}-dlq", 3)),
    ),
    ("encryption", "none", lambda one: one.queue(SqsManagedSseEnabled="false")),
    (
        "encryption",
        "alias/mine",
        lambda one: one.queue(SqsManagedSseEnabled="false", KmsMasterKeyId="alias/mine"),
    ),
    ("plain HTTP", "allowed", lambda one: one.queue(Policy="{}")),
    ("plain HTTP", "allowed", lambda one: one.queue(Policy=weaker_policy(one))),
    ("retention", "345600 s", lambda one: one.dlq(MessageRetentionPeriod="345600")),
    (
        "redrive from",
        "allowAll",
        lambda one: one.dlq(RedriveAllowPolicy='{"redrivePermission": "allowAll"}'),
    ),
    ("redrive from", "byQueue v-x", lambda one: one.dlq(RedriveAllowPolicy=allow("v-x"))),
    ("encryption", "none", lambda one: one.dlq(SqsManagedSseEnabled="false")),
    ("plain HTTP", "allowed", lambda one: one.dlq(Policy="{}")),
    (
        "expiry",
        "off",
        lambda one: one.dynamodb.update_time_to_live(
            TableName=one.names["message_status_table"],
            TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
        ),
    ),
    (
        "point-in-time recovery",
        "off",
        lambda one: one.dynamodb.update_continuous_backups(
            TableName=one.names["message_completed_table"],
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
        ),
    ),
    (
        "billing",
        "PROVISIONED",
        lambda one: one.dynamodb.update_table(
            TableName=one.names["message_status_table"],
            BillingMode="PROVISIONED",
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        ),
    ),
    ("exists", "no", lambda one: one.sqs.delete_queue(QueueUrl=one.names["queue_url"])),
    ("exists", "no", lambda one: one.sqs.delete_queue(QueueUrl=one.dlq_url)),
    (
        "exists",
        "no",
        lambda one: one.dynamodb.delete_table(TableName=one.names["message_status_table"]),
    ),
    (
        "exists",
        "no",
        lambda one: one.dynamodb.delete_table(TableName=one.names["message_completed_table"]),
    ),
]


@pytest.mark.parametrize(
    ("attribute", "seen", "change"), CHANGES, ids=[f"{row[0]}-{row[1]}" for row in CHANGES]
)
def test_each_change_alone_is_seen(
    one_set: OneSet, attribute: str, seen: str, change: Change
) -> None:
    assert one_set.wrong() == []
    change(one_set)
    assert [(found[0], found[2]) for found in one_set.wrong()] == [(attribute, seen)]


def test_another_key_is_seen(one_set: OneSet) -> None:
    table = one_set.names["message_completed_table"]
    one_set.dynamodb.delete_table(TableName=table)
    one_set.dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    assert one_set.wrong() == [
        ("key", "message_id (S)", "id (N)"),
        ("expiry", "expires_at", "off"),
        ("point-in-time recovery", "on", "off"),
    ]
