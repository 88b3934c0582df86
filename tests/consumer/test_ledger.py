"""One effect for each id, an attempt for each delivery, whatever is refused, lost or cut short."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from moto import mock_aws

from sqs_worker.ledger import DynamoLedger, NoLedger
from sqs_worker.message import digest_of
from sqs_worker.ports import Claim, Completion, LedgerDown
from sqs_worker.rows import KEEP_SECONDS
from support.fakes import LOST, ScriptedDynamo, a_message, cancelled, no_answer, refusal

_names = count(1)
START = 1_700_000_000.0


@pytest.fixture(scope="module")
def real() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client(
            "dynamodb",
            region_name="us-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


class Tables:
    """Two fresh tables, a scripted client in front of them, and a clock that stands still."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.now = START
        self.dynamo = ScriptedDynamo(real=real)
        number = next(_names)
        self.status, self.completed = f"status-{number}", f"completed-{number}"
        for table in (self.status, self.completed):
            real.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )

    def ledger(self, *, transactional: bool) -> DynamoLedger:
        return DynamoLedger(
            self.dynamo,  # type: ignore[arg-type]
            (self.status, self.completed),
            transactional=transactional,
            clock=lambda: self.now,
        )

    def row(self, message_id: str = "m-1") -> dict[str, Any]:
        return self._get(self.status, message_id)

    def gate(self, message_id: str = "m-1") -> dict[str, Any]:
        return self._get(self.completed, message_id)

    def put(self, table: str, **values: Any) -> None:
        item = {k: {"N": str(v)} if isinstance(v, int) else {"S": v} for k, v in values.items()}
        self.real.put_item(TableName=table, Item=item)

    def drop(self, table: str, message_id: str, attribute: str) -> None:
        self.real.update_item(
            TableName=table,
            Key={"message_id": {"S": message_id}},
            UpdateExpression=f"REMOVE {attribute}",
        )

    def _get(self, table: str, message_id: str) -> dict[str, Any]:
        key = {"message_id": {"S": message_id}}
        item = self.real.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})
        return {k: float(v["N"]) if "N" in v else v["S"] for k, v in item.items()}


@pytest.fixture
def tables(real: Any) -> Tables:
    return Tables(real)


@pytest.fixture(params=[True, False], ids=["transactional", "plain"])
def ledger(request: pytest.FixtureRequest, tables: Tables) -> DynamoLedger:
    return tables.ledger(transactional=request.param)


class TestClaim:
    def test_a_first_claim_starts_the_row(self, tables: Tables, ledger: DynamoLedger) -> None:
        message = a_message()
        assert ledger.claim([message]) == [Claim.CLAIMED]
        assert tables.row() == {
            "message_id": "m-1",
            "status": "STARTED",
            "attempts": 1,
            "digest": message.digest,
            "canonical_digest": message.canonical_digest,
            "claim": message.delivery,
            "first_claimed_at": START,
            "last_claimed_at": START,
            "expires_at": START + KEEP_SECONDS,
        }
        assert tables.gate() == {}

    def test_attempts_count_deliveries(self, tables: Tables, ledger: DynamoLedger) -> None:
        for expected in (1, 2, 3):
            tables.now += 1
            assert ledger.claim([a_message()]) == [Claim.CLAIMED]
            assert tables.row()["attempts"] == expected
        assert tables.row()["first_claimed_at"] == START + 1
        assert tables.row()["last_claimed_at"] == START + 3

    def test_a_batch_is_one_call(self, tables: Tables, ledger: DynamoLedger) -> None:
        batch = [a_message(f"m-{n}") for n in range(10)]
        assert ledger.claim(batch) == [Claim.CLAIMED] * 10
        assert tables.dynamo.names == ["transact_write_items"]

    @pytest.mark.parametrize("others", [0, 2])
    def test_a_claim_whose_answer_was_lost_is_not_counted_twice(
        self, tables: Tables, ledger: DynamoLedger, others: int
    ) -> None:
        batch = [a_message(f"m-{n + 1}") for n in range(others + 1)]
        tables.dynamo.then(LOST)
        with pytest.raises(LedgerDown):
            ledger.claim(batch)
        assert ledger.claim(batch) == [Claim.CLAIMED] * len(batch)
        assert {tables.row(message.id)["attempts"] for message in batch} == {1}

    def test_a_completed_message_is_already_done_and_its_row_stays(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.complete([first])
        before = tables.row()
        tables.now += 5
        assert ledger.claim([a_message()]) == [Claim.ALREADY_DONE]
        assert tables.row() == before

    def test_done_and_fresh_in_one_batch_get_each_their_own_answer(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        done = a_message("done")
        ledger.claim([done])
        ledger.complete([done])
        batch = [a_message("a"), a_message("done"), a_message("b")]
        assert ledger.claim(batch) == [Claim.CLAIMED, Claim.ALREADY_DONE, Claim.CLAIMED]
        assert [tables.row(name)["attempts"] for name in ("a", "done", "b")] == [1, 1, 1]

    def test_an_expired_record_counts_as_absent(self, tables: Tables, ledger: DynamoLedger) -> None:
        first, late = a_message(), a_message()
        ledger.claim([first])
        ledger.complete([first])
        tables.now += KEEP_SECONDS - 1
        assert ledger.claim([late]) == [Claim.ALREADY_DONE]
        tables.now += 1
        assert ledger.claim([late]) == [Claim.CLAIMED]
        row = tables.row()
        assert (row["status"], row["attempts"], row["claim"]) == ("STARTED", 1, late.delivery)
        assert "effects" not in row
        assert ledger.complete([late]) == [Completion.EFFECT]
        assert tables.row()["effects"] == 1
        assert tables.gate()["claim"] == late.delivery

    def test_a_completion_without_an_expiry_never_expires(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.complete([first])
        tables.drop(tables.status, "m-1", "expires_at")
        before = tables.row()
        tables.now += 100 * KEEP_SECONDS
        assert ledger.claim([a_message()]) == [Claim.ALREADY_DONE]
        assert tables.row() == before

    def test_an_expired_record_is_taken_over_once(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.complete([first])
        tables.now += KEEP_SECONDS
        # What another consumer did between our refused claim and our second try.
        other = a_message()
        taken = {"message_id": "m-1", "status": "STARTED", "attempts": 1, "claim": other.delivery}
        row = {
            k: {"S": v} if isinstance(v, str) else {"N": str(v)} for k, v in tables.row().items()
        }
        tables.put(tables.status, **taken, expires_at=int(tables.now) + KEEP_SECONDS)
        tables.dynamo.then(refusal("ConditionalCheckFailedException", Item=row))
        assert ledger.claim([a_message()]) == [Claim.UNKNOWN]
        assert tables.row()["claim"] == other.delivery

    def test_a_claim_that_conflicts_for_ever_is_unknown(
        self, tables: Tables, ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger._writer, "_sleep", lambda _: None)
        tables.dynamo.then(*[refusal("TransactionConflictException")] * 6)
        assert ledger.claim([a_message()]) == [Claim.UNKNOWN]
        assert tables.row() == {}

    def test_a_refusal_without_a_row_is_unknown(self, tables: Tables, ledger: DynamoLedger) -> None:
        tables.dynamo.then(refusal("ConditionalCheckFailedException"))
        assert ledger.claim([a_message()]) == [Claim.UNKNOWN]

    def test_a_failed_message_is_claimed_again_without_its_reason(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.fail([(first, "it broke")])
        assert ledger.claim([a_message()]) == [Claim.CLAIMED]
        row = tables.row()
        assert (row["status"], row["attempts"]) == ("STARTED", 2)
        assert "reason" not in row

    def test_every_id_that_a_message_can_have_can_be_claimed(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        for name in (
            "x" * 2048,
            "é" * 1024,
            "a\x00b",
            " ",
            "'",
            '"',
            ":claim",
            "#status",
            "\U0001f600",
        ):
            message = a_message(name)
            assert ledger.claim([message]) == [Claim.CLAIMED]
            assert ledger.complete([message]) == [Completion.EFFECT]
            assert tables.row(name)["effects"] == 1


class TestChangedPayload:
    """Another body under an id that is completed is another message, not a second delivery."""

    def test_it_is_told_apart_at_the_claim_and_changes_nothing(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.complete([first])
        row, gate = tables.row(), tables.gate()
        assert ledger.claim([a_message(body="another")]) == [Claim.CHANGED]
        assert (tables.row(), tables.gate()) == (row, gate)
        assert ledger.claim([a_message()]) == [Claim.ALREADY_DONE]

    def test_each_message_of_a_batch_gets_its_own_answer(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        done = [a_message("same"), a_message("changed")]
        ledger.claim(done)
        ledger.complete(done)
        batch = [a_message("same"), a_message("changed", body="another"), a_message("fresh")]
        assert ledger.claim(batch) == [Claim.ALREADY_DONE, Claim.CHANGED, Claim.CLAIMED]

    def test_a_record_without_a_digest_counts_as_the_same_body(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first, second = a_message(), a_message(body="another")
        ledger.claim([first])
        ledger.claim([second])
        ledger.complete([first])
        for table in (tables.status, tables.completed):
            tables.drop(table, "m-1", "digest")
        assert ledger.claim([a_message(body="another")]) == [Claim.ALREADY_DONE]
        assert ledger.complete([second]) == [Completion.ALREADY_DONE]

    def test_where_the_record_has_expired_it_is_claimed(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first, late = a_message(), a_message(body="another")
        ledger.claim([first])
        ledger.complete([first])
        tables.now += KEEP_SECONDS
        assert ledger.claim([late]) == [Claim.CLAIMED]
        assert ledger.complete([late]) == [Completion.EFFECT]
        assert tables.row()["digest"] == tables.gate()["digest"] == late.digest

    def test_of_two_bodies_at_work_at_once_the_second_is_told_so_at_its_completion(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first, second = a_message(), a_message(body="another")
        ledger.claim([first])
        ledger.claim([second])
        assert tables.row()["digest"] == second.digest
        assert ledger.complete([first]) == [Completion.EFFECT]
        assert ledger.complete([second]) == [Completion.CHANGED]
        assert ledger.claim([a_message(body="another")]) == [Claim.CHANGED]
        assert ledger.claim([a_message()]) == [Claim.ALREADY_DONE]
        row = tables.row()
        assert (row["effects"], row["digest"]) == (1, first.digest)
        assert tables.gate()["digest"] == first.digest

    def test_a_claim_that_is_not_completed_is_taken_over_by_another_body(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        dead, second = a_message(), a_message(body="another")
        ledger.claim([dead])
        assert ledger.claim([second]) == [Claim.CLAIMED]
        assert ledger.complete([second]) == [Completion.EFFECT]
        assert ledger.claim([a_message()]) == [Claim.CHANGED]


class TestComplete:
    @pytest.mark.parametrize("transactional", [True, False])
    def test_it_writes_row_and_gate(self, tables: Tables, *, transactional: bool) -> None:
        ledger = tables.ledger(transactional=transactional)
        message = a_message()
        ledger.claim([message])
        tables.now += 2
        assert ledger.complete([message]) == [Completion.EFFECT]
        row = tables.row()
        assert (row["status"], row["effects"], row["attempts"]) == ("COMPLETED", 1, 1)
        assert row["completed_at"] == START + 2
        assert tables.gate() == {
            "message_id": "m-1",
            "digest": message.digest,
            "canonical_digest": message.canonical_digest,
            "claim": message.delivery,
            "completed_at": START + 2,
            "expires_at": START + 2 + KEEP_SECONDS,
            **({"with_effect": 1} if transactional else {}),
        }

    def test_its_calls(self, tables: Tables) -> None:
        for transactional, most in ((True, 1), (False, 2)):
            ledger = tables.ledger(transactional=transactional)
            for size in (1, 10):
                batch = [a_message(f"{transactional}-{size}-{n}") for n in range(size)]
                ledger.claim(batch)
                tables.dynamo.calls.clear()
                assert ledger.complete(batch) == [Completion.EFFECT] * size
                assert len(tables.dynamo.calls) == most

    def test_refused_because_i_did_it_a_moment_ago_is_the_effect(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        message = a_message()
        ledger.claim([message])
        assert ledger.complete([message]) == [Completion.EFFECT]
        assert ledger.complete([message]) == [Completion.EFFECT]
        assert tables.row()["effects"] == 1

    @pytest.mark.parametrize("size", [1, 3])
    @pytest.mark.parametrize("lost", [1, 2])
    def test_an_answer_that_was_lost_is_found_again_as_the_effect(
        self, tables: Tables, ledger: DynamoLedger, size: int, lost: int
    ) -> None:
        batch = [a_message(f"m-{n}") for n in range(size)]
        ledger.claim(batch)
        tables.dynamo.then(*[None] * (lost - 1), LOST)
        try:
            ledger.complete(batch)
        except LedgerDown:
            assert ledger.complete(batch) == [Completion.EFFECT] * size
        for message in batch:
            assert tables.row(message.id)["effects"] == 1
            assert tables.gate(message.id)

    def test_refused_because_another_did_it_is_already_done(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        mine, others = a_message(), a_message()
        ledger.claim([mine])
        ledger.claim([others])
        assert ledger.complete([others]) == [Completion.EFFECT]
        assert ledger.complete([mine]) == [Completion.ALREADY_DONE]
        row = tables.row()
        assert (row["effects"], row["claim"]) == (1, others.delivery)

    def test_a_batch_in_which_another_did_one_completes_the_rest(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        batch = [a_message(name) for name in "abc"]
        ledger.claim(batch)
        other = a_message("b")
        ledger.claim([other])
        ledger.complete([other])
        assert ledger.complete(batch) == [
            Completion.EFFECT,
            Completion.ALREADY_DONE,
            Completion.EFFECT,
        ]
        assert [tables.row(name)["effects"] for name in "abc"] == [1, 1, 1]

    def test_the_gate_is_written_once(self, tables: Tables, ledger: DynamoLedger) -> None:
        first, second = a_message(), a_message()
        ledger.claim([first])
        ledger.claim([second])
        ledger.complete([first])
        before = tables.gate()
        tables.now += 5
        ledger.complete([second])
        assert tables.gate() == before

    def test_what_cannot_be_made_sure_is_unknown(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        message = a_message()
        ledger.claim([message])
        tables.dynamo.then(refusal("ValidationException"))
        assert ledger.complete([message]) == [Completion.UNKNOWN]
        assert "effects" not in tables.row()

    def test_down_is_down(self, tables: Tables, ledger: DynamoLedger) -> None:
        message = a_message()
        ledger.claim([message])
        for error in (no_answer(), refusal("InternalServerError"), refusal("ThrottlingException")):
            tables.dynamo.then(error)
            with pytest.raises(LedgerDown):
                ledger.complete([message])
        assert "effects" not in tables.row()
        assert tables.gate() == {}

    def test_transactional_mode_writes_both_or_neither(self, tables: Tables) -> None:
        ledger = tables.ledger(transactional=True)
        message = a_message()
        ledger.claim([message])
        tables.dynamo.then(cancelled("None", "TransactionConflict"))
        ledger._writer._sleep = lambda _: None
        assert ledger.complete([message]) == [Completion.EFFECT]
        assert tables.dynamo.names[1:] == ["transact_write_items"] * 2


class TestRepair:
    """A plain consumer died between its two writes: gate without effect."""

    @pytest.fixture(params=[True, False], ids=["by transactional", "by plain"])
    def repairer(self, request: pytest.FixtureRequest, tables: Tables) -> DynamoLedger:
        dead = a_message()
        plain = tables.ledger(transactional=False)
        plain.claim([dead])
        assert plain.record([dead]) == [True]
        assert tables.row()["status"] == "STARTED"
        return tables.ledger(transactional=request.param)

    def test_the_next_delivery_has_the_one_effect(
        self, tables: Tables, repairer: DynamoLedger
    ) -> None:
        message = a_message()
        gate = tables.gate()
        assert repairer.claim([message]) == [Claim.CLAIMED]
        assert repairer.complete([message]) == [Completion.EFFECT]
        row = tables.row()
        assert (row["status"], row["effects"], row["attempts"]) == ("COMPLETED", 1, 2)
        assert tables.gate() == gate
        assert repairer.claim([a_message()]) == [Claim.ALREADY_DONE]

    def test_of_two_deliveries_that_repair_one_has_the_effect(
        self, tables: Tables, repairer: DynamoLedger
    ) -> None:
        first, second = a_message(), a_message()
        repairer.claim([first])
        repairer.claim([second])
        assert repairer.complete([first]) == [Completion.EFFECT]
        assert repairer.complete([second]) == [Completion.ALREADY_DONE]
        assert tables.row()["effects"] == 1

    @pytest.mark.parametrize("answered", [0, 1, 2])
    def test_a_repair_whose_answer_was_lost_has_one_effect(
        self, tables: Tables, repairer: DynamoLedger, answered: int
    ) -> None:
        message = a_message()
        repairer.claim([message])
        tables.dynamo.then(*[None] * answered, LOST)
        try:
            repairer.complete([message])
        except LedgerDown:
            assert repairer.complete([message]) == [Completion.EFFECT]
        assert tables.row()["effects"] == 1

    def test_in_a_batch_of_others(self, tables: Tables, repairer: DynamoLedger) -> None:
        batch = [a_message("a"), a_message("m-1"), a_message("c")]
        repairer.claim(batch)
        assert repairer.complete(batch) == [Completion.EFFECT] * 3
        assert [tables.row(m.id)["effects"] for m in batch] == [1, 1, 1]
        assert all(tables.gate(m.id) for m in batch)


class TestGateWithoutRow:
    """A status row that is COMPLETED and whose gate is gone gets its gate back."""

    def test_it_is_put_there(self, tables: Tables) -> None:
        ledger = tables.ledger(transactional=True)
        mine, other = a_message(), a_message()
        ledger.claim([mine])
        ledger.claim([other])
        ledger.complete([other])
        gate = tables.gate()
        tables.real.delete_item(TableName=tables.completed, Key={"message_id": {"S": "m-1"}})
        tables.now += 5
        assert ledger.complete([mine]) == [Completion.ALREADY_DONE]
        assert tables.gate() == gate
        assert tables.row()["effects"] == 1

    def test_in_plain_mode_it_is_written_before_the_row_is_looked_at(self, tables: Tables) -> None:
        ledger = tables.ledger(transactional=False)
        mine, other = a_message(), a_message()
        ledger.claim([mine])
        ledger.claim([other])
        ledger.complete([other])
        tables.real.delete_item(TableName=tables.completed, Key={"message_id": {"S": "m-1"}})
        assert ledger.complete([mine]) == [Completion.ALREADY_DONE]
        assert tables.gate()["claim"] == mine.delivery
        assert tables.row()["effects"] == 1

    def test_a_changed_body_puts_back_that_of_the_effect(self, tables: Tables) -> None:
        ledger = tables.ledger(transactional=True)
        mine, other = a_message(body="another"), a_message()
        ledger.claim([mine])
        ledger.claim([other])
        ledger.complete([other])
        gate = tables.gate()
        tables.real.delete_item(TableName=tables.completed, Key={"message_id": {"S": "m-1"}})
        assert ledger.complete([mine]) == [Completion.CHANGED]
        assert tables.gate() == gate

    def test_where_it_cannot_be_put_there_nothing_is_sure(self, tables: Tables) -> None:
        ledger = tables.ledger(transactional=True)
        mine, other = a_message(), a_message()
        ledger.claim([mine])
        ledger.claim([other])
        ledger.complete([other])
        tables.real.delete_item(TableName=tables.completed, Key={"message_id": {"S": "m-1"}})
        tables.dynamo.then(None, refusal("ValidationException"))
        assert ledger.complete([mine]) == [Completion.UNKNOWN]


ANOTHER_FORM = '{"a": 1.0, "b": "\\u00e9"}'
SAME = '{"b":"é","a":1}'


def _set_back(tables: Tables, status: str = "STARTED", message_id: str = "m-1") -> None:
    """As a bug, a migration or a person may do."""
    tables.real.update_item(
        TableName=tables.status,
        Key={"message_id": {"S": message_id}},
        UpdateExpression="SET #status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": status}},
    )


def _delete_row(tables: Tables, message_id: str = "m-1") -> None:
    tables.real.delete_item(TableName=tables.status, Key={"message_id": {"S": message_id}})


class TestStatusRowSetBack:
    """A completed message whose status row says something else, and which is sent again."""

    @pytest.mark.parametrize("status", ["STARTED", "FAILED"])
    def test_it_is_found_done_at_the_claim_and_the_row_is_put_right(
        self, tables: Tables, ledger: DynamoLedger, status: str
    ) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.complete([first])
        row, gate = tables.row(), tables.gate()
        _set_back(tables, status)
        tables.now += 5
        assert ledger.claim([a_message()]) == [Claim.ALREADY_DONE]
        assert (tables.row(), tables.gate()) == (row, gate)

    def test_another_body_is_told_so(self, tables: Tables, ledger: DynamoLedger) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.complete([first])
        row = tables.row()
        _set_back(tables)
        assert ledger.claim([a_message(body="another")]) == [Claim.CHANGED]
        assert tables.row() == row

    def test_others_of_its_batch_are_claimed(self, tables: Tables, ledger: DynamoLedger) -> None:
        done = [a_message("m-1"), a_message("m-2", body="another")]
        ledger.claim(done)
        ledger.complete(done)
        for message in done:
            _set_back(tables, message_id=message.id)
        batch = [a_message(name) for name in ("m-0", "m-1", "m-2", "m-3")]
        claims = [Claim.CLAIMED, Claim.ALREADY_DONE, Claim.CHANGED, Claim.CLAIMED]
        assert ledger.claim(batch) == claims

    def test_with_its_gate_gone_too_both_are_put_right(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.complete([first])
        row, gate = tables.row(), tables.gate()
        _set_back(tables)
        tables.real.delete_item(TableName=tables.completed, Key={"message_id": {"S": "m-1"}})
        assert ledger.claim([a_message()]) == [Claim.ALREADY_DONE]
        assert tables.row() == row
        assert tables.gate() == gate | {"with_effect": 1}

    def test_where_row_and_gate_differ_the_gate_decides(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        """A consumer of an older version claimed it for another body after it was set back."""
        first, second = a_message(), a_message(body="another")
        ledger.claim([first])
        ledger.complete([first])
        _set_back(tables)
        item = tables.row() | {"digest": second.digest, "claim": second.delivery}
        tables.put(
            tables.status, **{k: int(v) if isinstance(v, float) else v for k, v in item.items()}
        )
        assert ledger.claim([a_message(body="another")]) == [Claim.CHANGED]
        assert ledger.claim([a_message()]) == [Claim.ALREADY_DONE]
        assert (tables.row()["effects"], tables.row()["digest"]) == (1, first.digest)

    def test_while_others_work_on_it_their_completion_counts_nothing(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first, second = a_message(), a_message()
        ledger.claim([first])
        ledger.claim([second])
        ledger.complete([first])
        row = tables.row()
        _set_back(tables)
        assert ledger.complete([second]) == [Completion.ALREADY_DONE]
        assert tables.row() == row
        _set_back(tables)
        assert ledger.complete([first]) == [Completion.EFFECT]
        assert tables.row() == row

    @pytest.mark.parametrize("answered", [0, 1, 2])
    def test_a_repair_whose_answer_was_lost_is_made_again(
        self, tables: Tables, ledger: DynamoLedger, answered: int
    ) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.complete([first])
        row = tables.row()
        _set_back(tables)
        message = a_message()
        tables.dynamo.then(*[None] * answered, LOST)
        for _ in range(2):
            try:
                assert ledger.claim([message]) == [Claim.ALREADY_DONE]
            except LedgerDown:
                continue
        assert tables.row() == row

    def test_a_repair_that_conflicts_for_ever_leaves_it_unknown(
        self, tables: Tables, ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = a_message()
        ledger.claim([first])
        ledger.complete([first])
        _set_back(tables)
        monkeypatch.setattr(ledger._writer, "_sleep", lambda _: None)
        for answered in (1, 2):
            conflict = refusal("TransactionConflictException")
            tables.dynamo.then(*[None] * answered, *[conflict] * 6)
            assert ledger.claim([a_message()]) == [Claim.UNKNOWN]
        assert ledger.claim([a_message()]) == [Claim.ALREADY_DONE]

    def test_one_that_has_expired_is_claimed_anew(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first, late = a_message(), a_message()
        ledger.claim([first])
        ledger.complete([first])
        _set_back(tables)
        tables.now += KEEP_SECONDS
        assert ledger.claim([late]) == [Claim.CLAIMED]
        assert ledger.complete([late]) == [Completion.EFFECT]
        assert (tables.row()["attempts"], tables.row()["effects"]) == (1, 1)


class TestStatusRowDeleted:
    """A gate that was written with its effect is final, whoever meets it."""

    @pytest.fixture(params=[True, False], ids=["met by transactional", "met by plain"])
    def another(self, request: pytest.FixtureRequest, tables: Tables) -> DynamoLedger:
        ledger, first = tables.ledger(transactional=True), a_message()
        ledger.claim([first])
        ledger.complete([first])
        _delete_row(tables)
        tables.now += 5
        return tables.ledger(transactional=request.param)

    def test_nothing_is_counted_and_the_row_is_put_right(
        self, tables: Tables, another: DynamoLedger
    ) -> None:
        second, gate = a_message(), tables.gate()
        assert another.claim([second]) == [Claim.CLAIMED]
        assert another.complete([second]) == [Completion.ALREADY_DONE]
        row = tables.row()
        assert (row["status"], row["effects"], row["attempts"]) == ("COMPLETED", 1, 1)
        for name in ("digest", "canonical_digest", "claim", "completed_at", "expires_at"):
            assert row[name] == gate[name]
        assert tables.gate() == gate
        assert another.claim([a_message()]) == [Claim.ALREADY_DONE]

    def test_another_body_is_told_so(self, tables: Tables, another: DynamoLedger) -> None:
        second = a_message(body="another")
        assert another.claim([second]) == [Claim.CLAIMED]
        assert another.complete([second]) == [Completion.CHANGED]
        row = tables.row()
        assert (row["status"], row["effects"], row["digest"]) == (
            "COMPLETED",
            1,
            tables.gate()["digest"],
        )
        assert another.claim([a_message()]) == [Claim.ALREADY_DONE]

    def test_others_of_its_group_have_their_effect(
        self, tables: Tables, another: DynamoLedger
    ) -> None:
        group = [a_message(name) for name in ("m-0", "m-1", "m-2")]
        another.claim(group)
        answers = [Completion.EFFECT, Completion.ALREADY_DONE, Completion.EFFECT]
        assert another.complete(group) == answers
        assert [tables.row(m.id)["effects"] for m in group] == [1, 1, 1]

    @pytest.mark.parametrize("answered", [0, 1])
    def test_a_repair_whose_answer_was_lost_is_made_again(
        self, tables: Tables, another: DynamoLedger, answered: int
    ) -> None:
        second = a_message()
        another.claim([second])
        tables.dynamo.then(*[None] * answered, LOST)
        try:
            assert another.complete([second]) == [Completion.ALREADY_DONE]
        except LedgerDown:
            assert another.complete([second]) == [Completion.ALREADY_DONE]
        assert tables.row()["effects"] == 1

    def test_past_its_time_a_gate_is_final_no_more(
        self, tables: Tables, another: DynamoLedger
    ) -> None:
        tables.now += KEEP_SECONDS
        late = a_message()
        another.claim([late])
        assert another.complete([late]) == [Completion.EFFECT]
        assert (tables.row()["effects"], tables.gate()["claim"]) == (1, late.delivery)

    def test_it_was_ours_where_only_the_answer_was_lost(self, tables: Tables) -> None:
        ledger, message = tables.ledger(transactional=True), a_message()
        ledger.claim([message])
        tables.dynamo.then(LOST)
        with pytest.raises(LedgerDown):
            ledger.complete([message])
        _delete_row(tables)
        assert ledger.complete([message]) == [Completion.EFFECT]
        assert tables.row()["effects"] == 1

    def test_what_a_plain_consumer_wrote_is_done_again(self, tables: Tables) -> None:
        """Its gate alone is the same as after a crash between the two writes."""
        ledger = tables.ledger(transactional=False)
        first, second = a_message(), a_message()
        ledger.claim([first])
        ledger.complete([first])
        _delete_row(tables)
        for transactional in (False, True):
            ledger = tables.ledger(transactional=transactional)
            assert ledger.claim([second]) == [Claim.CLAIMED]
            assert ledger.complete([second]) == [Completion.EFFECT]
            assert tables.row()["effects"] == 1
            _delete_row(tables)


class TestTwoBodiesAroundACrash:
    """A plain consumer wrote the gate for one body and died; another body comes first."""

    @pytest.mark.parametrize("transactional", [True, False])
    @pytest.mark.parametrize("old", [True, False], ids=["an older gate", "a gate"])
    def test_the_effect_goes_to_the_body_that_the_gate_names(
        self, tables: Tables, *, transactional: bool, old: bool
    ) -> None:
        plain, dead, other = tables.ledger(transactional=False), a_message(), a_message(body="{1}")
        plain.claim([dead])
        plain.record([dead])
        if old:
            for table in (tables.status, tables.completed):
                tables.drop(table, "m-1", "canonical_digest")
        ledger, gate = tables.ledger(transactional=transactional), tables.gate()
        assert ledger.claim([other]) == [Claim.CLAIMED]
        assert ledger.complete([other]) == [Completion.CHANGED]
        assert "effects" not in tables.row()
        again = a_message()
        assert ledger.claim([again]) == [Claim.CLAIMED]
        assert ledger.complete([again]) == [Completion.EFFECT]
        row = tables.row()
        assert (row["effects"], row["digest"], tables.gate()) == (1, dead.digest, gate)
        assert ledger.claim([a_message(body="{1}")]) == [Claim.CHANGED]

    @pytest.mark.parametrize("transactional", [True, False])
    def test_the_same_body_in_another_form_is_that_body(
        self, tables: Tables, *, transactional: bool
    ) -> None:
        plain, dead = tables.ledger(transactional=False), a_message(body=SAME)
        plain.claim([dead])
        plain.record([dead])
        ledger, other = tables.ledger(transactional=transactional), a_message(body=ANOTHER_FORM)
        assert dead.digest != other.digest
        assert ledger.claim([other]) == [Claim.CLAIMED]
        assert ledger.complete([other]) == [Completion.EFFECT]
        assert ledger.claim([a_message(body=SAME)]) == [Claim.ALREADY_DONE]


class TestOlderVersions:
    """Rows without a canonical digest, and consumers that write only the other one."""

    def test_the_same_json_in_another_form_is_already_done(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first = a_message(body=SAME)
        ledger.claim([first])
        ledger.complete([first])
        assert ledger.claim([a_message(body=ANOTHER_FORM)]) == [Claim.ALREADY_DONE]
        assert ledger.claim([a_message(body='{"b":"e","a":1}')]) == [Claim.CHANGED]
        assert tables.row()["digest"] == digest_of(SAME)  # what an older consumer compares

    def test_a_row_without_one_is_compared_by_the_text(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first = a_message(body=SAME)
        ledger.claim([first])
        ledger.complete([first])
        tables.drop(tables.status, "m-1", "canonical_digest")
        assert ledger.claim([a_message(body=SAME)]) == [Claim.ALREADY_DONE]
        assert ledger.claim([a_message(body=ANOTHER_FORM)]) == [Claim.CHANGED]

    def test_one_that_belongs_to_an_overwritten_digest_does_not_count(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        """An older consumer claimed and completed another body over a claim of this version."""
        ledger.claim([a_message(body=SAME)])
        old = a_message(body="another")
        tables.put(
            tables.status,
            message_id="m-1",
            status="COMPLETED",
            effects=1,
            claim=old.delivery,
            digest=old.digest,
            canonical_digest=str(tables.row()["canonical_digest"]),
        )
        assert ledger.claim([a_message(body=SAME)]) == [Claim.CHANGED]
        assert ledger.claim([a_message(body="another")]) == [Claim.ALREADY_DONE]


@pytest.mark.parametrize("transactional", [True, False])
@pytest.mark.parametrize("write", ["the gate", "the effect"])
def test_a_refusal_without_its_row_proves_nothing(
    tables: Tables, transactional: bool, write: str
) -> None:
    ledger, message = tables.ledger(transactional=transactional), a_message()
    ledger.claim([message])
    single = refusal("ConditionalCheckFailedException")
    if transactional:
        codes = ("None", "ConditionalCheckFailed")
        tables.dynamo.then(cancelled(*(codes if write == "the gate" else reversed(codes))))
    else:
        tables.dynamo.then(*([single] if write == "the gate" else [None, single]))
    assert ledger.complete([message]) == [Completion.UNKNOWN]
    assert "effects" not in tables.row()


class TestFail:
    def test_a_failure_is_a_status_with_its_reason(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        batch = [a_message("a"), a_message("b")]
        ledger.claim(batch)
        tables.dynamo.calls.clear()
        reasons = [(message, f"{message.id} broke") for message in batch]
        assert ledger.fail(reasons) == [True, True]
        assert len(tables.dynamo.calls) == 1
        for name in "ab":
            row = tables.row(name)
            assert (row["status"], row["reason"], row["attempts"]) == ("FAILED", f"{name} broke", 1)
            assert row["failed_at"] == START
            assert "effects" not in row
            assert tables.gate(name) == {}

    def test_a_long_reason_is_cut(self, tables: Tables, ledger: DynamoLedger) -> None:
        message = a_message()
        ledger.claim([message])
        assert ledger.fail([(message, "x" * 100_000)]) == [True]
        assert len(tables.row()["reason"]) == 500

    @pytest.mark.parametrize(
        ("reason", "stored"),
        [("bad \ud800 text", "bad ? text"), ("\U0001f600" * 600, "\U0001f600" * 500), ("", "")],
        ids=["lone surrogate", "wide", "empty"],
    )
    def test_any_reason_can_be_stored(
        self, tables: Tables, ledger: DynamoLedger, reason: str, stored: str
    ) -> None:
        message = a_message()
        ledger.claim([message])
        assert ledger.fail([(message, reason)]) == [True]
        assert tables.row()["reason"] == stored

    def test_a_failure_never_touches_the_claim_of_a_later_delivery(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        mine, later, other = a_message(), a_message(), a_message("other")
        ledger.claim([mine, other])
        ledger.claim([later])
        before = tables.row()
        assert ledger.fail([(mine, "it broke"), (other, "it broke")]) == [False, True]
        assert tables.row() == before
        assert tables.row("other")["status"] == "FAILED"
        assert ledger.fail([(later, "it broke, too")]) == [True]

    def test_a_failure_makes_no_row(self, tables: Tables, ledger: DynamoLedger) -> None:
        assert ledger.fail([(a_message(), "it broke")]) == [False]
        assert tables.row() == {}

    def test_a_failure_that_conflicts_for_ever_is_not_recorded(
        self, tables: Tables, ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger._writer, "_sleep", lambda _: None)
        message = a_message()
        ledger.claim([message])
        tables.dynamo.then(*[refusal("TransactionConflictException")] * 6)
        assert ledger.fail([(message, "it broke")]) == [False]
        assert tables.row()["status"] == "STARTED"

    def test_a_failure_never_undoes_a_completion(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        mine, other = a_message(), a_message()
        ledger.claim([mine])
        ledger.claim([other])
        ledger.complete([other])
        before = tables.row()
        assert ledger.fail([(mine, "it broke")]) == [False]
        assert tables.row() == before
        assert ledger.fail([(other, "it broke")]) == [False]
        assert tables.row() == before

    def test_a_failed_message_completes_at_its_next_delivery(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        first, second = a_message(), a_message()
        ledger.claim([first])
        ledger.fail([(first, "it broke")])
        ledger.claim([second])
        assert ledger.complete([second]) == [Completion.EFFECT]
        row = tables.row()
        assert (row["status"], row["effects"], row["attempts"]) == ("COMPLETED", 1, 2)


class TestProbe:
    def test_it_writes_to_both_tables_in_every_way_that_messages_are_written(
        self, tables: Tables, ledger: DynamoLedger
    ) -> None:
        ledger.probe()
        assert tables.dynamo.names == ["transact_write_items", "update_item", "put_item"]
        (_, both), (_, update), (_, put) = tables.dynamo.calls
        writes = [next(iter(item.values())) for item in both["TransactItems"]]
        assert [write["TableName"] for write in writes] == [tables.status, tables.completed]
        assert [update["TableName"], put["TableName"]] == [tables.status, tables.completed]
        assert [list(item) for item in both["TransactItems"]] == [["Update"], ["Put"]]

    @pytest.mark.parametrize("position", [0, 1, 2])
    def test_a_store_that_ignores_conditions_is_refused(
        self, tables: Tables, position: int
    ) -> None:
        """In transactions, in updates or in puts alone."""
        tables.dynamo.then(*[None] * position, {"ConsumedCapacity": [{"CapacityUnits": 2.0}]})
        with pytest.raises(LedgerDown, match="ignores conditions") as caught:
            tables.ledger(transactional=True).probe()
        assert not caught.value.passing

    @pytest.mark.parametrize("is_there", [True, False])
    def test_whatever_is_there_it_writes_nothing(self, tables: Tables, *, is_there: bool) -> None:
        if is_there:
            tables.put(tables.status, message_id="probe", reason="it broke")
            tables.put(tables.completed, message_id="probe", claim="x")
        both = (tables.status, tables.completed)
        before = [tables.real.scan(TableName=table)["Items"] for table in both]
        tables.ledger(transactional=True).probe()
        assert [tables.real.scan(TableName=table)["Items"] for table in both] == before

    @pytest.mark.parametrize(
        "codes",
        [
            ("ConditionalCheckFailed", "ConditionalCheckFailed"),
            ("ConditionalCheckFailed", "None"),
            ("TransactionConflict", "None"),
            ("ConditionalCheckFailed", "TransactionConflict"),
        ],
    )
    def test_a_refusal_says_that_it_is_up_and_after_a_conflict_it_is_asked_again(
        self, tables: Tables, codes: tuple[str, ...]
    ) -> None:
        tables.dynamo.then(cancelled(*codes))
        tables.ledger(transactional=True).probe()
        assert len(tables.dynamo.calls) == 3 + ("TransactionConflict" in codes)

    @pytest.mark.parametrize(
        "error",
        [
            no_answer(),
            NoCredentialsError(),
            refusal("AccessDeniedException"),
            refusal("UnrecognizedClientException"),
            refusal("ExpiredTokenException"),
            refusal("ThrottlingException"),
            refusal("InternalServerError"),
            refusal("TransactionCanceledException"),
            cancelled("None", "ValidationError"),
            cancelled("ThrottlingError", "None"),
        ],
        ids=str,
    )
    def test_anything_else_says_that_it_is_down(self, tables: Tables, error: Exception) -> None:
        tables.dynamo.then(error)
        with pytest.raises(LedgerDown) as caught:
            tables.ledger(transactional=True).probe()
        assert caught.value.__cause__ is error

    @pytest.mark.parametrize("gone", ["status", "completed"])
    def test_a_missing_table_is_found(self, tables: Tables, gone: str) -> None:
        tables.real.delete_table(TableName=getattr(tables, gone))
        with pytest.raises(LedgerDown, match="ResourceNotFound"):
            tables.ledger(transactional=True).probe()

    def test_a_table_with_another_key_is_found(self, tables: Tables) -> None:
        tables.dynamo.then(refusal("ValidationException"))
        with pytest.raises(LedgerDown):
            tables.ledger(transactional=True).probe()


def test_without_tables_every_delivery_is_worked_on_and_done() -> None:
    ledger = NoLedger()
    batch = [a_message("a"), a_message("b")]
    ledger.probe()
    assert ledger.claim(batch) == [Claim.CLAIMED] * 2
    assert ledger.complete(batch) == [Completion.EFFECT] * 2
    assert ledger.fail([(message, "it broke") for message in batch]) == [False, False]
