"""Tables that the version before wrote (tests/consumer/older): read rightly, each row once."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sqs_worker.business import BusinessKey
from sqs_worker.ledger import DynamoLedger
from sqs_worker.message import Identity, Message, identity_of
from sqs_worker.outbox import Outbox
from sqs_worker.ports import Claim, Completion
from support.fakes import ScriptedDynamo, a_message
from support.older import ROWS

SAVED = json.loads(ROWS.read_text())
KEY = BusinessKey("[order_id, action]")
_names = count(1)


@pytest.fixture(scope="module")
def real() -> Iterator[Any]:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    with mock_aws():
        yield boto3.client("dynamodb", region_name="us-west-1", **keys)


class Saved:
    """The two tables as they were saved, a minute later."""

    def __init__(self, real: Any) -> None:
        number = next(_names)
        self.real = real
        self.tables = (f"older-status-{number}", f"older-completed-{number}")
        for table, kind in zip(self.tables, ("status", "completed"), strict=True):
            real.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            for item in SAVED[kind]:
                real.put_item(TableName=table, Item=item)

    def ledger(self, *, transactional: bool) -> DynamoLedger:
        return DynamoLedger(
            ScriptedDynamo(real=self.real),  # type: ignore[arg-type]
            self.tables,
            transactional=transactional,
            clock=lambda: SAVED["made_at"] + 60.0,
        )

    def rows(self, message: Message) -> list[dict[str, Any]]:
        key = {"message_id": {"S": message.key}}
        return [self.real.get_item(TableName=t, Key=key).get("Item", {}) for t in self.tables]


@pytest.fixture
def saved(real: Any) -> Saved:
    return Saved(real)


@pytest.fixture(params=[True, False], ids=["transactional", "plain"])
def ledger(request: pytest.FixtureRequest, saved: Saved) -> DynamoLedger:
    return saved.ledger(transactional=request.param)


def messages(*ends: str) -> list[Message]:
    """New deliveries of what was sent to the older version."""
    bodies = [b for name, sent in SAVED["sent"].items() if name.split("-")[1] in ends for b in sent]
    assert bodies
    return [_delivered(body, identity_of(body, "sqs-1")) for body in bodies]


def keyed() -> list[Message]:
    bodies = [b for name, sent in SAVED["sent"].items() if name.endswith("keyed") for b in sent]
    return [_delivered(body, KEY.identify(body, "sqs-1")) for body in bodies]


def _delivered(body: str, known: Identity) -> Message:
    message = a_message(known.id, body=body, receive_count=2)
    names = ("digest", "canonical", "business_key")
    return type(message)(
        **{name: getattr(message, name) for name in message.__slots__}
        | {name: getattr(known, name) for name in names}
    )


def test_what_it_completed_is_done(saved: Saved, ledger: DynamoLedger) -> None:
    for message in (*messages("done", "outbox"), *keyed()):
        before = saved.rows(message)
        assert ledger.claim([message]) == [Claim.ALREADY_DONE]
        assert saved.rows(message) == before


def test_another_body_under_what_it_completed_is_another(ledger: DynamoLedger) -> None:
    for message in messages("done"):
        changed = message.body.replace('"work": 5', '"work": 6')
        assert ledger.claim([_delivered(changed, identity_of(changed, "s"))]) == [Claim.CHANGED]


@pytest.mark.parametrize("end", ["started", "failed", "half"])
def test_what_it_left_has_one_effect(saved: Saved, ledger: DynamoLedger, end: str) -> None:
    batch = messages(end)
    gates = [saved.rows(message)[1] for message in batch]
    assert all(gates) == (end == "half")
    assert ledger.claim(batch) == [Claim.CLAIMED] * len(batch)
    assert ledger.complete(batch) == [Completion.EFFECT] * len(batch)
    for message, gate in zip(batch, gates, strict=True):
        row, record = saved.rows(message)
        assert (row["attempts"]["N"], row["effects"]["N"]) == ("2", "1")
        assert record == (gate or record)
        assert record["digest"] == row["digest"]
    assert ledger.claim(messages(end)) == [Claim.ALREADY_DONE] * len(batch)


def test_of_two_bodies_around_its_crash_the_gates_has_the_effect(ledger: DynamoLedger) -> None:
    for message in messages("half"):
        changed = message.body.replace('"work": 5', '"work": 6')
        other = _delivered(changed, identity_of(changed, "s"))
        assert ledger.claim([other]) == [Claim.CLAIMED]
        assert ledger.complete([other]) == [Completion.CHANGED]
        assert ledger.claim([message]) == [Claim.CLAIMED]
        assert ledger.complete([message]) == [Completion.EFFECT]


def test_a_row_of_its_that_is_set_back_counts_no_second_effect(
    saved: Saved, ledger: DynamoLedger
) -> None:
    for message in messages("done"):
        row, gate = saved.rows(message)
        saved.real.put_item(TableName=saved.tables[0], Item=row | {"status": {"S": "STARTED"}})
        assert ledger.claim([message]) == [Claim.ALREADY_DONE]
        assert saved.rows(message) == [row | {"completed_at": gate["completed_at"]}, gate]


def test_its_gate_without_the_status_row_is_half_a_record(
    saved: Saved, ledger: DynamoLedger
) -> None:
    for message in messages("done"):
        key = {"message_id": {"S": message.key}}
        saved.real.delete_item(TableName=saved.tables[0], Key=key)
        assert ledger.claim([message]) == [Claim.CLAIMED]
        assert ledger.complete([message]) == [Completion.EFFECT]
        assert saved.rows(message)[0]["effects"] == {"N": "1"}


def test_its_open_intents_are_found(saved: Saved) -> None:
    outbox = Outbox(ScriptedDynamo(real=saved.real), saved.tables[0])  # type: ignore[arg-type]
    pending = {(intent.order, intent.amount) for intent in outbox.pending()}
    assert pending == {("transactional-outbox-1", 5), ("transactional-outbox-2", 5)}
