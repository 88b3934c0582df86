"""The product broken on purpose, one way at a time: the right scenario must fail and say of what.

Each row is a small patch of a copy of the tree. A row whose old text is gone fails too: then the
code has moved on, and the row must follow it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_aws import Stack, start, stop
from support.children import ROOT, Finished, Nursery
from support.queues import REGION
from support.tree import copied_tree, patch


def slow(test: Callable[..., None]) -> Callable[..., None]:
    """Seconds for each row, minutes for all of them."""
    for mark in (pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(180)):
        test = mark(test)
    return test


NAMED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|index \d+")  # a message id, or its place
LEDGER, ROWS = "consumer/sqs_worker/ledger.py", "consumer/sqs_worker/rows.py"
PIPELINE, DELETES = "consumer/sqs_worker/pipeline.py", "consumer/sqs_worker/deletes.py"
SAGA = "consumer/sqs_worker/saga.py"
HOLDINGS, LOOP = "consumer/sqs_worker/in_flight.py", "consumer/sqs_worker/loop.py"
MOVER = "scripts/redrive/mover.py"
FAULTS, INBOX = "consumer/sqs_worker/faults.py", "consumer/sqs_worker/sqs.py"


@dataclass(frozen=True)
class Mutation:
    """Replace `old` by `new` in `file`; then `scenario` fails at the check `found_by`."""

    name: str
    scenario: str
    found_by: str
    file: str
    old: str
    new: str


MUTATIONS = [
    Mutation(
        "the effect is written without its condition",
        "duplicates",
        "effects per message",
        ROWS,
        'REMOVE reason ADD effects :one",\n            f"{_NOT_COMPLETED} AND {_NO_EFFECT}",',
        'REMOVE reason ADD effects :one",\n            "attribute_exists(message_id)",',
    ),
    Mutation(
        "the gate is written without its condition",
        "duplicates",
        "tables agree",
        ROWS,
        'f"{_ABSENT} OR {_EXPIRED}"',
        'f"{_ABSENT} OR NOT {_EXPIRED}"',
    ),
    Mutation(
        "a message is deleted before it is completed",
        "happy",
        "deleted after completion",
        PIPELINE,
        "        for message, completion in zip(worked,",
        "        self.deletes.delete(worked)\n        for message, completion in zip(worked,",
    ),
    Mutation(
        "a message is deleted as soon as it is received",
        "crash",
        "conservation",
        INBOX,
        "return [self._message(raw, since) for raw in found]",
        "found = [self._message(raw, since) for raw in found]\n"
        "        self.delete(found)\n        return found",
    ),
    Mutation(
        "nothing is deleted",
        "happy",
        "conservation",
        DELETES,
        "        if not messages:\n            return",
        "        if not messages or True:\n            return",
    ),
    Mutation(
        "a claim does not count",
        "crash",
        "attempts are deliveries",
        ROWS,
        '{":started": {"S": "STARTED"}, ":one": _ONE, **_body_values(message)}',
        '{":started": {"S": "STARTED"}, ":one": {"N": "0"}, **_body_values(message)}',
    ),
    Mutation(
        "completion without its effect",
        "happy",
        "effects per message",
        ROWS,
        '            {":one": _ONE, **_body_values(message)},',
        '            {":one": {"N": "0"}, **_body_values(message)},',
    ),
    Mutation(
        "a transaction that writes only the status",
        "side-effects",
        "tables agree",
        LEDGER,
        "groups = [(m, [*self._effect(m), record(m)]) for m in messages]",
        "groups = [(m, self._effect(m)) for m in messages]",
    ),
    Mutation(
        "poison is completed",
        "poison",
        "poison dead-lettered",
        PIPELINE,
        'return f"rejected: {rejection}"',
        "return None",
    ),
    Mutation(
        "one poison message fails its whole batch",
        "partial-batch",
        "good completed",
        PIPELINE,
        "            reason = self._work_on(message)",
        "            reason = self._work_on(message)\n"
        '            if any("poison" in other.body for other in claimed):\n'
        '                reason = "a neighbour failed"',
    ),
    Mutation(
        "a stale delete kills the consumer",
        "duplicates",
        "processes ended as declared",
        DELETES,
        'self._tally.count("stale_deletes")',
        "__import__('os')._exit(1)",
    ),
    Mutation(
        "the cache answers yes to everything",
        "happy",
        "deleted after completion",
        "consumer/sqs_worker/pipeline.py",
        "                return False",
        "                return True",
    ),
    Mutation(
        "a crash still deletes what it held",
        "crash",
        "conservation",
        FAULTS,
        "        os._exit(Exit.CRASHED)",
        "        import boto3\n"
        '        queue = boto3.client("sqs")\n'
        "        for held in messages:\n"
        '            url = os.environ["QUEUE_URL"]\n'
        "            queue.delete_message(QueueUrl=url, ReceiptHandle=held.handle)\n"
        "        os._exit(Exit.CRASHED)",
    ),
    Mutation(
        "a crash exits as if all were well",
        "side-effects",
        "processes ended as declared",
        FAULTS,
        "os._exit(Exit.CRASHED)",
        "os._exit(Exit.OK)",
    ),
    Mutation(
        "the visibility override is not kept",
        "poison",
        "redelivered after visibility",
        INBOX,
        'request["VisibilityTimeout"] = self._visibility',
        'request["VisibilityTimeout"] = 0',
    ),
    Mutation(
        "the redrive policy is missing",
        "poison",
        "poison dead-lettered",
        "scripts/local_stack/provision.py",
        '        "RedrivePolicy": json.dumps(redrive),\n',
        "",
    ),
    Mutation(
        "the producer skips one message",
        "happy",
        "sent as asked",
        "producer/sender/run.py",
        "                    window.add(batch)",
        "                    window.add([m for m in batch if m.index != 3])",
    ),
    Mutation(
        "the producer calls one message sent that is not",
        "happy",
        "conservation",
        "producer/sender/send.py",
        "        answer = self._client.send_message_batch(",
        '        if "3" in unsent:\n'
        '            outcomes["3"] = Outcome(unsent.pop("3"), sqs_id="invented")\n'
        "        answer = self._client.send_message_batch(",
    ),
    Mutation(
        "a business key that nobody uses",
        "business-idempotency",
        "ends per order",
        INBOX,
        "business_key=identity.business_key",
        'business_key=""',
    ),
    Mutation(
        "a message without a business key is worked on under its id",
        "business-idempotency",
        "ends per order",
        "consumer/sqs_worker/business.py",
        "        if message.unkeyed:",
        "        if message.unkeyed and not message.id:",
    ),
    Mutation(
        "the id is part of what two messages of one key are compared by",
        "business-idempotency",
        "ends per order",
        "consumer/sqs_worker/business.py",
        'if name != "id"}',
        'if name != "sqs_id"}',
    ),
    Mutation(
        "a changed payload is taken for a duplicate",
        "business-idempotency",
        "ends per order",
        LEDGER,
        'return is_same_body(message, _text(row, "digest"), _text(row, "canonical_digest"))',
        'return is_same_body(message, "", "")',
    ),
    Mutation(
        "an idempotency key that is not passed on",
        "external-effects",
        "charges per order",
        "consumer/sqs_worker/http_service.py",
        'headers["Idempotency-Key"] = header_of(request.key)',
        'headers["X-Request-Id"] = header_of(request.key)',
    ),
    Mutation(
        "an intent outside the transaction",
        "external-effects",
        "charges per order",
        LEDGER,
        "return [self._rows.finish(message), *self._joining(message)]",
        "return [self._rows.finish(message)]",
    ),
    Mutation(
        "an intent settled before it is delivered",
        "external-effects",
        "charges per order",
        "consumer/sqs_worker/outbox.py",
        "        try:\n            answer = self._call(intent.request)",
        "        self._outbox.settle([intent])\n"
        "        try:\n            answer = self._call(intent.request)",
    ),
    Mutation(
        "calls of a saga without a key",
        "saga",
        "sagas whole",
        SAGA,
        'key = f"{message.key}/{action}"',
        'key = ""',
    ),
    Mutation(
        "one key for all calls of a saga",
        "saga",
        "sagas whole",
        SAGA,
        'key = f"{message.key}/{action}"',
        "key = message.key",
    ),
    Mutation(
        "compensations in the order of the steps",
        "saga",
        "sagas whole",
        SAGA,
        "for step in reversed(steps[: steps.index(refused) + 1])",
        "for step in steps[: steps.index(refused) + 1]",
    ),
    Mutation(
        "a redrive that deletes and does not send",
        "redrive",
        "moved and completed",
        MOVER,
        "        answers = self._send(group)\n",
        "        self._delete(list(letters.values()), Fate.MOVE)\n        answers = {}\n",
    ),
    Mutation(
        "a redrive that does not delete",
        "redrive",
        "moved and completed",
        MOVER,
        "            self._delete(sent, Fate.MOVE)",
        "            pass",
    ),
    Mutation(
        "a redrive that makes new ids",
        "redrive",
        "ids survive the move",
        "scripts/redrive/queues.py",
        '"MessageBody": letter.body}',
        '"MessageBody": letter.body.replace(letter.id, letter.sqs_id)}',
    ),
    Mutation(
        "a claim that takes what is completed",
        "redrive",
        "ids survive the move",
        ROWS,
        'f"{_NOT_COMPLETED} AND {_NO_EFFECT} AND {_NOT_MINE}"',
        'f"({_NO_EFFECT} OR attribute_exists(message_id)) AND {_NOT_MINE}"',
    ),
    Mutation(
        "a stop that gives nothing back",
        "graceful-shutdown",
        "given back at once",
        HOLDINGS,
        '        self._release(waiting, "shutdown")',
        "        self._tally.count('released', len(waiting))",
    ),
    Mutation(
        "a stop that does not wait for its work",
        "graceful-shutdown",
        "given back at once",
        LOOP,
        "        while self._running() and time.monotonic() < deadline:\n",
        "        while self._running() and time.monotonic() < deadline - self._grace:\n",
    ),
    Mutation(
        "a SIGTERM that nobody listens to",
        "graceful-shutdown",
        "processes ended as declared",
        "consumer/sqs_worker/app.py",
        "        signal.signal(number, loop.on_signal)",
        "        signal.signal(number, signal.SIG_DFL)",
    ),
    Mutation(
        "a heartbeat that extends nothing",
        "heartbeat",
        "receives",
        HOLDINGS,
        "taken = self._inbox.extend(held, self._visibility)",
        "taken = [True for _ in held]",
    ),
    Mutation(
        "a heartbeat without a limit",
        "heartbeat",
        "receives",
        HOLDINGS,
        "return min(since + self._bounds.limit, received + ",
        "return min(since + LONGEST_VISIBILITY, received + ",
    ),
    Mutation(
        "a limit that is told and not kept",
        "heartbeat",
        "extended to the limit",
        HOLDINGS,
        "if m.handle not in self._lost and now <= self._end_of(m)]",
        "if m]",
    ),
    Mutation(
        "a late finish that has its effect again",
        "heartbeat",
        "late finish without effect",
        ROWS,
        'REMOVE reason ADD effects :one",\n            f"{_NOT_COMPLETED} AND {_NO_EFFECT}",',
        'REMOVE reason ADD effects :one",\n            "attribute_exists(message_id)",',
    ),
    Mutation(
        "a stop that also gives back what is in work",
        "graceful-shutdown",
        "given back or worked on",
        HOLDINGS,
        "self._taken_from_hand(list(self._waiting.values()))",
        "self._taken_from_hand([*self._waiting.values(), *self._working.values()])",
    ),
    Mutation(
        "a stop that keeps what the open long poll brings",
        "stop-while-polling",
        "given back on arrival",
        HOLDINGS,
        "kept = [m for m in messages if not self._closed or self._bounds.is_last(m)]",
        "kept = list(messages)",
    ),
    Mutation(
        "work on what was given back",
        "graceful-shutdown",
        "given back or worked on",
        HOLDINGS,
        "            return found is not None",
        "            return True",
    ),
    Mutation(
        "a journal that calls every delete deleted",
        "duplicates",
        "deletes are true",
        "consumer/sqs_worker/deletes.py",
        "        self._journal.event(deletion.value, message)",
        '        self._journal.event("deleted", message)',
    ),
    Mutation(
        "records that expire after 45 hours",
        "happy",
        "records outlive messages",
        ROWS,
        "KEEP_SECONDS = 45 * 24 * 3600",
        "KEEP_SECONDS = 45 * 3600",
    ),
    Mutation(
        "a claim that does not name its delivery",
        "poison",
        "rows name their owner",
        ROWS,
        '"claim = :claim, last_claimed_at = :now, expires_at',
        '"claim = if_not_exists(claim, :claim), last_claimed_at = :now, expires_at',
    ),
    Mutation(
        "a heartbeat that goes on for what was rejected",
        "partial-batch",
        "extended while held",
        PIPELINE,
        "            failed.append((message, reason))\n            self.in_flight.drop([message])",
        "            failed.append((message, reason))",
    ),
    Mutation(
        "a rejected message is deleted",
        "poison",
        "poison dead-lettered",
        PIPELINE,
        "            failed.append((message, reason))\n",
        "            failed.append((message, reason))\n"
        "            self.deletes.delete([message])\n",
    ),
    Mutation(
        "a rejected message is given back in secret",
        "poison",
        "redelivered after visibility",
        PIPELINE,
        "            failed.append((message, reason))\n",
        (
            "            failed.append((message, reason))\n"
            "            self.deletes._inbox.release([message])\n"
        ),
    ),
    Mutation(
        "what is found done is not deleted",
        "side-effects",
        "conservation",
        PIPELINE,
        "        if self.in_flight.start(message):",
        "        if self.in_flight.start(message) and not event:",
    ),
    Mutation(
        "a second receive is completed without its work",
        "crash",
        "completed after its work",
        PIPELINE,
        ('        self.journal.event("work_started", message)\n'),
        (
            "        if message.receive_count > 1:\n"
            "            return None\n"
            '        self.journal.event("work_started", message)\n'
        ),
    ),
    Mutation(
        "the cache takes another body for the same message",
        "business-idempotency",
        "ends per order",
        "consumer/sqs_worker/pipeline.py",
        "            if self._ids.get(message_id) != content:",
        "            if message_id not in self._ids:",
    ),
    Mutation(
        "a stop that gives back late",
        "graceful-shutdown",
        "given back at once",
        INBOX,
        "        return self._set_visibility(messages, 0)",
        "        return self._set_visibility(messages, 5)",
    ),
    Mutation(
        "an effect that counts twice",
        "happy",
        "effects per message",
        ROWS,
        "_ONE = {",
        '_ONE = {"N": "2"} or {',
    ),
    Mutation(
        "a claim whose answer was lost is not recognized",
        "dynamodb-faults",
        "receives",
        LEDGER,
        'Claim.CLAIMED if _text(row, "claim") == message.delivery else Claim.UNKNOWN',
        "Claim.UNKNOWN",
    ),
    Mutation(
        "a record that has expired counts",
        "dynamodb-faults",
        "effects per message",
        LEDGER,
        'if _number(row, "expires_at", math.inf) <= self._clock():',
        'if _number(row, "expires_at", math.inf) <= 0:',
    ),
    Mutation(
        "a throttled statement counts as done",
        "dynamodb-faults",
        "conservation",
        LEDGER,
        "for i, is_done in zip(made, done, strict=True) if is_done}",
        "for i, is_done in zip(made, done, strict=True)}",
    ),
    Mutation(
        "throttling is no outage",
        "dynamodb-faults",
        "all completed",
        "consumer/sqs_worker/writes.py",
        "    reasons.discard(_CONFLICT)\n",
        "    reasons.clear()\n",
    ),
    Mutation(
        "the MessageId is the id",
        "redrive",
        "ids survive the move",
        INBOX,
        "            id=identity.id,",
        '            id=raw["MessageId"],',
    ),
    Mutation(
        "a relay that settles what was never answered",
        "external-effects",
        "charges per order",
        "consumer/sqs_worker/outbox.py",
        "            self._note_failure(intent, tries, error)\n            return",
        "            self._outbox.settle([intent])\n"
        "            del self._tries[intent]\n"
        '            self._journal.event("delivered", id=intent.order, answer="done")\n'
        "            return",
    ),
]


def run(nursery: Nursery, tree: Path, outputs: Path, env: dict[str, str], name: str) -> Finished:
    door = (tree / "scenarios", "run.py")
    patience = "30" if name == "dynamodb-faults" else "12"
    flags = [name, "--json", "--timeout", patience, "--reports", str(tree / "reports")]
    flags += ["--visibility-timeout", "2"]
    return nursery.start(door, flags, env | {"SCENARIO_OUTPUTS": str(outputs)}).wait(120)


def names(tree: Path, stack: Stack, nursery: Nursery) -> Path:
    """The outputs of the sets as the tree itself would make them, on the stack of the tests."""
    code = f"import json, local_aws; print(json.dumps(local_aws.provision({stack.endpoint!r})))"
    path = tree / "outputs.json"
    own = {"PYTHONPATH": str(tree / "scripts")}
    path.write_text(nursery.start((tree, "-c"), [code], own).wait(30).stdout)
    return path


@contextmanager
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack for what is provisioned wrongly: provisioning again would not take it away."""
    state = tmp_path / "stack"
    try:
        yield start(state, 0, REGION)
    finally:
        stop(state)


@slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_scenario_fails_and_names_the_message(
    mutation: Mutation, stack: Stack, aws_env: dict[str, str], nursery: Nursery, tmp_path: Path
) -> None:
    tree = copied_tree(tmp_path)
    patch(tree / mutation.file, mutation.old, mutation.new)
    with own_stack(tmp_path) if "local_stack" in mutation.file else nullcontext(stack) as used:
        outputs = names(tree, used, nursery)
        env = aws_env | {"AWS_ENDPOINT_URL": used.endpoint}
        answer = run(nursery, tree, outputs, env, mutation.scenario)
    assert answer.code == 1, answer.output
    (result,) = json.loads(answer.stdout)["scenarios"]
    found = [f for f in result["findings"] if f["verdict"] == "FAIL"]
    assert mutation.found_by in [f["check"] for f in found], found
    finding = next(f for f in found if f["check"] == mutation.found_by)
    assert NAMED.search(finding["seen"]), finding
    assert finding["look_at"], finding


@slow
@pytest.mark.parametrize("name", sorted({mutation.scenario for mutation in MUTATIONS}))
def test_the_tree_as_it_is_passes(
    name: str, stack: Stack, aws_env: dict[str, str], nursery: Nursery, tmp_path: Path
) -> None:
    tree = copied_tree(tmp_path)
    answer = run(nursery, tree, names(tree, stack, nursery), aws_env, name)
    assert answer.code == 0, answer.output


def test_each_row_still_has_its_one_place_in_the_code() -> None:
    for mutation in MUTATIONS:
        text = (ROOT / mutation.file).read_text()
        assert text.count(mutation.old) == 1, f"{mutation.name}: {text.count(mutation.old)} times"
