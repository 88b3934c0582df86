"""The actions of each role's policy are those that a full run needs: none missing, none spare.

Three witnesses: what producer and consumers say in their journals, what the runner's own process
was seen to call, and what a proxy in front of everything counted; the last has to be the sum.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import run
from local_aws import Stack, child_environment, provision
from local_stack.provision import local_session
from support.children import CONSUMER, ROOT, Nursery
from support.environment import base_environment
from support.proxy import COUNT_EVERYTHING, Proxy
from support.queues import REGION

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]
RECORDED_RUN = Path(__file__).resolve().parents[1] / "support" / "recorded_run.py"
# Which permission a call needs: Service Authorization Reference, SQS and DynamoDB. SQS has none for
# batches of their own, and a transaction needs those of its items.
ACTIONS = {
    "sqs.SendMessageBatch": {"sqs:SendMessage"},
    "sqs.ReceiveMessage": {"sqs:ReceiveMessage"},
    "sqs.DeleteMessageBatch": {"sqs:DeleteMessage"},
    "sqs.ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "sqs.GetQueueAttributes": {"sqs:GetQueueAttributes"},
    "sqs.GetQueueUrl": {"sqs:GetQueueUrl"},
    "dynamodb.BatchGetItem": {"dynamodb:BatchGetItem"},
    "dynamodb.Scan": {"dynamodb:Scan"},
    "dynamodb.PutItem": {"dynamodb:PutItem"},
    "dynamodb.UpdateItem": {"dynamodb:UpdateItem"},
    "dynamodb.BatchExecuteStatement": {"dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate"},
    "dynamodb.TransactWriteItems": {"dynamodb:PutItem", "dynamodb:UpdateItem"},
}
# Fires on a transaction with items of another kind than ACTIONS says.
OTHER_ITEMS = {
    "service": "dynamodb",
    "operation": "TransactWriteItems",
    "body": "length(TransactItems[?ConditionCheck || Delete]) > `0`",
    "error": {"code": "ValidationException", "message": "an item of an unexpected kind"},
}


@dataclass(frozen=True)
class Calls:
    """Operations seen, by role, and by the proxy in all."""

    roles: Mapping[str, set[str]]
    proxy: set[str]


@pytest.fixture(scope="module")
def calls(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """All scenarios once, and a consumer with statements, which no scenario has; by a proxy."""
    folder = tmp_path_factory.mktemp("least-privilege")
    provisioned = provision(stack.endpoint)
    outputs = folder / "outputs.json"
    outputs.write_text(json.dumps(provisioned))
    proxy = Proxy(stack.endpoint, [OTHER_ITEMS, COUNT_EVERYTHING], folder / "proxy.log")
    try:
        runner = _run_all(proxy, outputs, folder)
        _run_with_statements(stack, proxy, provisioned, folder)
        _redrive_what_it_must_keep(stack, proxy, provisioned, folder)
        roles = {"runner": runner}
        roles |= {door: set[str]() for door in ("producer", "consumer", "redrive")}
        for journal in folder.glob("reports/**/*.jsonl"):
            for event in map(json.loads, journal.read_text().splitlines()):
                if event.get("event") == "summary":
                    roles[event["who"].partition("-")[0]] |= set(event["calls"])
        return Calls(roles, set(proxy.operations()))
    finally:
        proxy.close()


def _run_all(proxy: Proxy, outputs: Path, folder: Path) -> set[str]:
    seen = folder / "runner.txt"
    arguments = ["--all", "--outputs", str(outputs), "--reports", str(folder / "reports")]
    done = subprocess.run(
        [sys.executable, str(RECORDED_RUN), str(seen), *arguments],
        env={**base_environment(), "AWS_ENDPOINT_URL": proxy.endpoint},
        capture_output=True,
        text=True,
        check=False,
    )
    # What the verdicts are is for other tests: the proxy slows everything down.
    assert done.returncode in {run.Exit.PASS, run.Exit.FAIL, run.Exit.UNKNOWN}, done.stderr
    return set(seen.read_text().split())


def _run_with_statements(stack: Stack, proxy: Proxy, outputs: dict[str, Any], folder: Path) -> None:
    """Two messages: a batch of one goes without."""
    made = outputs["scenarios"]["value"]["happy"]
    sqs = local_session(REGION).client("sqs", endpoint_url=stack.endpoint)
    entries: Any = [{"Id": name, "MessageBody": f'{{"id": "{name}"}}'} for name in "ab"]
    sqs.send_message_batch(QueueUrl=made["queue_url"], Entries=entries)
    nursery = Nursery(folder / "statements")
    settings = {
        "QUEUE_URL": made["queue_url"],
        "MESSAGE_STATUS_TABLE": made["message_status_table"],
        "MESSAGE_COMPLETED_TABLE": made["message_completed_table"],
        "USE_PARTIQL_STATEMENTS": "1",
        "MAX_MESSAGES": "10",
        "COMMIT_BATCH": "10",
        "MESSAGE_LIMIT": "2",
        "WAIT_TIME_SECONDS": "1",
    }
    journal = {"JOURNAL_PATH": str(folder / "reports" / "statements.jsonl")}
    reach = child_environment(proxy.endpoint, REGION)
    try:
        done = nursery.start(CONSUMER, [], {**reach, **settings, **journal}).wait()
    finally:
        nursery.reap()
    assert done.code == 0, done.output


def _redrive_what_it_must_keep(
    stack: Stack, proxy: Proxy, outputs: dict[str, Any], folder: Path
) -> None:
    """In the scenario all is moved, so nothing is given back there."""
    url = outputs["queue_url"]["value"]
    sqs = local_session(REGION).client("sqs", endpoint_url=stack.endpoint)
    sqs.send_message(QueueUrl=f"{url}-dlq", MessageBody="no id")
    nursery = Nursery(folder / "redrive")
    settings = {"QUEUE_URL": url, "JOURNAL_PATH": str(folder / "reports" / "redrive.jsonl")}
    try:
        door = (ROOT / "scripts", "redrive.py")
        done = nursery.start(
            door, ["move"], {**child_environment(proxy.endpoint, REGION), **settings}
        )
        assert done.wait().code == 1, done.output
    finally:
        nursery.reap()


def allowed(planned: dict[str, Any], role: str) -> set[str]:
    """The actions of a role's policy, as planned."""
    document = json.loads(planned["planned_values"]["outputs"][f"{role}_policy"]["value"])
    return {action for statement in document["Statement"] for action in statement["Action"]}


@pytest.mark.parametrize("role", ["producer", "consumer", "runner", "redrive"])
def test_none_missing_none_spare(planned: dict[str, Any], calls: Calls, role: str) -> None:
    needed = set[str]().union(*(ACTIONS[call] for call in calls.roles[role]))
    assert allowed(planned, role) == needed


def test_nobody_called_anything_unseen(calls: Calls) -> None:
    assert set[str]().union(*calls.roles.values()) == calls.proxy
