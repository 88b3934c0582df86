"""A write whose answer was lost has happened: it is found, and neither counted nor done twice."""

import pytest

from consumer.integration.support import QUICK

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CLAIM = "contains(UpdateExpression, 'attempts')"
STATUS = "contains(UpdateExpression, 'effects')"
IN_BATCH = "length(TransactItems[?Update && contains(Update.UpdateExpression, '{}')]) > `0`"
PUTS = "TransactItems[?Put && Put.Item.message_id.S != 'probe']"  # the consumer's start is one
GATES = f"length({PUTS}) > `0`"
BOTH = f"length({PUTS}) > `0` && length(TransactItems[?Update]) > `0`"
STATEMENTS = {"operation": "BatchExecuteStatement"}
FIRST = "contains(Statements[0].Statement, '{}')"
INSERT, GATE = FIRST.format("INSERT"), FIRST.format("completed_at")
SDK_TRIES = 2  # of one call (sqs_worker/app.py)

LOST = {
    "claim": ("0", 1, 1, {"operation": "UpdateItem", "body": CLAIM}),
    "batch of claims": (
        "0",
        5,
        1,
        {"operation": "TransactWriteItems", "body": IN_BATCH.format("attempts")},
    ),
    "plain gate": ("0", 1, 1, {"operation": "PutItem", "body": "Item.message_id.S != 'probe'"}),
    "plain status": ("0", 1, 1, {"operation": "UpdateItem", "body": STATUS}),
    "grouped gates": ("0", 5, 5, {"operation": "TransactWriteItems", "body": GATES}),
    "grouped status": (
        "0",
        5,
        5,
        {"operation": "TransactWriteItems", "body": IN_BATCH.format("effects")},
    ),
    "transaction": ("1", 1, 1, {"operation": "TransactWriteItems", "body": BOTH}),
    "grouped transaction": ("1", 5, 5, {"operation": "TransactWriteItems", "body": BOTH}),
    "claims as statements": ("0", 5, 1, STATEMENTS | {"body": FIRST.format("attempts")}),
    "gates as statements": ("0", 5, 5, STATEMENTS | {"body": f"{INSERT} && {GATE}"}),
    "status as statements": ("0", 5, 5, STATEMENTS | {"body": FIRST.format("effects")}),
    "delete": ("0", 5, 1, {"operation": "DeleteMessageBatch"}),
}


def _lose(name, times, run_consumer, queue_set, network, journal) -> None:
    transactional, batch, commit, rule = LOST[name]
    made = queue_set(visibility=20)
    ids = made.send_many(5)
    service = "sqs" if name == "delete" else "dynamodb"
    answers = {"service": service, **rule, "times": times, "response": {"abort_frac": 0.0}}
    network.rules("loser", answers)
    ended = run_consumer(
        {
            **made.env,
            **QUICK,
            **journal.env,
            **network.env("loser"),
            "USE_TRANSACTIONAL_WRITES": transactional,
            "USE_PARTIQL_STATEMENTS": "1" if rule.items() >= STATEMENTS.items() else "0",
            "MAX_MESSAGES": str(batch),
            "COMMIT_BATCH": str(commit),
            "MESSAGE_LIMIT": "5",
        }
    )
    assert ended.code == 0, ended.output
    assert network.fired() == times
    rows = made.status_rows()
    assert {(row["attempts"], row["effects"]) for row in rows.values()} == {(1, 1)}
    assert rows.keys() == made.completed_rows().keys() == set(ids)
    assert (made.depth(), made.dlq_messages()) == (0, [])
    assert [event["effect"] for event in journal.events("completed")] == [True] * 5
    assert journal.count("claimed") == 5


@pytest.mark.parametrize("name", LOST)
def test_found_again_by_the_sdk(name, run_consumer, queue_set, network, journal) -> None:
    """One answer lost: the SDK repeats the call, with the same token where it has one."""
    _lose(name, 1, run_consumer, queue_set, network, journal)


@pytest.mark.parametrize("name", LOST)
def test_found_again_by_our_next_try(name, run_consumer, queue_set, network, journal) -> None:
    """All of the SDK's answers lost, and one of our next try: a new call, with a new token."""
    _lose(name, SDK_TRIES + 1, run_consumer, queue_set, network, journal)
