"""A row that DynamoDB fails to write is the failure of one message, in each way of writing."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from consumer.test_ledger import Tables
from sqs_worker.in_flight import Bounds
from sqs_worker.message import Message
from sqs_worker.outage import Outage, RetryingLedger
from sqs_worker.ports import Claim, Completion
from support.fakes import FakeStop, FakeTime, Notes, ScriptedDynamo, a_message, refusal

BAD = "m-2"
SERVER_ERROR = refusal("InternalServerError", ResponseMetadata={"HTTPStatusCode": 500})


class Broken(ScriptedDynamo):
    """Answers 500 to each call that writes the bad id to `table`, which `after` has happened then.

    A refusal is passed on: it finds what has happened.
    """

    after = False
    table = ""

    def _call(self, name: str, request: dict[str, Any]) -> Any:
        is_bad = f"'{BAD}'" in str(request) and self.table in str(request)
        if is_bad and not self.after:
            self.calls.append((name, request))
            raise SERVER_ERROR
        answer = super()._call(name, request)
        if is_bad:
            raise SERVER_ERROR
        return answer


@pytest.fixture
def tables() -> Iterator[Tables]:
    with mock_aws():
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        yield Tables(boto3.client("dynamodb", region_name="us-west-1", **keys))


@pytest.fixture(params=[True, False], ids=["transactional", "plain"])
def patient(
    request: pytest.FixtureRequest, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> RetryingLedger:
    clock = FakeTime()
    monkeypatch.setattr("sqs_worker.outage.time", clock)
    tables.dynamo = Broken(real=tables.real)
    notes: Any = Notes()
    outage = Outage(FakeStop(clock), notes, lambda **_: pytest.fail("an outage"))  # type: ignore[arg-type]
    return RetryingLedger(tables.ledger(transactional=request.param), outage, Bounds(30))


def batch() -> list[Message]:
    return [a_message(f"m-{number}") for number in range(5)]


@pytest.mark.parametrize("after", [False, True], ids=["nothing written", "written"])
def test_claims_of_the_others_count_once(
    patient: RetryingLedger, tables: Tables, after: bool
) -> None:
    messages = batch()
    tables.dynamo.after = after  # type: ignore[attr-defined]
    bad = Claim.CLAIMED if after else Claim.UNKNOWN
    assert patient.claim(messages) == [bad if m.id == BAD else Claim.CLAIMED for m in messages]
    assert {tables.row(m.id)["attempts"] for m in messages if m.id != BAD} == {1}
    assert tables.row(BAD).get("attempts", 0) == after


@pytest.mark.parametrize("after", [False, True], ids=["nothing written", "written"])
@pytest.mark.parametrize("table", ["status", "completed"])
def test_effects_of_the_others_are_there_once(
    patient: RetryingLedger, tables: Tables, after: bool, table: str
) -> None:
    """A group of completions that fails as a whole may have happened, and is then tried singly."""
    messages = batch()
    broken: Any = tables.dynamo
    broken.table = "no table"
    patient.claim(messages)
    broken.table, broken.after = getattr(tables, table), after
    bad = Completion.EFFECT if after else Completion.UNKNOWN
    completions = patient.complete(messages)
    assert completions == [bad if m.id == BAD else Completion.EFFECT for m in messages]
    assert {tables.row(m.id)["effects"] for m in messages if m.id != BAD} == {1}
    assert all(tables.gate(m.id) for m in messages if m.id != BAD)
    assert tables.row(BAD).get("effects", 0) == after
    broken.table = "no table"
    again = a_message(BAD)
    if patient.claim([again]) == [Claim.CLAIMED]:
        assert patient.complete([again]) == [Completion.EFFECT]
    assert tables.row(BAD)["effects"] == 1
    assert tables.gate(BAD)
