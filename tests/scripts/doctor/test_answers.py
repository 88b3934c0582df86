"""What the attributes of a queue say, without a queue."""

from __future__ import annotations

import json

import pytest

from doctor import answers
from doctor.facts import Queue

ARN = "arn:aws:sqs:us-west-1:123456789012:orders"


def read(**attributes: str) -> Queue:
    return answers.queue({"QueueArn": ARN, **attributes}, ())


def test_what_is_not_said_is_what_sqs_takes() -> None:
    assert read() == Queue(name="orders", arn=ARN, visibility=30, wait=0, retention=345_600)


@pytest.mark.parametrize(
    ("attributes", "encrypted"),
    [
        ({}, False),
        ({"SqsManagedSseEnabled": "false"}, False),
        ({"SqsManagedSseEnabled": "true"}, True),
        ({"KmsMasterKeyId": "alias/aws/sqs"}, True),
        ({"SqsManagedSseEnabled": "false", "KmsMasterKeyId": "alias/aws/sqs"}, True),
    ],
)
def test_encryption(attributes: dict[str, str], encrypted: bool) -> None:
    assert read(**attributes).encrypted is encrypted


def test_policies_and_kind() -> None:
    allow = {"redrivePermission": "denyAll"}
    told = read(RedriveAllowPolicy=json.dumps(allow), Policy='{"Statement": []}', FifoQueue="true")
    assert (told.takes_from, told.policy, told.fifo) == (allow, {"Statement": []}, True)
    assert not read(FifoQueue="false").fifo


def test_a_redrive_policy_without_a_number_means_ten_receives() -> None:
    target = {"deadLetterTargetArn": f"{ARN}-dlq"}
    told = read(RedrivePolicy=json.dumps(target))
    assert (told.dlq_arn, told.max_receives) == (f"{ARN}-dlq", 10)
    told = read(RedrivePolicy=json.dumps({**target, "maxReceiveCount": "3"}))
    assert told.max_receives == 3
