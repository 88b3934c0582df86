"""Every group of writes gets its own outcome, whatever DynamoDB says to the call as a whole."""

from typing import Any

import pytest

from support.doubles import ScriptedDynamo, a_message, cancelled, no_answer, refusal
from worker.ports import LedgerDown
from worker.writes import Outcome, Refused, Unsettled, Write, Writer, Written

OK, FAILED, CONFLICT = "None", "ConditionalCheckFailed", "TransactionConflict"
PASSING = [CONFLICT, "ThrottlingError", "ProvisionedThroughputExceeded"]
TRIES = 6


def update(name: str) -> Write:
    return {"Update": {"TableName": "status", "Key": name}}


def put(name: str) -> Write:
    return {"Put": {"TableName": "completed", "Item": name}}


def settle(dynamo: ScriptedDynamo, *names: str, pairs: bool = False) -> list[Outcome]:
    """Settle one write, or with `pairs` two, for each name."""
    groups = [
        (a_message(name), [update(name), put(name)] if pairs else [update(name)]) for name in names
    ]
    pauses: list[float] = []
    outcomes = Writer(dynamo, pauses.append).settle(groups)  # type: ignore[arg-type]
    assert all(0 <= pause <= 1 for pause in pauses)
    dynamo.pauses = pauses  # type: ignore[attr-defined]
    return outcomes


def written(call: tuple[str, dict[str, Any]]) -> list[str]:
    """The names that a call wrote for, in order."""
    name, request = call
    if name != "transact_write_items":
        return [request.get("Key") or request["Item"]]
    requests = [next(iter(write.values())) for write in request["TransactItems"]]
    return [request.get("Key") or request["Item"] for request in requests]


def test_nothing_to_write_is_no_call() -> None:
    dynamo = ScriptedDynamo()
    assert settle(dynamo) == []
    assert dynamo.calls == []


@pytest.mark.parametrize(("write", "name"), [(update, "update_item"), (put, "put_item")])
def test_one_write_is_a_plain_call_that_costs_half(write: Any, name: str) -> None:
    dynamo = ScriptedDynamo()
    writer = Writer(dynamo)  # type: ignore[arg-type]
    assert writer.settle([(a_message(), [write("a")])]) == [Written()]
    assert dynamo.names == [name]
    assert dynamo.calls[0][1]["ReturnConsumedCapacity"] == "TOTAL"


def test_a_batch_is_one_transaction_and_so_are_two_writes_of_one_message() -> None:
    for names, pairs, items in (("abc", False, 3), ("a", True, 2), ("abc", True, 6)):
        dynamo = ScriptedDynamo()
        assert settle(dynamo, *names, pairs=pairs) == [Written()] * len(names)
        ((name, request),) = dynamo.calls
        assert name == "transact_write_items"
        assert len(request["TransactItems"]) == items
        assert request["ReturnConsumedCapacity"] == "TOTAL"


def test_a_refused_write_brings_the_row_that_stood_in_its_way() -> None:
    row = {"status": {"S": "COMPLETED"}}
    dynamo = ScriptedDynamo(refusal("ConditionalCheckFailedException", Item=row))
    assert settle(dynamo, "a") == [Refused((row,))]
    dynamo = ScriptedDynamo(refusal("ConditionalCheckFailedException"))
    assert settle(dynamo, "a") == [Refused(({},))]


def test_what_is_refused_is_answered_and_the_rest_tried_without_it() -> None:
    dynamo = ScriptedDynamo(cancelled(OK, (FAILED, {"who": {"S": "b"}}), OK))
    assert settle(dynamo, *"abc") == [Written(), Refused(({"who": {"S": "b"}},)), Written()]
    assert [written(call) for call in dynamo.calls] == [["a", "b", "c"], ["a", "c"]]
    assert dynamo.pauses == []  # type: ignore[attr-defined]


def test_a_single_rest_is_written_without_a_transaction() -> None:
    dynamo = ScriptedDynamo(cancelled(OK, FAILED))
    assert settle(dynamo, *"ab") == [Written(), Refused(({},))]
    assert dynamo.names == ["transact_write_items", "update_item"]


@pytest.mark.parametrize("reason", PASSING)
def test_what_passes_by_itself_is_tried_again_after_a_pause_and_holds_nobody_up(
    reason: str,
) -> None:
    dynamo = ScriptedDynamo(cancelled(OK, reason, OK), None, None)
    assert settle(dynamo, *"abc") == [Written()] * 3
    assert [written(call) for call in dynamo.calls] == [["a", "b", "c"], ["a", "c"], ["b"]]
    assert len(dynamo.pauses) == 1  # type: ignore[attr-defined]


def test_a_conflict_is_never_taken_for_a_refusal() -> None:
    dynamo = ScriptedDynamo(cancelled((FAILED, {"x": {}}), CONFLICT), cancelled(FAILED, OK))
    assert settle(dynamo, "a", pairs=True) == [Refused(({}, None))]
    assert len(dynamo.calls) == 2


def test_mixed_reasons_go_to_the_groups_that_they_belong_to() -> None:
    row = {"status": {"S": "COMPLETED"}}
    dynamo = ScriptedDynamo(
        cancelled(OK, OK, (FAILED, row), OK, OK, CONFLICT, OK, "ValidationError", OK, (FAILED, row))
    )
    assert settle(dynamo, *"abcde", pairs=True) == [
        Written(),
        Refused((row, None)),
        Written(),
        Unsettled("ValidationError"),
        Refused((None, row)),
    ]
    assert [written(call)[::2] for call in dynamo.calls] == [list("abcde"), ["a"], ["c"]]


def test_a_conflict_that_stays_is_unsettled_after_a_bounded_number_of_tries() -> None:
    for single, error in (
        (True, refusal("TransactionConflictException")),
        (False, cancelled(CONFLICT, CONFLICT)),
    ):
        dynamo = ScriptedDynamo(*[error] * (TRIES + 1))
        outcomes = settle(dynamo, *("a" if single else "ab"))
        assert all(isinstance(outcome, Unsettled) for outcome in outcomes)
        assert len(dynamo.calls) == TRIES
        assert len(dynamo.pauses) == TRIES - 1  # type: ignore[attr-defined]


def test_a_conflict_on_a_single_write_is_tried_again() -> None:
    dynamo = ScriptedDynamo(refusal("TransactionConflictException"))
    assert settle(dynamo, "a") == [Written()]
    assert dynamo.names == ["update_item", "update_item"]


@pytest.mark.parametrize("reasons", [{}, {"CancellationReasons": []}])
def test_a_cancellation_whose_reasons_are_missing_is_tried_again(reasons: dict[str, Any]) -> None:
    for names, pairs in (("ab", False), ("a", True), ("ab", True)):
        dynamo = ScriptedDynamo(refusal("TransactionCanceledException", **reasons))
        assert settle(dynamo, *names, pairs=pairs) == [Written()] * len(names)
        assert len(dynamo.calls) == 2
        assert len(dynamo.pauses) == 1  # type: ignore[attr-defined]


def test_a_cancellation_without_any_reason_ends_too() -> None:
    dynamo = ScriptedDynamo(*[cancelled(OK, OK)] * (TRIES + 1))
    outcomes = settle(dynamo, *"ab")
    assert all(isinstance(outcome, Unsettled) for outcome in outcomes)
    assert len(dynamo.calls) == TRIES


def test_a_malformed_message_is_found_and_the_others_pass() -> None:
    bad = refusal("ValidationException")
    dynamo = ScriptedDynamo(bad, None, bad, None)
    assert settle(dynamo, *"abc") == [Written(), Unsettled("ValidationException"), Written()]
    assert [written(call) for call in dynamo.calls] == [["a", "b", "c"], ["a"], ["b"], ["c"]]


def test_a_malformed_message_on_its_own_costs_one_call() -> None:
    for pairs in (False, True):
        dynamo = ScriptedDynamo(refusal("ValidationException"))
        assert settle(dynamo, "a", pairs=pairs) == [Unsettled("ValidationException")]
        assert len(dynamo.calls) == 1


def test_a_conflict_among_the_others_of_a_malformed_message_is_tried_again() -> None:
    bad = refusal("ValidationException")
    dynamo = ScriptedDynamo(bad, refusal("TransactionConflictException"), bad, None)
    assert settle(dynamo, *"ab") == [Written(), Unsettled("ValidationException")]
    assert [written(call) for call in dynamo.calls] == [["a", "b"], ["a"], ["b"], ["a"]]


@pytest.mark.parametrize(
    "error",
    [
        no_answer(),
        refusal("InternalServerError"),
        refusal("ThrottlingException"),
        refusal("ProvisionedThroughputExceededException"),
        refusal("RequestLimitExceeded"),
        refusal("ResourceNotFoundException"),
        refusal("AccessDeniedException"),
        refusal("ExpiredTokenException"),
        refusal("TransactionInProgressException"),
        refusal("SomethingNew"),
    ],
    ids=str,
)
@pytest.mark.parametrize("names", ["a", "ab"])
def test_any_other_error_means_that_nothing_is_known(error: Exception, names: str) -> None:
    with pytest.raises(LedgerDown) as caught:
        settle(ScriptedDynamo(error), *names)
    assert caught.value.__cause__ is error


def test_an_error_after_a_first_answer_is_not_swallowed() -> None:
    with pytest.raises(LedgerDown):
        settle(ScriptedDynamo(cancelled(OK, FAILED, OK), no_answer()), *"abc")
