"""An intent is there exactly where its completion is, once, until somebody settles it."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import boto3
import pytest
from moto import mock_aws

from support.doubles import LOST, ScriptedDynamo, a_message, no_answer
from worker.ledger import DynamoLedger
from worker.message import message_id
from worker.outbox import ROWS, Intent, Outbox
from worker.ports import Claim, Completion, LedgerDown

_names = count(1)
BODY = '{"work": 7}'


@pytest.fixture(scope="module")
def real() -> Iterator[Any]:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    with mock_aws():
        yield boto3.client("dynamodb", region_name="us-west-1", **keys)


class Set:
    """Two fresh tables, with an outbox in one of them."""

    def __init__(self, real: Any) -> None:
        self.dynamo: Any = ScriptedDynamo(real=real)
        number = next(_names)
        self.status, self.completed = f"outbox-status-{number}", f"outbox-completed-{number}"
        for table in (self.status, self.completed):
            real.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        self.outbox = Outbox(self.dynamo, self.status)

    def ledger(self, *, transactional: bool = True, outbox: bool = True) -> DynamoLedger:
        return DynamoLedger(
            self.dynamo,
            (self.status, self.completed),
            transactional=transactional,
            joining=lambda m: [self.outbox.write(m)] if outbox else [],
        )


@pytest.fixture
def made(real: Any) -> Set:
    return Set(real)


def test_the_intent_comes_with_the_completion(made: Set) -> None:
    message = a_message(body=BODY)
    ledger = made.ledger()
    assert ledger.claim([message]) == [Claim.CLAIMED]
    assert made.outbox.pending() == []
    assert ledger.complete([message]) == [Completion.EFFECT]
    assert made.outbox.pending() == [Intent("m-1", 7)]
    assert made.dynamo.names.count("transact_write_items") == 1


def test_a_second_completion_adds_none(made: Set) -> None:
    ledger = made.ledger()
    message = a_message(body=BODY)
    ledger.complete([message])
    made.outbox.settle(made.outbox.pending())
    assert ledger.complete([a_message(body=BODY)]) == [Completion.ALREADY_DONE]
    assert made.outbox.pending() == []


def test_a_completion_whose_answer_is_lost_has_its_intent_once(made: Set) -> None:
    ledger = made.ledger()
    made.dynamo.then(LOST)
    with pytest.raises(LedgerDown):
        ledger.complete([a_message(body=BODY)])
    assert made.outbox.pending() == [Intent("m-1", 7)]


def test_a_completion_that_failed_has_none(made: Set) -> None:
    made.dynamo.then(no_answer())
    with pytest.raises(LedgerDown):
        made.ledger().complete([a_message(body=BODY)])
    assert made.outbox.pending() == []


def test_the_repair_of_half_a_completion_brings_the_intent(made: Set) -> None:
    """A consumer in plain mode wrote the gate and died; the effect was never written."""
    message = a_message(body=BODY)
    made.ledger(transactional=False, outbox=False).record([message])
    assert made.ledger().complete([a_message(body=BODY)]) == [Completion.EFFECT]
    assert made.outbox.pending() == [Intent("m-1", 7)]


@pytest.mark.parametrize("claimed", [True, False], ids=["deleted before its claim", "after it"])
def test_a_status_row_that_was_deleted_brings_no_second_intent(made: Set, claimed: bool) -> None:
    ledger, again = made.ledger(), a_message(body=BODY)
    ledger.complete([a_message(body=BODY)])
    made.outbox.settle(made.outbox.pending())
    made.dynamo._real.delete_item(TableName=made.status, Key={"message_id": {"S": "m-1"}})
    if claimed:
        assert ledger.claim([again]) == [Claim.CLAIMED]
    assert ledger.complete([again]) == [Completion.ALREADY_DONE]
    assert made.outbox.pending() == []


def test_what_is_settled_leaves_and_the_others_stay(made: Set) -> None:
    ledger = made.ledger()
    for number in range(3 * ROWS):
        ledger.complete([a_message(f"m-{number}", body=BODY)])
    pending = made.outbox.pending()
    assert len(pending) == len({intent.order for intent in pending}) == 3 * ROWS
    assert len({intent.row for intent in pending}) > ROWS / 2
    made.outbox.settle(pending[5:])
    made.outbox.settle(pending[5:])
    assert made.outbox.pending() == pending[:5]


def test_a_look_is_one_consistent_call(made: Set) -> None:
    made.outbox.pending()
    ((name, request),) = made.dynamo.calls
    assert name == "batch_get_item"
    (keys,) = request["RequestItems"].values()
    assert keys["ConsistentRead"]
    assert len(keys["Keys"]) == ROWS


def test_a_table_that_does_not_answer(made: Set) -> None:
    made.dynamo.then(no_answer(), no_answer())
    with pytest.raises(LedgerDown):
        made.outbox.pending()
    with pytest.raises(LedgerDown):
        made.outbox.settle([Intent("m-1", 7)])


def test_no_message_can_have_the_key_of_an_outbox_row() -> None:
    key = Intent("m-1", 7).row
    assert message_id(f'{{"id": "{key}"}}', "sqs").startswith("sha256:")


def test_messages_of_one_business_key_have_the_same_intent() -> None:
    one, other = (replace(a_message(m, body=BODY), business_key="key#a") for m in ("m-1", "m-2"))
    assert Intent.of(one) == Intent.of(other)
    assert Intent.of(one).request.key == "key#a"


def test_every_delivery_of_a_message_has_the_same_intent() -> None:
    assert Intent.of(a_message(body=BODY)) == Intent.of(a_message(body=BODY))
    assert Intent.of(a_message(body=BODY)).request.key == "m-1"
