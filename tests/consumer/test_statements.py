"""Statements are done or left to somebody who knows more; what is impossible is said aloud."""

from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from support.doubles import ScriptedDynamo, no_answer, refusal
from worker.ports import LedgerDown
from worker.statements import MOST, Statement, Statements, insert, update

HERE = {"message_id": {"S": "o'clock \"; --"}, "claim": {"S": "c"}}


def answer(*codes: str | None) -> dict[str, Any]:
    """An answer to a batch, with an error for each code."""
    errors = [{"Error": {"Code": code, "Message": "no"}} if code else {} for code in codes]
    return {"Responses": errors}


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


@pytest.mark.parametrize(
    "code",
    [
        "DuplicateItem",
        "ConditionalCheckFailed",
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "InternalServerError",
        "ValidationError",
        "ItemCollectionSizeLimitExceeded",
        "ResourceNotFound",
    ],
)
def test_each_statement_has_its_own_outcome(code: str) -> None:
    dynamo = ScriptedDynamo(answer(None, code, None))
    assert Statements(dynamo).execute(some(3)) == [True, False, True]  # type: ignore[arg-type]
    ((name, request),) = dynamo.calls
    assert name == "batch_execute_statement"
    assert request == {"Statements": some(3), "ReturnConsumedCapacity": "TOTAL"}


@pytest.mark.parametrize(
    "impossible",
    [
        answer(None, "AccessDenied"),
        answer("AccessDenied", "AccessDenied"),
        refusal("AccessDeniedException"),
        refusal("UnknownOperationException"),
        refusal("ValidationException"),
    ],
)
def test_where_they_are_impossible_it_is_said_once_and_left_to_others(impossible, caplog) -> None:
    dynamo = ScriptedDynamo(impossible)
    statements = Statements(dynamo)  # type: ignore[arg-type]
    first = statements.execute(some(2))
    assert first[1] is False
    for _ in range(3):
        assert statements.execute(some(2)) == [False, False]
    assert len(dynamo.calls) == 1
    (line,) = caplog.messages
    assert all(word in line for word in ("USE_PARTIQL_STATEMENTS", "PartiQLInsert", "transactions"))


@pytest.mark.parametrize(
    "error", [no_answer(), NoCredentialsError(), refusal("InternalServerError")]
)
def test_no_answer_is_a_ledger_that_is_down(error: Exception) -> None:
    dynamo = ScriptedDynamo(error, answer(None, None))
    statements = Statements(dynamo)  # type: ignore[arg-type]
    with pytest.raises(LedgerDown):
        statements.execute(some(2))
    assert statements.execute(some(2)) == [True, True]


def test_more_than_fit_into_a_call_go_into_several() -> None:
    dynamo = ScriptedDynamo(answer(*[None] * MOST), answer("DuplicateItem"))
    done = Statements(dynamo).execute(some(MOST + 1))  # type: ignore[arg-type]
    assert done == [True] * MOST + [False]
    assert [len(request["Statements"]) for _, request in dynamo.calls] == [MOST, 1]


def test_nothing_to_do_is_no_call() -> None:
    dynamo = ScriptedDynamo()
    assert Statements(dynamo).execute([]) == []  # type: ignore[arg-type]
    assert dynamo.calls == []
