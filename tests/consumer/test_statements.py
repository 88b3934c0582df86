"""Statements are done or left to somebody who knows more; what cannot be is said aloud."""

from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from sqs_worker.ports import LedgerDown
from sqs_worker.writes import Statement, Statements, insert, update
from support.fakes import ScriptedDynamo, no_answer, refusal

HERE = {"message_id": {"S": "o'clock \"; --"}, "claim": {"S": "c"}}


def answer(*codes: str | None) -> dict[str, Any]:
    """An answer to a batch, with an error for each code."""
    errors = [{"Error": {"Code": code, "Message": "no"}} if code else {} for code in codes]
    return {"Responses": errors, "ConsumedCapacity": [{"CapacityUnits": 1.0}]}


def some(count: int) -> list[Statement]:
    return [insert("status", {"message_id": {"S": str(number)}}) for number in range(count)]


def test_an_insert_names_its_attributes_and_keeps_values_out_of_the_text() -> None:
    assert insert("s.t-1", HERE) == {
        "Statement": "INSERT INTO \"s.t-1\" VALUE {'message_id': ?, 'claim': ?}",
        "Parameters": [{"S": "o'clock \"; --"}, {"S": "c"}],
    }


def test_an_update_asks_for_the_whole_row_and_for_what_is_not_in_it() -> None:
    changes = {"status": {"S": "COMPLETED"}, "effects": {"N": "1"}}
    assert update("s", HERE, changes, absent=["effects"]) == {
        "Statement": 'UPDATE "s" SET "status" = ? SET "effects" = ? '
        'WHERE "message_id" = ? AND "claim" = ? AND "effects" IS MISSING',
        "Parameters": [*changes.values(), *HERE.values()],
    }


def executed(dynamo: ScriptedDynamo, count: int = 2) -> list[bool]:
    return Statements(dynamo).execute(some(count))  # type: ignore[arg-type]


def test_each_statement_has_its_own_outcome() -> None:
    dynamo = ScriptedDynamo(answer(None, "DuplicateItem", None))
    assert executed(dynamo, 3) == [True, False, True]
    ((name, request),) = dynamo.calls
    assert name == "batch_execute_statement"
    assert request == {"Statements": some(3), "ReturnConsumedCapacity": "TOTAL"}


@pytest.mark.parametrize(
    "trouble",
    [
        answer("ThrottlingError", None),
        answer("DuplicateItem", "ValidationError"),
        {"Responses": [{"Error": {}}, {"Error": {"Code": "DuplicateItem"}}]},
        {"Responses": [{"Error": {"Message": "no"}}, {}], "ConsumedCapacity": [{"x": 1}]},
        refusal("InternalServerError"),
        refusal("ThrottlingException"),
        refusal("RequestLimitExceeded"),
        refusal("ResourceNotFoundException"),
        refusal(""),
    ],
)
def test_what_may_pass_is_left_to_others_for_once(trouble: Any, caplog: Any) -> None:
    dynamo = ScriptedDynamo(trouble, answer(None, None))
    statements = Statements(dynamo)  # type: ignore[arg-type]
    assert False in statements.execute(some(2))
    assert statements.execute(some(2)) == [True, True]
    assert not caplog.messages


@pytest.mark.parametrize(
    "forbidden",
    [
        answer(None, "AccessDenied"),
        answer("ValidationError", "ValidationError"),
        refusal("AccessDeniedException"),
    ],
)
def test_what_will_not_pass_is_said_and_left_to_others_until_a_probe(
    forbidden: Any, caplog: Any
) -> None:
    dynamo = ScriptedDynamo(forbidden)
    statements = Statements(dynamo)  # type: ignore[arg-type]
    assert False in statements.execute(some(2))
    for _ in range(3):
        assert statements.execute(some(2)) == [False, False]
    assert len(dynamo.calls) == 1
    (line,) = caplog.messages
    assert all(word in line for word in ("USE_PARTIQL_STATEMENTS", "PartiQLInsert", "transactions"))
    dynamo.then(answer("ConditionalCheckFailed"), answer(None, None))
    statements.probe(some(1)[0])
    assert statements.execute(some(2)) == [True, True]


@pytest.mark.parametrize(
    "told",
    [
        answer(None),
        answer("ValidationError"),
        answer("AccessDenied"),
        answer(),
        refusal("InternalServerError"),
        refusal("UnknownOperationException"),
        no_answer(),
    ],
)
def test_a_probe_wants_the_refusal_of_its_condition_and_nothing_else(
    told: Any, caplog: Any
) -> None:
    dynamo = ScriptedDynamo(told)
    statements = Statements(dynamo)  # type: ignore[arg-type]
    statements.probe(some(1)[0])
    assert statements.execute(some(2)) == [False, False]
    assert len(dynamo.calls) == len(caplog.messages) == 1


@pytest.mark.parametrize(
    "error",
    [
        no_answer(),
        NoCredentialsError(),
        {},
        {"Responses": []},
        answer(None),
        answer(None, None, None),
        {"Responses": [{}, {}]},
        {"Responses": [{}, {"Error": {"Code": "DuplicateItem"}}]},
        {"Responses": [{}, None], "ConsumedCapacity": [{"CapacityUnits": 1.0}]},
    ],
    ids=str,
)
def test_no_answer_is_a_ledger_that_is_down(error: Any) -> None:
    dynamo = ScriptedDynamo(error, answer(None, None))
    statements = Statements(dynamo)  # type: ignore[arg-type]
    with pytest.raises(LedgerDown):
        statements.execute(some(2))
    assert statements.execute(some(2)) == [True, True]
