"""A status row that was set back or deleted after the completion, and the message once more."""

import json
from pathlib import Path

import pytest

from checks.invariants import attempts_are_deliveries
from consumer.integration.support import QUICK
from reliability.judging import CHECKS, history_of, judged
from support.queues import QueueSet

pytestmark = pytest.mark.integration

IDS = [f"m-{number}" for number in range(3)]
MODES = {
    "transactional": {"USE_TRANSACTIONAL_WRITES": "1"},
    "plain": {},
    "statements": {"USE_PARTIQL_STATEMENTS": "1", "COMMIT_BATCH": "3"},
}


def _set_back(made: QueueSet, message_id: str) -> None:
    made.dynamodb.update_item(
        TableName=made.status_table,
        Key={"message_id": {"S": message_id}},
        UpdateExpression="SET #status = :started",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":started": {"S": "STARTED"}},
    )


def _delete(made: QueueSet, message_id: str) -> None:
    made.dynamodb.delete_item(TableName=made.status_table, Key={"message_id": {"S": message_id}})


@pytest.mark.parametrize(
    ("harm", "first", "second"),
    [
        ("set back", "transactional", "transactional"),
        ("deleted", "transactional", "transactional"),
        pytest.param("set back", "plain", "plain", marks=pytest.mark.slow),
        pytest.param("set back", "statements", "statements", marks=pytest.mark.slow),
        pytest.param("set back", "transactional", "plain", marks=pytest.mark.slow),
        pytest.param("set back", "plain", "transactional", marks=pytest.mark.slow),
        pytest.param("deleted", "transactional", "plain", marks=pytest.mark.slow),
        pytest.param("deleted", "transactional", "statements", marks=pytest.mark.slow),
    ],
)
@pytest.mark.smoke
def test_it_takes_no_second_effect(
    run_consumer, queue_set, tmp_path: Path, harm: str, first: str, second: str
) -> None:
    made = queue_set(visibility=5)
    bodies = [json.dumps({"id": one, "work": 1}) for one in IDS]
    journals = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    for journal, mode in zip(journals, (first, second), strict=True):
        made.send(*bodies)
        env = {**made.env, **QUICK, **MODES[mode], "JOURNAL_PATH": str(journal)}
        ended = run_consumer({**env, "MAX_MESSAGES": "10"})
        assert ended.code == 0, ended.output
        if journal is journals[0]:
            done, gates = made.status_rows(), made.completed_rows()
            for one in IDS:
                {"set back": _set_back, "deleted": _delete}[harm](made, one)
    history = history_of(made, IDS, journals)
    lost = attempts_are_deliveries().name if harm == "deleted" else ""
    checks = [check for check in CHECKS if check.name != lost]
    assert not judged(history, checks), [finding.seen for finding in judged(history, checks)]
    assert made.completed_rows() == gates
    assert {row["effects"] for row in made.status_rows().values()} == {1}
    if harm == "set back":
        assert made.status_rows().keys() == done.keys()
        assert '"work_started"' not in journals[1].read_text()
    assert (made.depth(), made.dlq_messages()) == (0, [])
