"""What the closing summary says was counted where the calls were made."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from sqs_worker.events import COUNTERS, Meter, Tally, spoken, summary

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-west-1"}


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    with mock_aws():
        dynamodb = boto3.client("dynamodb", **KEYS)
        dynamodb.create_table(
            TableName="table",
            KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield


def answer(meter: Meter, operation: str, parsed: dict[str, Any]) -> dict[str, float]:
    """What the meter makes of an answer, which no emulator gives as AWS does."""
    meter._answered(f"after-call.dynamodb.{operation}", parsed)
    return meter.units.items()


def test_calls_are_counted_by_service_and_operation(aws: None) -> None:
    meter = Meter()
    sqs, dynamodb = boto3.client("sqs", **KEYS), boto3.client("dynamodb", **KEYS)
    meter.attach(sqs)
    meter.attach(dynamodb)
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.receive_message(QueueUrl=url)
    sqs.receive_message(QueueUrl=url)
    dynamodb.put_item(TableName="table", Item={"message_id": {"S": "m"}})
    assert meter.calls.items() == {
        "sqs.CreateQueue": 1,
        "sqs.ReceiveMessage": 2,
        "dynamodb.PutItem": 1,
    }


def test_each_retry_of_the_sdk_is_a_call(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    sqs = boto3.client("sqs", **KEYS)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    tries: list[int] = []

    def fail_twice(**_: Any) -> Any:
        tries.append(1)
        return Unavailable() if len(tries) < 3 else None

    sqs.meta.events.register_first("before-send.sqs.ListQueues", fail_twice)
    meter.attach(sqs)
    sqs.list_queues()
    assert meter.calls["sqs.ListQueues"] == 3


class Unavailable:
    """An HTTP 503 as botocore's endpoint hands it on."""

    status_code = 503
    headers: Mapping[str, str] = MappingProxyType({})
    content = b""
    raw = None


def test_a_clients_refused_write_costs_a_unit(aws: None) -> None:
    meter = Meter()
    dynamodb = boto3.client("dynamodb", **KEYS)
    meter.attach(dynamodb)
    item = {"message_id": {"S": "refused"}}
    dynamodb.put_item(TableName="table", Item=item)
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        dynamodb.put_item(
            TableName="table", Item=item, ConditionExpression="attribute_not_exists(message_id)"
        )
    assert meter.units["write"] == 1


@pytest.mark.parametrize(
    ("operation", "parsed", "units"),
    [
        ("UpdateItem", {"ConsumedCapacity": {"CapacityUnits": 1.0}}, {"write": 1}),
        (
            "TransactWriteItems",
            {"ConsumedCapacity": [{"CapacityUnits": 4.0}, {"CapacityUnits": 2.0}]},
            {"write": 6},
        ),
        (
            "BatchExecuteStatement",
            {
                "Responses": [{}, {"Error": {"Code": "DuplicateItem"}}],
                "ConsumedCapacity": [{"CapacityUnits": 2.0}],
            },
            {"write": 2},
        ),
        ("BatchGetItem", {"ConsumedCapacity": [{"CapacityUnits": 0.5}]}, {"read": 0.5}),
        ("GetItem", {"ConsumedCapacity": {"CapacityUnits": 0.5}}, {"read": 0.5}),
        ("UpdateItem", {}, {"write": 0}),
        ("UpdateItem", {"Error": {"Code": "ConditionalCheckFailedException"}}, {"write": 1}),
        (
            "TransactWriteItems",
            {
                "Error": {"Code": "TransactionCanceledException"},
                "CancellationReasons": [{"Code": "None"}, {"Code": "ConditionalCheckFailed"}],
            },
            {"write": 4},
        ),
        (
            "TransactWriteItems",
            {"Error": {"Code": "TransactionCanceledException"}},  # without its reasons
            {"write": 0},
        ),
        ("UpdateItem", {"Error": {"Code": "InternalServerError"}}, {"write": 0}),
    ],
)
def test_units_are_what_the_answer_reports_or_a_refusal_costs(
    operation: str, parsed: dict[str, Any], units: dict[str, float]
) -> None:
    assert answer(Meter(), operation, parsed) == units


def test_a_tally_is_safe_among_lanes() -> None:
    tally = Tally()
    with ThreadPoolExecutor(8) as lanes:
        list(lanes.map(lambda _: tally.count("received"), range(1000)))
    tally.count("received", 5)
    assert tally["received"] == 1005
    assert tally["never"] == 0
    assert tally.items() == {"received": 1005}


def test_the_summary_has_every_counter_and_the_cost() -> None:
    tally, meter = Tally(), Meter()
    tally.count("received", 3)
    tally.count("completed", 1)
    tally.count("already_done", 1)
    meter.calls.count("sqs.ReceiveMessage", 4)
    meter.calls.count("dynamodb.UpdateItem", 3)
    meter.units.count("write", 6)
    meter.units.count("read", 2)
    figures = summary(tally, meter, 0.0)
    assert set(COUNTERS) <= figures.keys()
    assert "payload_changed" in COUNTERS
    assert figures["received"] == 3
    assert figures["released"] == 0
    assert figures["calls"] == {"dynamodb.UpdateItem": 3, "sqs.ReceiveMessage": 4}
    assert figures["write_units"] == 6
    assert figures["read_units"] == 2
    # 4 requests at 0.40, 6 write units at 0.625 and 2 read units at 0.125, for 2 messages
    assert figures["usd_per_million"] == pytest.approx((1.6 + 3.75 + 0.25) / 2)
    assert figures["seconds"] > 0
    assert figures["cpu_seconds"] > 0


def test_without_a_finished_message_there_is_no_price() -> None:
    figures = summary(Tally(), Meter(), 0.0)
    assert figures["usd_per_million"] is None
    text = spoken(figures)
    assert "no message finished" in text
    assert "API calls: none" in text


def test_the_spoken_summary_names_every_counter_and_call() -> None:
    tally, meter = Tally(), Meter()
    tally.count("completed", 7)
    meter.calls.count("sqs.DeleteMessageBatch", 2)
    text = spoken(summary(tally, meter, 0.0))
    assert all(name.replace("_", " ") in text for name in COUNTERS)
    assert "completed 7" in text
    assert "sqs.DeleteMessageBatch 2" in text
    assert "$0.11 per million" in text
