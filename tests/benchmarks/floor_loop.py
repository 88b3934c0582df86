"""The floor: ten messages received, ten deleted, nothing remembered; nobody can be cheaper."""

from __future__ import annotations

from metered import Tools, run


def loop(tools: Tools) -> int:
    """Messages deleted."""
    finished = 0
    while True:
        answer = tools.sqs.receive_message(
            QueueUrl=tools.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=0
        )
        messages = answer.get("Messages", [])
        if messages:
            tools.sqs.delete_message_batch(
                QueueUrl=tools.queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                    for index, message in enumerate(messages)
                ],
            )
        finished += len(messages)
        if finished >= tools.limit:
            return finished


if __name__ == "__main__":
    run(loop)
