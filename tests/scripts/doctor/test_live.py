"""What the doctor asks AWS, and what it makes of a refusal, an absence and an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from doctor import live
from doctor.facts import Facts, Missing, Peeked, Queue, Rows, Table, Unknown
from doctor.findings import examine
from doctor.rules import RULES
from sqs_worker.message import digest_of, identity_of
from sqs_worker.rows import KEEP_SECONDS
from sqs_worker.settings import Settings, read
from support.children import ROOT

# Which permission a call needs, and the facts that its refusal takes away.
ACTIONS = {
    "sqs.GetQueueAttributes": "sqs:GetQueueAttributes",
    "sqs.ListDeadLetterSourceQueues": "sqs:ListDeadLetterSourceQueues",
    "sqs.GetQueueUrl": "sqs:GetQueueUrl",
    "dynamodb.DescribeTable": "dynamodb:DescribeTable",
    "dynamodb.DescribeTimeToLive": "dynamodb:DescribeTimeToLive",
    "dynamodb.Scan": "dynamodb:Scan",
}
PEEKING = {
    "sqs.ReceiveMessage": "sqs:ReceiveMessage",
    "sqs.ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "dynamodb.BatchGetItem": "dynamodb:BatchGetItem",
}


@dataclass(frozen=True)
class Made:
    """A queue, its DLQ and two tables in moto, and clients of the doctor's."""

    settings: Settings
    clients: live.Clients
    queue_url: str
    dlq_url: str
    calls: list[str]

    def facts(self, *, opening: bool = False, settings: Settings | None = None) -> Facts:
        evidence = Unknown("no journal")
        return live.facts(self.clients, settings or self.settings, evidence, opening=opening)

    def refuse(self, operation: str, code: str = "AccessDenied") -> None:
        """From now on this call is answered with an error."""

        def raising(**_: Any) -> None:
            error = {"Error": {"Code": code, "Message": "not you"}}
            raise ClientError(error, operation)  # type: ignore[arg-type]

        for client in (self.clients.sqs, self.clients.dynamodb):
            client.meta.events.register(f"before-call.{operation}", raising)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield _made()


def _made() -> Made:
    names = {"MESSAGE_STATUS_TABLE": "status", "MESSAGE_COMPLETED_TABLE": "completed"}
    url = "https://sqs.us-west-1.amazonaws.com/123456789012/orders"
    settings = read({"QUEUE_URL": url, "AWS_REGION": "us-west-1", **names})
    clients = live.connect(settings)
    dlq_url = clients.sqs.create_queue(QueueName="orders-dlq")["QueueUrl"]
    answer = clients.sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])
    redrive = {"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": "4"}
    clients.sqs.create_queue(QueueName="orders", Attributes={"RedrivePolicy": json.dumps(redrive)})
    for name in names.values():
        clients.dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
        )
    calls: list[str] = []
    for client in (clients.sqs, clients.dynamodb):
        client.meta.events.register_first(
            "before-send.*.*", lambda event_name, **_: calls.append(event_name[12:])
        )
    return Made(settings, clients, url, dlq_url, calls)


def test_the_facts_of_a_set(made: Made) -> None:
    facts = made.facts()
    assert isinstance(facts.queue, Queue)
    assert (facts.queue.name, facts.queue.max_receives) == ("orders", 4)
    assert (facts.queue.visibility, facts.queue.wait) == (30, 0)
    assert facts.queue.retention == 345_600
    assert facts.queue.sources == ()
    assert facts.queue.policy is None
    assert isinstance(facts.dlq, Queue)
    assert (facts.dlq.name, facts.dlq.max_receives, facts.dlq.sources) == (
        "orders-dlq",
        None,
        ("orders",),
    )
    for table in (facts.status, facts.completed):
        assert isinstance(table, Table)
        assert (table.key, table.write_units) == ("message_id (S)", None)
        assert table.expiry is None
        assert table.rows == Rows(0, None, 0)
    assert facts.row_life == KEEP_SECONDS
    assert facts.peeked is None


@pytest.mark.parametrize("operation", ACTIONS)
def test_a_refusal_is_told_and_ends_nothing(made: Made, operation: str) -> None:
    made.refuse(operation)
    facts = made.facts()
    reasons = {one.reason for one in examine(facts, RULES).unanswered}
    assert f"{ACTIONS[operation]} was refused: AccessDenied" in reasons
    assert len(reasons) == 2  # the other one is the journal that is not there


@pytest.mark.parametrize("operation", PEEKING)
def test_a_refused_look_into_the_dlq_is_told(made: Made, operation: str) -> None:
    made.clients.sqs.send_message(QueueUrl=made.dlq_url, MessageBody="{}")
    made.refuse(operation)
    peeked = made.facts(opening=True).peeked
    assert isinstance(peeked, Unknown)
    assert PEEKING[operation] in peeked.reason
    assert "AccessDenied" in peeked.reason


def test_everything_refused_is_blindness_and_no_crash(made: Made) -> None:
    for operation in (*ACTIONS, *PEEKING):
        made.refuse(operation, "AccessDeniedException")
    diagnosis = examine(made.facts(opening=True), RULES)
    assert len(diagnosis.unanswered) > 30


@pytest.mark.parametrize("code", sorted(live._NOBODY))
def test_credentials_that_nobody_knows_end_it(made: Made, code: str) -> None:
    made.refuse("sqs.GetQueueAttributes", code)
    with pytest.raises(live.Unusable, match="sqs:GetQueueAttributes"):
        made.facts()


def test_a_call_that_an_emulator_lacks_is_told(made: Made) -> None:
    made.refuse("sqs.ListDeadLetterSourceQueues", "InvalidAction")
    queue = made.facts().queue
    assert isinstance(queue, Queue)
    assert queue.sources == Unknown("this endpoint does not know sqs:ListDeadLetterSourceQueues")


def test_no_queue_ends_it(made: Made) -> None:
    made.clients.sqs.delete_queue(QueueUrl=made.queue_url)
    with pytest.raises(live.Unusable, match="there is no such queue"):
        made.facts()


def test_what_is_not_there_is_missing(made: Made) -> None:
    made.clients.sqs.delete_queue(QueueUrl=made.dlq_url)
    made.clients.dynamodb.delete_table(TableName="status")
    facts = made.facts()
    assert facts.dlq == Missing("orders-dlq")
    assert facts.status == Missing("status")


def test_no_redrive_policy_and_no_tables(made: Made) -> None:
    made.clients.sqs.set_queue_attributes(QueueUrl=made.queue_url, Attributes={"RedrivePolicy": ""})
    bare = read({"QUEUE_URL": made.queue_url, "AWS_REGION": "us-west-1"})
    facts = made.facts(settings=bare)
    assert facts.dlq is None
    assert facts.tables == {}
    assert isinstance(facts.queue, Queue)
    assert facts.queue.max_receives is None
    assert isinstance(made.facts(settings=bare, opening=True).peeked, Unknown)


def test_rows_say_how_long_they_live(made: Made) -> None:
    rows = [
        {"completed_at": {"N": "100.5"}, "expires_at": {"N": "3700"}},
        {"last_claimed_at": {"N": "100"}, "completed_at": {"N": "90"}, "expires_at": {"N": "400"}},
        {"completed_at": {"N": "100"}},
        {"completed_at": {"N": "100"}, "expires_at": {"S": "tomorrow"}},
        {"expires_at": {"N": "1"}},
    ]
    for number, row in enumerate(rows):
        item: Any = {"message_id": {"S": str(number)}, **row}
        made.clients.dynamodb.put_item(TableName="completed", Item=item)
    table = made.facts().completed
    assert isinstance(table, Table)
    assert table.rows == Rows(5, 300.0, 2)


def test_provisioned_capacity_key_and_expiry(made: Made) -> None:
    made.clients.dynamodb.delete_table(TableName="completed")
    made.clients.dynamodb.create_table(
        TableName="completed",
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 3},
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "N"},
            {"AttributeName": "at", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "id", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
    )
    made.clients.dynamodb.update_time_to_live(
        TableName="completed",
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone_at"},
    )
    table = made.facts().completed
    assert isinstance(table, Table)
    assert (table.key, table.write_units, table.expiry) == ("id (N), at (S)", 3, "gone_at")


def test_a_look_into_the_dlq_finds_the_completed_and_gives_all_back(made: Made) -> None:
    for number in range(12):
        body = json.dumps({"id": f"m-{number}"})
        made.clients.sqs.send_message(QueueUrl=made.dlq_url, MessageBody=body)
    for number in (3, 11):
        row: Any = {"message_id": {"S": f"m-{number}"}}
        made.clients.dynamodb.put_item(TableName="completed", Item=row)
    assert made.facts(opening=True).peeked == Peeked(12, ("m-3", "m-11"))
    dlq = made.facts().dlq
    assert isinstance(dlq, Queue)
    assert (dlq.visible, dlq.in_flight) == (12, 0)


def test_a_look_into_the_dlq_goes_by_the_business_key_where_there_is_one(made: Made) -> None:
    for number in range(2):
        body = json.dumps({"id": f"m-{number}", "order_id": f"o-{number}"})
        made.clients.sqs.send_message(QueueUrl=made.dlq_url, MessageBody=body)
    row: Any = {"message_id": {"S": 'key#"o-1"'}}
    made.clients.dynamodb.put_item(TableName="completed", Item=row)
    keyed = replace(made.settings, idempotency_key="order_id")
    assert made.facts(opening=True, settings=keyed).peeked == Peeked(2, ("m-1",))


def test_another_body_under_a_completed_id_is_not_completed(made: Made) -> None:
    for body in ('{"id": "m"}', '{"id": "m", "cents": 500}', '{"id": "n"}', '{"id":"o"}'):
        made.clients.sqs.send_message(QueueUrl=made.dlq_url, MessageBody=body)
    for key, body in (("m", '{"id": "m", "cents": 5}'), ("n", '{"id": "n"}')):
        row: Any = {"message_id": {"S": key}, "digest": {"S": digest_of(body)}}
        made.clients.dynamodb.put_item(TableName="completed", Item=row)
    canonical = identity_of('{"id": "o"}', "s").canonical
    row = {
        "message_id": {"S": "o"},
        "digest": {"S": "d"},
        "canonical_digest": {"S": f"d:{canonical}"},
    }
    made.clients.dynamodb.put_item(TableName="completed", Item=row)
    assert made.facts(opening=True).peeked == Peeked(4, ("n", "o"))


def test_a_look_into_an_empty_dlq(made: Made) -> None:
    assert made.facts(opening=True).peeked == Peeked(0, ())
    assert "dynamodb.BatchGetItem" not in made.calls


def test_what_was_opened_is_given_back_where_the_table_does_not_answer(made: Made) -> None:
    made.clients.sqs.send_message(QueueUrl=made.dlq_url, MessageBody="{}")
    made.refuse("dynamodb.BatchGetItem")
    made.facts(opening=True)
    dlq = made.facts().dlq
    assert isinstance(dlq, Queue)
    assert (dlq.visible, dlq.in_flight) == (1, 0)


def test_a_dlq_that_would_move_them_on_is_not_opened(made: Made) -> None:
    target = made.clients.sqs.create_queue(QueueName="last")["QueueUrl"]
    answer = made.clients.sqs.get_queue_attributes(QueueUrl=target, AttributeNames=["QueueArn"])
    redrive = {"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": "1"}
    made.clients.sqs.set_queue_attributes(
        QueueUrl=made.dlq_url, Attributes={"RedrivePolicy": json.dumps(redrive)}
    )
    peeked = made.facts(opening=True).peeked
    assert isinstance(peeked, Unknown)
    assert "would move them on" in peeked.reason
    assert "sqs.ReceiveMessage" not in made.calls


def listed() -> tuple[set[str], set[str]]:
    """The actions of the two policies on the doctor's page."""
    page = (ROOT / "plans" / "doctor.md").read_text(encoding="utf-8")
    looking, opening = re.findall(r"^```json\n(.*?)^```", page, re.M | re.S)
    found = [
        {action for one in json.loads(text)["Statement"] for action in one["Action"]}
        for text in (looking, opening)
    ]
    return found[0], found[1]


def test_the_page_lists_the_permissions_that_are_used(made: Made) -> None:
    looking, opening = listed()
    made.facts()
    assert {ACTIONS[call] for call in made.calls} == looking
    made.calls.clear()
    made.clients.sqs.send_message(QueueUrl=made.dlq_url, MessageBody="{}")
    made.calls.clear()
    made.facts(opening=True)
    assert {PEEKING[call] for call in made.calls if call not in ACTIONS} == opening


def test_no_call_of_a_mere_look_writes(made: Made) -> None:
    made.facts()
    reads = re.compile(r"(sqs|dynamodb)\.(Get|List|Describe|Scan)")
    assert len(made.calls) == 11
    assert not [call for call in made.calls if not reads.match(call)]


def test_only_one_module_builds_clients() -> None:
    folder = Path(live.__file__).parent
    knowing = [p.name for p in folder.glob("*.py") if "session.client(" in p.read_text("utf-8")]
    assert knowing == ["live.py"]
