"""With statements the tables hold what they hold without, for fewer units, on the local stack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import settings

from consumer.integration.support import QUICK
from consumer.ledger_machine import RELAXED, Machine
from local_aws import Stack
from sqs_worker.ledger import DynamoLedger
from sqs_worker.message import Message
from sqs_worker.ports import Claim, Completion, LedgerDown
from sqs_worker.rows import KEEP_SECONDS
from sqs_worker.writes import Write
from support.fakes import LOST, ScriptedDynamo, a_message, refusal
from support.proxy import COUNT_EVERYTHING
from support.queues import QueueSet, QueueSets

pytestmark = pytest.mark.integration

NOW = 1_700_000_000.0
STATEMENTS, TRANSACTION = "batch_execute_statement", "transact_write_items"
ROUNDS = 25
BROKEN = {
    "500": {"error": {"code": "InternalServerError", "status": 500}},
    "forbidden": {"error": {"code": "AccessDeniedException", "status": 400}},
    "no answer": {"reset": True},
}


class Books:
    """One pair of tables, a clock that stands still, and ledgers that use statements."""

    def __init__(self, made: QueueSet) -> None:
        self.made = made
        self.dynamo = ScriptedDynamo(real=made.dynamodb)
        self.now = NOW

    def ledger(
        self,
        *,
        transactional: bool,
        statements: bool = True,
        joining: Callable[[Message], list[Write]] = lambda _message: [],
    ) -> DynamoLedger:
        return DynamoLedger(
            self.dynamo,  # type: ignore[arg-type]
            (self.made.status_table, self.made.completed_table),
            transactional=transactional,
            statements=statements,
            joining=joining,
            clock=lambda: self.now,
        )

    def names(self) -> list[str]:
        """The calls since the last look."""
        names = self.dynamo.names
        self.dynamo.calls.clear()
        return names

    @property
    def rows(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.made.status_rows(), self.made.completed_rows()


@pytest.fixture
def books(queue_set: QueueSets) -> Books:
    return Books(queue_set())


@pytest.fixture(params=[True, False], ids=["transactional", "plain"])
def ledger(request: pytest.FixtureRequest, books: Books) -> DynamoLedger:
    return books.ledger(transactional=request.param)


def batch(count: int = 3) -> list[Message]:
    return [a_message(f"m-{number}") for number in range(count)]


@pytest.mark.parametrize("transactional", [True, False])
def test_the_rows_are_the_same_as_without(queue_set: QueueSets, transactional: bool) -> None:
    messages, found = batch(), []
    for statements in (True, False):
        books = Books(queue_set())
        ledger = books.ledger(transactional=transactional, statements=statements)
        assert ledger.claim(messages) == [Claim.CLAIMED] * 3
        claimed = books.rows
        books.now += 7
        assert ledger.complete(messages) == [Completion.EFFECT] * 3
        found.append((claimed, books.rows))
        used = books.names()
        assert (STATEMENTS in used) is statements
        assert (TRANSACTION in used) is (transactional or not statements)
    assert found[0] == found[1]


def test_a_batch_is_one_call_a_step(books: Books) -> None:
    plain, both = books.ledger(transactional=False), books.ledger(transactional=True)
    messages = batch()
    plain.claim(messages)
    assert books.names() == [STATEMENTS]
    plain.complete(messages)
    assert books.names() == [STATEMENTS, STATEMENTS]
    messages = [a_message("n-1"), a_message("n-2")]
    both.claim(messages)
    both.complete(messages)
    assert books.names() == [STATEMENTS, TRANSACTION]


def test_a_probe_writes_nothing_and_finds_that_statements_can_be_used(books: Books) -> None:
    ledger = books.ledger(transactional=False)
    ledger.probe()
    ledger.claim(batch())
    assert books.names() == [TRANSACTION, "update_item", "put_item", STATEMENTS, STATEMENTS]
    assert set(books.rows[0]) == {"m-0", "m-1", "m-2"}
    assert books.rows[1] == {}


def test_where_a_probe_finds_no_statements_all_goes_on_without(books: Books) -> None:
    ledger = books.ledger(transactional=False)
    books.dynamo.then(None, None, None, refusal("InternalServerError"))
    ledger.probe()
    books.names()
    messages = batch()
    assert ledger.claim(messages) == [Claim.CLAIMED] * 3
    assert ledger.complete(messages) == [Completion.EFFECT] * 3
    assert STATEMENTS not in books.names()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_error_of_a_statement_that_has_happened(books: Books, number: int) -> None:
    """Of a claim, a gate or an effect: the conditional write finds what the statement did."""

    def with_an_error(answer: Any) -> Any:
        answer["Responses"][1] = {"Error": {"Code": "InternalServerError"}}
        return answer

    plain, messages = books.ledger(transactional=False), batch()
    books.dynamo.then(*[None] * number, with_an_error)
    assert plain.claim(messages) == [Claim.CLAIMED] * 3
    assert plain.complete(messages) == [Completion.EFFECT] * 3
    assert {(row["attempts"], row["effects"]) for row in books.rows[0].values()} == {(1, 1)}


@pytest.mark.parametrize("transactional", [True, False])
def test_a_role_that_may_not_use_statements_works_all_the_same(
    books: Books, transactional: bool
) -> None:
    ledger, messages = books.ledger(transactional=transactional), batch()
    books.dynamo.then(refusal("AccessDeniedException"))
    assert ledger.claim(messages) == [Claim.CLAIMED] * 3
    assert ledger.complete(messages) == [Completion.EFFECT] * 3
    assert books.names().count(STATEMENTS) == 1
    assert {(row["attempts"], row["effects"]) for row in books.rows[0].values()} == {(1, 1)}


def test_one_message_alone_needs_no_statement(books: Books, ledger: DynamoLedger) -> None:
    (message,) = batch(1)
    assert ledger.claim([message]) == [Claim.CLAIMED]
    assert ledger.complete([message]) == [Completion.EFFECT]
    assert STATEMENTS not in books.names()


def test_a_later_receive_is_not_taken_for_a_first(books: Books, ledger: DynamoLedger) -> None:
    ledger.claim(batch(2))
    books.names()
    again = [a_message(f"m-{number}", receive_count=2) for number in range(2)]
    assert ledger.claim(again) == [Claim.CLAIMED] * 2
    assert books.names() == [TRANSACTION]
    assert {row["attempts"] for row in books.rows[0].values()} == {2}


def test_what_was_there_before_is_answered_as_ever(books: Books, ledger: DynamoLedger) -> None:
    """Completed, changed, claimed, expired and new, all on what looks like a first receive."""
    names = ["done", "changed", "claimed", "expired", "new"]
    old = [a_message(name) for name in names[:4]]
    books.now -= KEEP_SECONDS + 1
    ledger.claim([old[3]])
    ledger.complete([old[3]])
    books.now = NOW
    ledger.claim(old[:3])
    ledger.complete(old[:2])
    now = [a_message(name, body="{1}" if name == "changed" else "{}") for name in names]
    claims = [Claim.ALREADY_DONE, Claim.CHANGED, Claim.CLAIMED, Claim.CLAIMED, Claim.CLAIMED]
    assert ledger.claim(now) == claims
    assert ledger.complete(now[2:]) == [Completion.EFFECT] * 3
    status, gates = books.rows
    assert {name: (row["attempts"], row["effects"]) for name, row in status.items()} == {
        "done": (1, 1),
        "changed": (1, 1),
        "claimed": (2, 1),
        "expired": (1, 1),
        "new": (1, 1),
    }
    assert {name: row["claim"] for name, row in gates.items()} == {
        "done": old[0].delivery,
        "changed": old[1].delivery,
        **{message.id: message.delivery for message in now[2:]},
    }


def test_a_gate_without_its_effect_is_repaired(books: Books, ledger: DynamoLedger) -> None:
    first, again = batch(), batch()
    plain = books.ledger(transactional=False)
    plain.claim(first)
    assert plain.record(first) == [True] * 3
    assert ledger.claim(again) == [Claim.CLAIMED] * 3
    assert ledger.complete(again) == [Completion.EFFECT] * 3
    assert {row["effects"] for row in books.rows[0].values()} == {1}
    assert {row["claim"] for row in books.rows[1].values()} == {m.delivery for m in first}


def test_an_effect_that_is_there_already_is_neither_counted_nor_overwritten(books: Books) -> None:
    """Should a row ever leave COMPLETED, its effect stands."""
    plain, messages = books.ledger(transactional=False), batch(2)
    plain.claim(messages)
    plain.complete(messages)
    done = books.rows
    for message in messages:
        books.made.dynamodb.update_item(
            TableName=books.made.status_table,
            Key={"message_id": {"S": message.id}},
            UpdateExpression="SET #status = :started",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":started": {"S": "STARTED"}},
        )
    plain.finish(messages)
    assert {row["effects"] for row in books.rows[0].values()} == {1}
    assert {row["status"] for row in books.rows[0].values()} == {"COMPLETED"}
    assert books.rows[1] == done[1]


def test_a_gate_of_another_body_gets_no_effect_of_this_one(books: Books) -> None:
    dead, other = batch(3), [a_message(f"m-{number}", body="{1}") for number in range(3)]
    plain = books.ledger(transactional=False)
    plain.claim(dead)
    plain.record(dead)
    plain.claim(other)
    assert plain.complete(other) == [Completion.CHANGED] * 3
    assert not any("effects" in row for row in books.rows[0].values())
    plain.claim(dead)
    assert plain.complete(dead) == [Completion.EFFECT] * 3


def test_what_failed_and_is_completed_all_the_same_keeps_no_reason(books: Books) -> None:
    plain, messages = books.ledger(transactional=False), batch(2)
    plain.claim(messages)
    plain.fail([(message, "it broke") for message in messages])
    assert plain.complete(messages) == [Completion.EFFECT] * 2
    for row in books.rows[0].values():
        assert (row["status"], row["effects"]) == ("COMPLETED", 1)
        assert "reason" not in row


def test_what_joins_the_effect_is_written_with_it(books: Books) -> None:
    def note(message: Message) -> list[Write]:
        item = {"message_id": {"S": f"note-{message.id}"}}
        return [{"Put": {"TableName": books.made.status_table, "Item": item}}]

    plain, messages = books.ledger(transactional=False, joining=note), batch(2)
    plain.claim(messages)
    assert plain.complete(messages) == [Completion.EFFECT] * 2
    assert books.names() == [STATEMENTS, STATEMENTS, TRANSACTION]
    assert books.rows[0].keys() == {"m-0", "m-1", "note-m-0", "note-m-1"}


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_lost_answer_is_found_again(books: Books, lost: int) -> None:
    """Of the claims, the gates and the effects in turn; the caller tries again."""
    plain, messages = books.ledger(transactional=False), batch()
    books.dynamo.then(*[None] * (lost - 1), LOST)
    for call, expected in (
        (plain.claim, Claim.CLAIMED),
        (plain.complete, Completion.EFFECT),
    ):
        try:
            answers = call(messages)
        except LedgerDown:
            answers = call(messages)
        assert answers == [expected] * 3
    assert {(row["attempts"], row["effects"]) for row in books.rows[0].values()} == {(1, 1)}
    assert books.rows[0].keys() == books.rows[1].keys()


def test_two_consumers_at_once_have_one_effect(queue_set: QueueSets) -> None:
    """One with statements, one without, each on a delivery of its own of the same messages."""
    for _ in range(ROUNDS):
        books = Books(queue_set())
        ready = threading.Barrier(2, timeout=20)

        def work(statements: bool, books: Books = books, ready: Any = ready) -> list[Completion]:
            ledger = books.ledger(transactional=False, statements=statements)
            messages = batch()
            ready.wait()
            assert ledger.claim(messages) == [Claim.CLAIMED] * 3
            ready.wait()
            return ledger.complete(messages)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(work, (True, False)))
        for one, other in zip(*answers, strict=True):
            assert {one, other} == {Completion.EFFECT, Completion.ALREADY_DONE}
        assert {(row["attempts"], row["effects"]) for row in books.rows[0].values()} == {(2, 1)}


@pytest.mark.parametrize(("transactional", "calls", "units"), [("0", 0.52, 3), ("1", 0.42, 5)])
def test_what_a_message_costs(
    run_consumer, queue_set, proxy, journal, transactional, calls, units
) -> None:
    """Full batches and grouped commits; calls as a proxy counts them, outside the process."""
    made = queue_set(visibility=30)
    made.send_many(300)
    counter = proxy(rules=[COUNT_EVERYTHING])
    ended = run_consumer(
        {
            **made.env,
            **QUICK,
            **journal.env,
            "AWS_ENDPOINT_URL": counter.endpoint,
            "USE_TRANSACTIONAL_WRITES": transactional,
            "USE_PARTIQL_STATEMENTS": "1",
            "MAX_MESSAGES": "10",
            "COMMIT_BATCH": "10",
            "MESSAGE_LIMIT": "300",
        },
        100,
    )
    assert ended.code == 0, ended.output
    summary, seen = journal.summary(), counter.operations()
    assert summary["completed"] == 300 == len(made.completed_rows())
    assert {(r["effects"], r["attempts"]) for r in made.status_rows().values()} == {(1, 1)}
    assert summary["calls"] == dict(seen)
    assert sum(seen.values()) / 300 <= calls
    assert units <= summary["write_units"] / 300 <= units + 0.03  # and the probe


@pytest.mark.parametrize("how", BROKEN.values(), ids=BROKEN)
def test_a_stack_without_statements_costs_no_message_a_receive(
    run_consumer, queue_set, proxy, journal, how
) -> None:
    made = queue_set(visibility=30)
    made.send_many(60)
    broken = proxy(rules=[{"operation": "BatchExecuteStatement", "service": "*", **how}])
    ended = run_consumer(
        {
            **made.env,
            **QUICK,
            **journal.env,
            "AWS_ENDPOINT_URL": broken.endpoint,
            "USE_PARTIQL_STATEMENTS": "1",
            "MAX_MESSAGES": "10",
            "COMMIT_BATCH": "10",
            "MESSAGE_LIMIT": "60",
        },
        60,
    )
    assert ended.code == 0, ended.output
    assert ended.stderr.count("USE_PARTIQL_STATEMENTS=1 cannot be used") == 1
    assert len(made.completed_rows()) == 60
    assert {event["receive_count"] for event in journal.events("received")} == {1}


_endpoint: list[Any] = []


@pytest.fixture(scope="module", autouse=True)
def _on_the_stack(stack: Stack) -> Iterator[None]:
    """The machine is no test function and gets no fixture: it finds its client here."""
    _endpoint.append(QueueSets(stack.endpoint, {})().dynamodb)
    yield
    _endpoint.clear()


class OnTheStack(Machine):
    """Batches are claimed, gated and finished by statements first."""

    client = staticmethod(lambda: _endpoint[0])
    statements = True


@pytest.mark.timeout(400)
class TestQuickly(OnTheStack.TestCase):  # type: ignore[misc]
    settings = settings(RELAXED, max_examples=12, stateful_step_count=20)


@pytest.mark.slow
@pytest.mark.timeout(400)
class TestAtLength(OnTheStack.TestCase):  # type: ignore[misc]
    settings = settings(RELAXED, max_examples=80, stateful_step_count=30)
