"""Forward to the end or back to the start, and no crash between two lines leaves it between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sqs_worker.http_service import Answer, OutsideDown, Request
from sqs_worker.message import Message
from sqs_worker.ports import LedgerDown
from sqs_worker.saga import STEPS, Log, Saga, SagaRows, next_action
from support.fakes import LOST, Notes, ScriptedDynamo, a_message, no_answer, refusal

SHIPPED = ("reserve", "charge", "ship")
TAKEN_BACK = ("reserve", "charge", "ship-refused", "cancel", "refund", "release")


class Cut(BaseException):
    """The process would have ended here."""


def test_the_way_forward_and_the_way_back() -> None:
    for path in (SHIPPED, TAKEN_BACK):
        for place, entry in enumerate(path):
            assert next_action(path[:place]) == entry.removesuffix("-refused")
        assert next_action(path) is None


@pytest.mark.parametrize(
    ("refused", "back"),
    [
        ("reserve", ["release"]),
        ("charge", ["refund", "release"]),
        ("ship", ["cancel", "refund", "release"]),
    ],
)
def test_whichever_step_is_refused_is_closed_first(refused: str, back: list[str]) -> None:
    steps = [step for step, _ in STEPS]
    log: Log = (*steps[: steps.index(refused)], f"{refused}-refused")
    for undo in back:
        assert next_action(log) == undo
        log = (*log, undo)
    assert next_action(log) is None


class Services:
    """Answers a key that it knows from memory; `effects` is what was really done."""

    def __init__(self, refused: str = "") -> None:
        self.effects: list[str] = []
        self.asked: list[Request] = []
        self._refused = refused
        self._answers: dict[str, Answer] = {}

    def call(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.key not in self._answers:
            refused = request.action == self._refused
            self._answers[request.key] = Answer.REFUSED if refused else Answer.DONE
            self.effects.append(request.action + ("-refused" if refused else ""))
        return self._answers[request.key]


class Rows:
    """The logs in memory, with the condition of the real ones."""

    def __init__(self) -> None:
        self.log: Log = ()

    def read(self, _message: Message) -> Log:
        return self.log

    def append(self, _message: Message, log: Log, entry: str) -> Log:
        if self.log == log:
            self.log = (*log, entry)
        return self.log


PATHS = [("", SHIPPED), ("ship", TAKEN_BACK)]


class Fragile(Rows):
    """Rows that are cut off before or after a write, or before a call."""

    def __init__(self, lines: int, services: Services) -> None:
        super().__init__()
        self._left = lines
        self._services = services

    def line(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Cut

    def call(self, request: Request) -> Answer:
        self.line()
        return self._services.call(request)

    def append(self, message: Message, log: Log, entry: str) -> Log:
        self.line()
        after = super().append(message, log, entry)
        self.line()
        return after


@pytest.mark.parametrize(("refused", "path"), PATHS)
def test_a_crash_between_any_two_lines(refused: str, path: Log) -> None:
    """Before each call, after it, and after its record: two deliveries, one effect of each call."""
    for boundary in range(3 * len(path)):
        services = Services(refused)
        rows = Fragile(boundary, services)
        with pytest.raises(Cut):
            Saga(rows.call, rows, Notes())(a_message())  # type: ignore[arg-type]
        after = Rows()
        after.log = rows.log
        Saga(services.call, after, Notes())(a_message())  # type: ignore[arg-type]
        assert after.log == tuple(services.effects) == path, boundary


class Overtaken(Rows):
    """Rows whose user is overtaken by another delivery, which goes to the end, before a write."""

    def __init__(self, write: int, services: Services) -> None:
        super().__init__()
        self._left = write
        self._services = services

    def append(self, message: Message, log: Log, entry: str) -> Log:
        self._left -= 1
        if self._left == -1:
            Saga(self._services.call, self, Notes())(a_message())  # type: ignore[arg-type]
        return super().append(message, log, entry)


@pytest.mark.parametrize(("refused", "path"), PATHS)
def test_two_deliveries_at_once_take_one_path(refused: str, path: Log) -> None:
    for write in range(len(path)):
        services = Services(refused)
        rows = Overtaken(write, services)
        Saga(services.call, rows, Notes())(a_message())  # type: ignore[arg-type]
        assert rows.log == tuple(services.effects) == path, write


def test_each_call_has_a_key_of_its_own() -> None:
    services = Services("ship")
    Saga(services.call, Rows(), Notes())(a_message(body='{"work": 9}'))  # type: ignore[arg-type]
    keys = [request.key for request in services.asked]
    assert keys == [f"m-1/{entry.removesuffix('-refused')}" for entry in TAKEN_BACK]
    assert {request.amount for request in services.asked} == {9}


def test_messages_of_one_business_key_go_on_with_one_saga() -> None:
    services, rows = Services(), Rows()
    for name in ("m-1", "m-2"):
        saga = Saga(services.call, rows, Notes())  # type: ignore[arg-type]
        saga(replace(a_message(name), business_key="key#a"))
    assert services.effects == list(SHIPPED)
    assert {request.order for request in services.asked} == {"key#a"}
    assert {request.key for request in services.asked} == {f"key#a/{step}" for step in SHIPPED}


@pytest.mark.parametrize(("refused", "path"), PATHS)
def test_an_outage_of_the_log_repeats_no_call(refused: str, path: Log) -> None:
    """Each read and write fails first; the write may have happened before its answer was lost."""

    class Down(Rows):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def fail_first(self) -> None:
            self.calls += 1
            if self.calls % 2:
                raise LedgerDown("no answer")

        def read(self, message: Message) -> Log:
            self.fail_first()
            return super().read(message)

        def append(self, message: Message, log: Log, entry: str) -> Log:
            if len(log) % 2:
                self.fail_first()
                return super().append(message, log, entry)
            after = super().append(message, log, entry)
            self.fail_first()
            return after

    def outlast(_message: Message, call: Callable[[], Log]) -> Log:
        with suppress(LedgerDown):
            return call()
        return call()

    services, rows = Services(refused), Down()
    saga = Saga(services.call, rows, Notes())  # type: ignore[arg-type]
    saga.outlast = outlast
    saga(a_message())
    assert rows.log == tuple(services.effects) == path
    assert len(services.asked) == len(path)


def test_an_answer_that_settles_nothing_is_neither_yes_nor_no() -> None:
    rows = Rows()

    def down(request: Request) -> Answer:
        if request.action == "ship":
            raise OutsideDown("ship answered 503")
        return Answer.DONE

    with pytest.raises(OutsideDown):
        Saga(down, rows, Notes())(a_message())  # type: ignore[arg-type]
    assert rows.log == ("reserve", "charge")


def test_a_compensation_that_is_refused_stays_open() -> None:
    rows = Rows()
    rows.log = TAKEN_BACK[:4]
    with pytest.raises(OutsideDown, match="no other way back"):
        Saga(lambda _request: Answer.REFUSED, rows, Notes())(a_message())  # type: ignore[arg-type]
    assert rows.log == TAKEN_BACK[:4]


@pytest.fixture
def table() -> Iterator[tuple[ScriptedDynamo, SagaRows, Any]]:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    with mock_aws():
        real: Any = boto3.client("dynamodb", region_name="us-west-1", **keys)
        real.create_table(
            TableName="status",
            KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        real.put_item(TableName="status", Item={"message_id": {"S": "m-1"}})
        dynamo = ScriptedDynamo(real=real)
        yield dynamo, SagaRows(dynamo, "status"), real  # type: ignore[arg-type]


class TestRows:
    def test_a_log_is_read_as_it_was_written(self, table: Any) -> None:
        _, rows, _ = table
        message, log = a_message(), ()
        assert rows.read(message) == ()
        for entry in TAKEN_BACK:
            log = rows.append(message, log, entry)
            assert rows.read(message) == log
        assert log == TAKEN_BACK

    def test_who_comes_second_learns_how_far_the_first_was(self, table: Any) -> None:
        _, rows, _ = table
        message = a_message()
        rows.append(message, (), "reserve")
        rows.append(message, ("reserve",), "charge")
        assert rows.append(message, (), "reserve") == ("reserve", "charge")
        assert rows.append(message, ("reserve",), "charge-refused") == ("reserve", "charge")

    def test_a_write_whose_answer_is_lost_is_in_doubt_and_the_next_one_finds_it(
        self, table: Any
    ) -> None:
        dynamo, rows, _ = table
        dynamo.then(LOST)
        with pytest.raises(LedgerDown):
            rows.append(a_message(), (), "reserve")
        assert rows.read(a_message()) == ("reserve",)

    def test_a_table_that_does_not_answer(self, table: Any) -> None:
        dynamo, rows, _ = table
        dynamo.then(no_answer(), refusal("AccessDeniedException"))
        for _ in range(2):
            with pytest.raises(LedgerDown):
                rows.read(a_message())

    @pytest.mark.parametrize("answer", [{}, {"Responses": None}])
    def test_an_answer_that_is_not_from_dynamodb(self, table: Any, answer: dict[str, Any]) -> None:
        dynamo, rows, _ = table
        dynamo.then(answer)
        with pytest.raises(LedgerDown):
            rows.read(a_message())

    def test_a_row_that_is_not_there_is_no_empty_log(self, table: Any) -> None:
        _, rows, _ = table
        with pytest.raises(LedgerDown, match="could not be read"):
            rows.read(a_message("nobody"))
