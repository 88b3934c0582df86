"""Reads a queue or a table as it is now, under the attribute names that Terraform gives them.

Judges nothing. tests/terraform/test_parity.py reads through here too, so what `make validate` sees
and what parity compares is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

Attributes = dict[str, Any]


def _yes(text: str) -> bool:
    return text == "true"


# SQS attribute: (name in Terraform, how to read the text)
QUEUE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "VisibilityTimeout": ("visibility_timeout_seconds", int),
    "ReceiveMessageWaitTimeSeconds": ("receive_wait_time_seconds", int),
    "MessageRetentionPeriod": ("message_retention_seconds", int),
    "MaximumMessageSize": ("max_message_size", int),
    "DelaySeconds": ("delay_seconds", int),
    "SqsManagedSseEnabled": ("sqs_managed_sse_enabled", _yes),
    "KmsMasterKeyId": ("kms_master_key_id", str),
    "KmsDataKeyReusePeriodSeconds": ("kms_data_key_reuse_period_seconds", int),
    "RedrivePolicy": ("redrive_policy", json.loads),
    "RedriveAllowPolicy": ("redrive_allow_policy", json.loads),
    "Policy": ("policy", json.loads),
    "FifoQueue": ("fifo_queue", _yes),
    "ContentBasedDeduplication": ("content_based_deduplication", _yes),
}
# Counts and dates, which no description of the infrastructure fixes.
PASSING = {
    "QueueArn",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
}


def read_queue(sqs: SQSClient, url: str) -> Attributes | None:
    """Attributes and tags, or None without such a queue; what QUEUE lacks keeps its SQS name."""
    try:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    except sqs.exceptions.QueueDoesNotExist:
        return None
    live: Attributes = {"name": found["QueueArn"].rpartition(":")[2]}
    for attribute, text in found.items():
        if attribute not in PASSING:
            name, read = QUEUE.get(attribute, (attribute, str))
            live[name] = read(text)
    live["tags_all"] = dict(sqs.list_queue_tags(QueueUrl=url).get("Tags", {}))
    return live


def read_table(dynamodb: DynamoDBClient, name: str) -> Attributes | None:
    """Schema, billing, expiry, recovery and tags; None when there is no such table."""
    try:
        table = dynamodb.describe_table(TableName=name)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        return None
    keys = {key["KeyType"]: key["AttributeName"] for key in table["KeySchema"]}
    stream = table.get("StreamSpecification")
    return {
        "name": table["TableName"],
        "hash_key": keys.get("HASH"),
        "range_key": keys.get("RANGE"),
        "attribute": [
            {"name": one["AttributeName"], "type": one["AttributeType"]}
            for one in table["AttributeDefinitions"]
        ],
        "billing_mode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "deletion_protection_enabled": table.get("DeletionProtectionEnabled"),
        "stream_enabled": stream and stream.get("StreamEnabled"),
        "table_class": table.get("TableClassSummary", {}).get("TableClass"),
        "server_side_encryption": table.get("SSEDescription"),
        "global_secondary_index": table.get("GlobalSecondaryIndexes"),
        "local_secondary_index": table.get("LocalSecondaryIndexes"),
        "replica": table.get("Replicas"),
        "on_demand_throughput": table.get("OnDemandThroughput"),
        **_around_the_table(dynamodb, name, table["TableArn"]),
    }


def _around_the_table(dynamodb: DynamoDBClient, name: str, arn: str) -> Attributes:
    """What DynamoDB answers in calls of their own."""
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    tags = dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]
    return {
        "ttl": [
            {
                "attribute_name": expiry.get("AttributeName"),
                # AWS takes up to an hour to enable it
                "enabled": expiry.get("TimeToLiveStatus") in ("ENABLED", "ENABLING"),
            }
        ],
        "point_in_time_recovery": [{"enabled": recovery == "ENABLED"}],
        "tags_all": {tag["Key"]: tag["Value"] for tag in tags},
    }
