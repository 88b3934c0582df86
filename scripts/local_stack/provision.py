"""Creates the five sets with boto3 as terraform/main.tf does; knows no process and writes no file.

The one place that passes an endpoint to a client: whatever the caller's environment holds, nothing
here may reach AWS. tests/terraform/test_parity.py compares the result with Terraform's plan.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

from local_stack.blueprint import Blueprint, SetSpec, read_blueprint

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

CREDENTIAL = "local"  # MiniStack takes any; only 12 digits would mean another account
# The AWS provider 5.x cannot set more than this, its default; SQS itself allows 1 MiB.
MAXIMUM_MESSAGE_BYTES = 262144


def child_environment(endpoint: str, region: str) -> dict[str, str]:
    """What a child process needs to reach the stack, and nothing by which it could reach AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": CREDENTIAL,
        "AWS_SECRET_ACCESS_KEY": CREDENTIAL,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def local_session(region: str) -> boto3.Session:
    """A session that reads no profile, config or credentials file of the caller."""
    core = botocore.session.Session(
        {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    return boto3.Session(
        aws_access_key_id=CREDENTIAL,
        aws_secret_access_key=CREDENTIAL,
        region_name=region,
        botocore_session=core,
    )


def provision(endpoint: str, blueprint: Blueprint | None = None) -> dict[str, Any]:
    """Create what is missing, correct what differs; answer as ``terraform output -json`` does."""
    plan = blueprint or read_blueprint()
    session = local_session(plan.aws_region)
    direct = Config(proxies={}, retries={"total_max_attempts": 3, "mode": "standard"})
    sqs = session.client("sqs", endpoint_url=endpoint, config=direct)
    dynamodb = session.client("dynamodb", endpoint_url=endpoint, config=direct)
    scenarios = {spec.name: _create_set(sqs, dynamodb, plan, spec) for spec in plan.sets}
    values = {
        "aws_region": plan.aws_region,
        "queue_url": scenarios["happy"]["queue_url"],
        "scenarios": scenarios,
        "settings": _settings(plan),
    }
    return {
        name: {"sensitive": False, "type": _type(value), "value": value}
        for name, value in values.items()
    }


def _type(value: Any) -> Any:
    """The type of an output as Terraform writes it down."""
    if isinstance(value, dict):
        return ["object", {name: _type(inner) for name, inner in value.items()}]
    return {bool: "bool", int: "number", str: "string"}[type(value)]


def _settings(plan: Blueprint) -> dict[str, Any]:
    sets = {spec.name: asdict(spec) for spec in plan.sets}
    for fields in sets.values():
        del fields["name"]
    return {
        "queue_receive_wait": plan.queue_receive_wait,
        "queue_visibility_timeout": plan.queue_visibility_timeout,
        "sets": sets,
    }


def _create_set(
    sqs: SQSClient, dynamodb: DynamoDBClient, plan: Blueprint, spec: SetSpec
) -> dict[str, str]:
    base = f"{plan.project_name}-{spec.name}"
    tags = {**plan.tags, "Project": plan.project_name, "Set": spec.name}
    dlq_url, dlq_arn = _create_queue(sqs, f"{base}-queue-dlq", tags)
    queue_url, queue_arn = _create_queue(sqs, f"{base}-queue", tags)
    _set_attributes(sqs, queue_url, queue_attributes(plan, spec, queue_arn, dlq_arn))
    _set_attributes(sqs, dlq_url, dlq_attributes(plan, spec, queue_arn, dlq_arn))
    tables = {
        f"message_{purpose}_table": _create_table(dynamodb, f"{base}-message-{purpose}", tags)
        for purpose in ("status", "completed")
    }
    return {"queue_url": queue_url, "dlq_arn": dlq_arn, **tables}


def queue_attributes(
    plan: Blueprint, spec: SetSpec, queue_arn: str, dlq_arn: str
) -> dict[QueueAttributeNameType, str]:
    """Attributes of a set's queue, as SetQueueAttributes takes them."""
    redrive = {"deadLetterTargetArn": dlq_arn, "maxReceiveCount": spec.max_receive_count}
    return {
        **_common_attributes(plan, spec.message_retention_seconds, queue_arn),
        "ReceiveMessageWaitTimeSeconds": str(plan.queue_receive_wait),
        "RedrivePolicy": json.dumps(redrive),
    }


def dlq_attributes(
    plan: Blueprint, spec: SetSpec, queue_arn: str, dlq_arn: str
) -> dict[QueueAttributeNameType, str]:
    """Attributes of a set's dead-letter queue."""
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [queue_arn]}
    return {
        **_common_attributes(plan, spec.dlq_message_retention_seconds, dlq_arn),
        "RedriveAllowPolicy": json.dumps(allow),
    }


def _common_attributes(
    plan: Blueprint, retention: int, arn: str
) -> dict[QueueAttributeNameType, str]:
    return {
        "VisibilityTimeout": str(plan.queue_visibility_timeout),
        "MessageRetentionPeriod": str(retention),
        "MaximumMessageSize": str(MAXIMUM_MESSAGE_BYTES),
        "SqsManagedSseEnabled": "true",
        "Policy": json.dumps(tls_only(arn)),
    }


def tls_only(arn: str) -> dict[str, Any]:
    """The queue policy that refuses plain HTTP."""
    statement = {
        "Sid": "RefusePlainHttp",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _create_queue(sqs: SQSClient, name: str, tags: dict[str, str]) -> tuple[str, str]:
    # Without attributes the call is idempotent; with them it refuses a queue that differs.
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    if sqs.list_queue_tags(QueueUrl=url).get("Tags", {}) != tags:
        sqs.tag_queue(QueueUrl=url, Tags=tags)
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, answer["Attributes"]["QueueArn"]


def _set_attributes(sqs: SQSClient, url: str, wanted: dict[QueueAttributeNameType, str]) -> None:
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    changed = {name: value for name, value in wanted.items() if found.get(name) != value}
    if changed:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=changed)


def _create_table(dynamodb: DynamoDBClient, name: str, tags: dict[str, str]) -> str:
    try:
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
            DeletionProtectionEnabled=False,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    except dynamodb.exceptions.ResourceInUseException:
        pass  # an earlier run made it; what that run may not have reached is set below
    _set_time_to_live(dynamodb, name)
    _set_recovery(dynamodb, name)
    return name


def _set_time_to_live(dynamodb: DynamoDBClient, name: str) -> None:
    found = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if found.get("TimeToLiveStatus") != "ENABLED":
        dynamodb.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"},
        )


def _set_recovery(dynamodb: DynamoDBClient, name: str) -> None:
    answer = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    found = answer.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    if found != "ENABLED":
        dynamodb.update_continuous_backups(
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
