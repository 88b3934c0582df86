"""An intent is there exactly where its completion is, once, until somebody settles it."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sqs_worker.ledger import DynamoLedger
from sqs_worker.message import message_id
from sqs_worker.outbox import ROWS, Intent, Outbox
from sqs_worker.ports import Claim, Completion, LedgerDown
from support.fakes import LOST, ScriptedDynamo, a_message, no_answer, refusal

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


@pytest.mark.parametrize("answer", [{}, {"Responses": None}, {"ResponseMetadata": {}}])
def test_an_answer_that_is_not_from_dynamodb(made: Set, answer: dict[str, Any]) -> None:
    """botocore makes an empty answer of a page in HTML: neither no intent nor a settled one."""
    made.dynamo.then(*[answer] * 3)
    for call in (
        made.outbox.pending,
        lambda: made.outbox.settle([Intent("m-1", 7)]),
        lambda: made.outbox.park(Intent("m-1", 7)),
    ):
        with pytest.raises(LedgerDown):
            call()


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_a_refusal_of_a_look_or_a_write_says_whether_it_was_throttled(made: Set, code: str) -> None:
    made.dynamo.then(*[refusal(code)] * 3)
    for call in (
        made.outbox.pending,
        lambda: made.outbox.settle([Intent("m-1", 7)]),
        lambda: made.outbox.park(Intent("m-1", 7)),
    ):
        with pytest.raises(LedgerDown) as caught:
            call()
        assert caught.value.throttled is (code == "ThrottlingException")


class TestParked:
    @pytest.fixture
    def intents(self, made: Set) -> list[Intent]:
        ledger = made.ledger()
        for number in range(20):
            ledger.complete([a_message(f"m-{number}", body=BODY)])
        return made.outbox.pending()

    def row(self, made: Set, name: str) -> dict[str, set[str]]:
        key = {"message_id": {"S": name}}
        item = made.dynamo._real.get_item(TableName=made.status, Key=key)["Item"]
        return {name: set(value["SS"]) for name, value in item.items() if "SS" in value}

    def retry(self, made: Set, row: str) -> None:
        """The command of plans/external-effects.md."""
        made.dynamo._real.update_item(
            TableName=made.status,
            Key={"message_id": {"S": row}},
            UpdateExpression="SET retry = parked REMOVE parked",
            ConditionExpression="attribute_exists(parked) AND attribute_not_exists(retry)",
        )

    def test_it_is_kept_and_is_not_pending(self, made: Set, intents: list[Intent]) -> None:
        made.outbox.park(intents[0])
        assert intents[0] not in made.outbox.pending()
        assert len(made.outbox.pending()) == 19
        assert self.row(made, intents[0].row)["parked"] == {intents[0].text}

    def test_it_is_tried_again_when_a_person_says_so(
        self, made: Set, intents: list[Intent]
    ) -> None:
        for intent in intents:
            made.outbox.park(intent)
        one = [intent for intent in intents if intent.row == intents[0].row]
        self.retry(made, one[0].row)
        assert set(made.outbox.pending()) == set(one)
        made.outbox.park(one[0])
        made.outbox.settle(one[1:])
        assert self.row(made, one[0].row) == {"parked": {one[0].text}}

    def test_what_another_settled_meanwhile_is_not_parked(
        self, made: Set, intents: list[Intent]
    ) -> None:
        made.outbox.settle(intents)
        made.outbox.park(intents[0])
        assert self.row(made, intents[0].row) == {}

    def test_what_another_parked_meanwhile_can_be_settled(
        self, made: Set, intents: list[Intent]
    ) -> None:
        Outbox(made.dynamo, made.status).park(intents[0])
        made.outbox.settle(intents[:1])
        assert intents[0].text not in self.row(made, intents[0].row).get("parked", set())

    def test_every_look_knows_and_says_a_change_once(
        self, made: Set, intents: list[Intent], caplog: pytest.LogCaptureFixture
    ) -> None:
        for intent in intents[:2]:
            made.outbox.park(intent)
        for _ in range(3):
            made.outbox.pending()
        (record,) = caplog.records
        assert "2 orders are parked" in record.getMessage()
        assert intents[0].row in record.getMessage()
        assert "m-" not in record.getMessage().replace(made.status, "")


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"order": 1, "amount": 2}', '{"order":"a","amount":2}', "["]
)
def test_a_text_that_is_no_intent_holds_up_no_other(
    made: Set, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    made.ledger().complete([a_message(body=BODY)])
    made.dynamo.then(lambda answer: _with(answer, made.status, text))
    assert made.outbox.pending() == [Intent("m-1", 7)]
    assert "1 intents" in caplog.text


def _with(answer: Any, table: str, text: str) -> Any:
    row = {"message_id": {"S": "outbox#00"}, "pending": {"SS": [text]}}
    answer["Responses"][table].append(row)
    return answer


def test_a_row_that_is_nearly_full_stops_completions_and_not_deliveries(made: Set) -> None:
    """At 400 KB DynamoDB would refuse them, at the price of a receive each."""
    ledger, message = made.ledger(), a_message(body=BODY)
    many = [Intent(f"{number:04}" + "x" * 2000, 1) for number in range(200)]
    row = {"message_id": {"S": many[0].row}, "pending": {"SS": [one.text for one in many]}}
    made.dynamo.then({"Responses": {made.status: [row]}, "ConsumedCapacity": [{}]})
    assert set(made.outbox.pending()) == set(many)
    with pytest.raises(LedgerDown, match=f"row {many[0].row} of {made.status}") as caught:
        ledger.complete([message])
    assert not caught.value.passing
    made.outbox.settle(many[:1])
    made.outbox.pending()
    assert ledger.complete([message]) == [Completion.EFFECT]


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
