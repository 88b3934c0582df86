"""The loop that a careful person writes first: five calls a message, one after the other.

It keeps the same two tables and the same order of writes as the consumer. It asks for consumed
capacity, which costs nothing, so that its write units can be counted.
"""

from __future__ import annotations

import json
import time
from typing import Any

from metered import Tools, run


def loop(tools: Tools) -> int:
    """Messages finished; each is received, claimed, gated, completed and deleted on its own."""
    finished = 0
    while True:
        answer = tools.sqs.receive_message(
            QueueUrl=tools.queue_url, MaxNumberOfMessages=1, WaitTimeSeconds=0
        )
        for message in answer.get("Messages", []):
            handle(tools, message)
            finished += 1
        if finished >= tools.limit:
            return finished


def handle(tools: Tools, message: dict[str, Any]) -> None:
    """STARTED, the gate, COMPLETED, delete."""
    identity = {"S": json.loads(message["Body"])["id"]}
    now = {"N": f"{time.time():.3f}"}
    tools.dynamodb.put_item(
        TableName=tools.status_table,
        Item={"message_id": identity, "status": {"S": "STARTED"}, "first_claimed_at": now},
        ConditionExpression="attribute_not_exists(message_id)",
        ReturnConsumedCapacity="TOTAL",
    )
    tools.dynamodb.put_item(
        TableName=tools.completed_table,
        Item={"message_id": identity, "completed_at": now},
        ConditionExpression="attribute_not_exists(message_id)",
        ReturnConsumedCapacity="TOTAL",
    )
    tools.dynamodb.update_item(
        TableName=tools.status_table,
        Key={"message_id": identity},
        UpdateExpression="SET #status = :completed, completed_at = :now ADD effects :one",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={
            ":completed": {"S": "COMPLETED"},
            ":now": now,
            ":one": {"N": "1"},
        },
        ReturnConsumedCapacity="TOTAL",
    )
    tools.sqs.delete_message(QueueUrl=tools.queue_url, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    run(loop)
