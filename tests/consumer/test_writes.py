"""Every group of writes gets its own outcome, whatever DynamoDB says to the call as a whole."""

from typing import Any

import pytest

from sqs_worker.ports import LedgerDown
from sqs_worker.writes import Outcome, Refused, Unsettled, Write, Writer, Written
from support.fakes import ScriptedDynamo, a_message, cancelled, no_answer, refusal

OK, FAILED, CONFLICT = "None", "ConditionalCheckFailed", "TransactionConflict"
THROTTLED = ["ThrottlingError", "ProvisionedThroughputExceeded", "ThrottlingException"]
IN_PROGRESS = "TransactionInProgressException"
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


@pytest.mark.parametrize("reason", [CONFLICT, *THROTTLED])
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


@pytest.mark.parametrize("single", [True, False])
def test_a_transaction_still_in_progress_is_tried_again(single: bool) -> None:
    names = "a" if single else "abc"
    dynamo = ScriptedDynamo(refusal(IN_PROGRESS))
    assert settle(dynamo, *names) == [Written()] * len(names)
    assert len(dynamo.calls) == 2
    assert len(dynamo.pauses) == 1  # type: ignore[attr-defined]


def test_a_transaction_that_stays_in_progress_leaves_open_what_happened() -> None:
    dynamo = ScriptedDynamo(*[refusal(IN_PROGRESS)] * TRIES)
    with pytest.raises(LedgerDown, match=IN_PROGRESS) as caught:
        settle(dynamo, *"ab")
    assert caught.value.passing
    assert not caught.value.throttled
    assert len(dynamo.calls) == TRIES


@pytest.mark.parametrize("reason", THROTTLED)
@pytest.mark.parametrize(
    ("pairs", "other"),
    [*((True, code) for code in (OK, CONFLICT, FAILED, "ThrottlingError")), (False, CONFLICT)],
)
def test_throttling_that_stays_is_the_trouble_of_the_ledger(
    reason: str, pairs: bool, other: str
) -> None:
    """Whatever else is said of the same message, and of another one."""
    dynamo = ScriptedDynamo(*[cancelled(reason, other)] * TRIES)
    with pytest.raises(LedgerDown, match=f"Thr.* after {TRIES} tries") as caught:
        settle(dynamo, *("a" if pairs else "ab"), pairs=pairs)
    assert caught.value.throttled
    assert caught.value.passing
    assert len(dynamo.calls) == TRIES


def test_throttling_that_stays_is_told_although_others_are_written_by_then() -> None:
    throttled = refusal("ProvisionedThroughputExceededException")
    dynamo = ScriptedDynamo(cancelled("ThrottlingError", OK), None, throttled)
    with pytest.raises(LedgerDown) as caught:
        settle(dynamo, *"ab")
    assert caught.value.throttled
    assert [written(call) for call in dynamo.calls] == [["a", "b"], ["b"], ["a"]]


ANSWERS_OF_SOMETHING_ELSE = [{}, {"ConsumedCapacity": []}, {"ConsumedCapacity": {}}, {"ok": True}]


@pytest.mark.parametrize("answer", ANSWERS_OF_SOMETHING_ELSE, ids=str)
@pytest.mark.parametrize(("names", "pairs"), [("a", False), ("ab", False), ("a", True)])
def test_a_success_without_the_capacity_that_was_asked_for_is_no_answer(
    answer: dict[str, Any], names: str, pairs: bool
) -> None:
    with pytest.raises(LedgerDown) as caught:
        settle(ScriptedDynamo(answer), *names, pairs=pairs)
    assert not caught.value.passing


def test_a_success_without_proof_after_a_first_answer_is_none_either() -> None:
    for script in ([cancelled(OK, FAILED)], [refusal("ValidationException")]):
        with pytest.raises(LedgerDown):
            settle(ScriptedDynamo(*script, {}), *"ab")


NONSENSE = [
    {},
    {"CancellationReasons": []},
    {"CancellationReasons": [{"Code": OK}] * 2},
    {"CancellationReasons": [{}, {}]},
    {"CancellationReasons": [{"Code": FAILED}]},
    {"CancellationReasons": [{"Code": FAILED}] * 3},
    {"CancellationReasons": [{"Code": FAILED}, None]},
]


@pytest.mark.parametrize("reasons", NONSENSE, ids=str)
@pytest.mark.parametrize(("names", "pairs"), [("ab", False), ("a", True)])
def test_a_cancellation_without_a_reason_for_each_item_says_nothing(
    reasons: dict[str, Any], names: str, pairs: bool
) -> None:
    error = refusal("TransactionCanceledException", **reasons)
    dynamo = ScriptedDynamo(error)
    with pytest.raises(LedgerDown) as caught:
        settle(dynamo, *names, pairs=pairs)
    assert caught.value.__cause__ is error
    assert not caught.value.passing
    assert len(dynamo.calls) == 1


@pytest.mark.parametrize(
    ("error", "names"),
    [
        (refusal("ConditionalCheckFailedException", Item={"x": {}}), "ab"),
        (refusal("TransactionConflictException"), "ab"),
        (cancelled(FAILED), "a"),
    ],
    ids=str,
)
def test_an_error_that_such_a_call_cannot_have_says_nothing(error: Exception, names: str) -> None:
    with pytest.raises(LedgerDown) as caught:
        settle(ScriptedDynamo(error), *names)
    assert caught.value.__cause__ is error


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
    ("error", "passing", "throttled"),
    [
        (no_answer(), True, False),
        (refusal("InternalServerError", ResponseMetadata={"HTTPStatusCode": 500}), True, False),
        (refusal("503", ResponseMetadata={"HTTPStatusCode": 503}), True, False),
        (refusal("ThrottlingException"), True, True),
        (refusal("ProvisionedThroughputExceededException"), True, True),
        (refusal("RequestLimitExceeded"), True, True),
        (refusal("ResourceNotFoundException"), False, False),
        (refusal("AccessDeniedException"), False, False),
        (refusal("ExpiredTokenException"), False, False),
        (refusal("SomethingNew"), False, False),
        (refusal(""), False, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("names", ["a", "ab"])
def test_any_other_error_means_that_nothing_is_known(
    error: Exception, passing: bool, throttled: bool, names: str
) -> None:
    with pytest.raises(LedgerDown) as caught:
        settle(ScriptedDynamo(error), *names)
    assert caught.value.__cause__ is error
    assert (caught.value.passing, caught.value.throttled) == (passing, throttled)


def test_an_error_after_a_first_answer_is_not_swallowed() -> None:
    with pytest.raises(LedgerDown):
        settle(ScriptedDynamo(cancelled(OK, FAILED, OK), no_answer()), *"abc")


class TestExpectRefusal:
    """The probe: two writes whose conditions cannot hold."""

    def expect(self, *script: Any, writes: int = 2) -> ScriptedDynamo:
        dynamo = ScriptedDynamo(*script)
        writer = Writer(dynamo, lambda _: None)  # type: ignore[arg-type]
        writer.expect_refusal([update("a"), put("a")][:writes])
        return dynamo

    def test_a_refusal_by_the_condition_is_what_it_wants(self) -> None:
        assert len(self.expect(cancelled(FAILED, FAILED)).calls) == 1
        assert len(self.expect(cancelled(FAILED, OK)).calls) == 1
        alone = self.expect(refusal("ConditionalCheckFailedException"), writes=1)
        assert alone.names == ["update_item"]

    def test_a_success_means_that_conditions_are_ignored_and_that_a_row_may_be_there(self) -> None:
        with pytest.raises(LedgerDown, match=r"ignores conditions.*'probe' from completed, status"):
            self.expect(None)
        with pytest.raises(LedgerDown, match=r"ignores conditions.*'probe' from status") as caught:
            self.expect(None, writes=1)
        assert not caught.value.passing

    @pytest.mark.parametrize("answer", ANSWERS_OF_SOMETHING_ELSE, ids=str)
    def test_a_success_without_proof_is_the_answer_of_something_else(
        self, answer: dict[str, Any]
    ) -> None:
        with pytest.raises(LedgerDown, match="not from AWS") as caught:
            self.expect(answer)
        assert not caught.value.passing

    def test_a_conflict_proves_nothing_and_is_tried_again(self) -> None:
        dynamo = self.expect(
            cancelled(CONFLICT, FAILED), cancelled(OK, CONFLICT), cancelled(FAILED, FAILED)
        )
        assert len(dynamo.calls) == 3
        alone = self.expect(
            refusal("TransactionConflictException"),
            refusal("ConditionalCheckFailedException"),
            writes=1,
        )
        assert len(alone.calls) == 2

    def test_a_conflict_that_stays_may_pass_later(self) -> None:
        with pytest.raises(LedgerDown, match="conflicts") as caught:
            self.expect(*[cancelled(CONFLICT, CONFLICT)] * TRIES)
        assert caught.value.passing

    @pytest.mark.parametrize(
        ("error", "passing", "throttled"),
        [
            (no_answer(), True, False),
            (refusal("InternalServerError", ResponseMetadata={"HTTPStatusCode": 500}), True, False),
            (refusal("ThrottlingException"), True, True),
            (cancelled("ThrottlingError", OK), True, True),
            (cancelled(CONFLICT, "ProvisionedThroughputExceeded"), True, True),
            (refusal("AccessDeniedException"), False, False),
            (refusal("ResourceNotFoundException"), False, False),
            (refusal("ValidationException"), False, False),
            (cancelled("ValidationError", OK), False, False),
            (cancelled(OK, OK), False, False),
            (cancelled(FAILED), False, False),
            (refusal("ConditionalCheckFailedException"), False, False),
        ],
        ids=str,
    )
    def test_anything_else_is_a_ledger_that_is_down(
        self, error: Exception, passing: bool, throttled: bool
    ) -> None:
        with pytest.raises(LedgerDown) as caught:
            self.expect(error)
        assert caught.value.__cause__ is error
        assert (caught.value.passing, caught.value.throttled) == (passing, throttled)
