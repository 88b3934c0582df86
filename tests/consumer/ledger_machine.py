"""The ledger against a model, with consumers of both modes interleaved and answers getting lost.

Some messages of one id have the same body in another form, some another body; and somebody sets
rows back or deletes them. Says what may be done and what the tables must hold then; where they are
is the tests' to choose.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from sqs_worker.ledger import DynamoLedger
from sqs_worker.message import Message
from sqs_worker.ports import Claim, Completion, LedgerDown
from sqs_worker.rows import KEEP_SECONDS
from support.fakes import LOST, ScriptedDynamo, a_message, no_answer

IDS = st.sampled_from(["a", "b", "c"])
MODES = st.booleans()
RECEIVES = st.sampled_from([1, 1, 2])
"""What a receive says of itself; a first one may still find a row (a redrive, a second send)."""
BODIES = st.sampled_from(['{"a": 1, "b": 2}', '{"b":2,"a":1.0}', '{"a": 2}'])
"""The first two are the same."""
TROUBLE = st.sampled_from([None, None, "before", "after"])
"""Of a call: nothing, it fails before it does anything, or it is done and its answer lost."""
_numbers = count(1)


@dataclass
class Row:
    """What the tables should hold for an id. `gate` and `by` are the messages that they name.

    `is_final` says that the gate was written with its effect, `guarded` until when there must be no
    other effect, `known` whether anybody has ever claimed.
    """

    status: str | None = None
    attempts: int = 0
    effects: int = 0
    by: Message | None = None
    expires: float = 0.0
    gate: Message | None = None
    gate_expires: float = 0.0
    is_final: bool = False
    guarded: float = 0.0
    known: bool = False

    @property
    def has_effect(self) -> bool:
        return self.status == "COMPLETED" or self.effects > 0

    @property
    def claim(self) -> str:
        return self.by.delivery if self.by else ""


class Machine(RuleBasedStateMachine):
    """Deliveries of three messages, each claimed, failed, completed or dropped by somebody."""

    deliveries = Bundle("deliveries")
    client: Callable[[], Any]
    """The DynamoDB that keeps the tables."""
    statements = False

    def __init__(self) -> None:
        super().__init__()
        self.real = type(self).client()
        number = next(_numbers)
        self.tables = (f"status-{number}", f"completed-{number}")
        for table in self.tables:
            self.real.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "message_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "message_id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        self.dynamo = ScriptedDynamo(real=self.real)
        self.now = 1_700_000_000.0
        self.rows = {key: Row() for key in "abc"}
        self.ledgers = {
            mode: DynamoLedger(
                self.dynamo,  # type: ignore[arg-type]
                self.tables,
                transactional=mode,
                statements=self.statements,
                clock=lambda: self.now,
            )
            for mode in (True, False)
        }

    def teardown(self) -> None:
        for table in self.tables:
            self.real.delete_table(TableName=table)

    @rule(target=deliveries, key=IDS, receive=RECEIVES, body=BODIES)
    def deliver(self, key: str, receive: int, body: str) -> Message:
        return a_message(key, receive_count=receive, body=body)

    @rule(
        target=deliveries,
        receives=st.dictionaries(IDS, RECEIVES, min_size=2, max_size=3),
        body=BODIES,
        mode=MODES,
    )
    def deliver_a_batch(self, receives: dict[str, int], body: str, mode: bool):
        batch = [
            a_message(key, receive_count=receive, body=body) for key, receive in receives.items()
        ]
        answers = self.ledgers[mode].claim(batch)
        for message, answer in zip(batch, answers, strict=True):
            self._expect_claim(message, answer)
        return multiple(*batch)

    @rule(batch=st.lists(deliveries, min_size=2, max_size=3), mode=MODES, trouble=TROUBLE)
    def claim_a_batch(self, batch: list[Message], mode: bool, trouble: str | None) -> None:
        """Perhaps again, as a consumer does that got no answer."""
        batch = _one_each(batch)
        answers = self._call(lambda: self.ledgers[mode].claim(batch), trouble)
        if answers is not None:
            for message, answer in zip(batch, answers, strict=True):
                self._expect_claim(message, answer)
        elif trouble == "after":
            first = [message for message in batch if message.receive_count == 1]
            if self.statements and len(first) > 1:
                written = [message for message in first if self._is_new(message)]
            else:
                written = _all_or_none(batch, self._can_be_claimed)
            for message in written:
                self._claims(message)

    @rule(message=deliveries, mode=MODES, trouble=TROUBLE)
    def claim(self, message: Message, mode: bool, trouble: str | None) -> None:
        answer = self._call(lambda: self.ledgers[mode].claim([message]), trouble)
        if answer is not None:
            self._expect_claim(message, answer[0])
        elif trouble == "after":
            self._claims(message)

    @rule(message=deliveries, mode=MODES, trouble=TROUBLE)
    def complete(self, message: Message, mode: bool, trouble: str | None) -> None:
        """In the plain mode the lost answer is the gate's: the effect is not written then."""
        if not self.rows[message.id].known:
            return
        answer = self._call(lambda: self.ledgers[mode].complete([message]), trouble)
        if answer is not None:
            assert answer == [self._completion(message, mode)]
        elif trouble == "after":
            self._gates(message, is_final=mode)
            if mode:
                self._completes(message)

    @rule(messages=st.lists(deliveries, min_size=2, max_size=3), mode=MODES, trouble=TROUBLE)
    def complete_a_group(self, messages: list[Message], mode: bool, trouble: str | None) -> None:
        group = _one_each(m for m in messages if self.rows[m.id].known)
        if not group:
            return
        answers = self._call(lambda: self.ledgers[mode].complete(group), trouble)
        if answers is not None:
            assert answers == [self._completion(message, mode) for message in group]
        elif trouble == "after" and not mode:
            for message in self._gated_by_the_first_call(group):
                self._gates(message, is_final=False)
        elif trouble == "after":
            for message in _all_or_none(group, self._can_be_completed):
                self._gates(message, is_final=True)
                self._completes(message)

    @rule(message=deliveries)
    def die_between_the_writes(self, message: Message) -> None:
        if self.rows[message.id].known:
            assert self.ledgers[False].record([message]) == [True]
            if not self._has_gate(message.id):
                self._gates(message, is_final=False)

    @rule(message=deliveries)
    def fail(self, message: Message) -> None:
        """Only the last to claim may say that it failed, and nobody once it is completed."""
        row = self.rows[message.id]
        may = row.status in {"STARTED", "FAILED"} and row.claim == message.delivery
        assert self.ledgers[True].fail([(message, "it broke")]) == [may]
        if may:
            row.status, row.expires = "FAILED", self._expires()

    @rule(key=IDS)
    def somebody_sets_the_status_back(self, key: str) -> None:
        if self.rows[key].status is None:
            return
        self.rows[key].status = "STARTED"
        self.real.update_item(
            TableName=self.tables[0],
            Key={"message_id": {"S": key}},
            UpdateExpression="SET #status = :started",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":started": {"S": "STARTED"}},
        )

    @rule(key=IDS)
    def somebody_deletes_the_status_row(self, key: str) -> None:
        """What only a plain consumer wrote may then have another effect."""
        row = self.rows[key]
        row.status, row.by, row.attempts, row.effects, row.expires = None, None, 0, 0, 0.0
        row.guarded = min(row.guarded, row.gate_expires) if row.gate and row.is_final else 0.0
        self.real.delete_item(TableName=self.tables[0], Key={"message_id": {"S": key}})

    @rule(key=IDS)
    def somebody_deletes_the_gate(self, key: str) -> None:
        row = self.rows[key]
        row.gate, row.gate_expires, row.is_final = None, 0.0, False
        row.guarded = row.guarded if row.has_effect else 0.0
        self.real.delete_item(TableName=self.tables[1], Key={"message_id": {"S": key}})

    @rule(seconds=st.sampled_from([1, 60, KEEP_SECONDS - 10]))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def the_tables_are_as_the_model_says(self) -> None:
        status, gates = (self._scan(table) for table in self.tables)
        for key, row in self.rows.items():
            found = status.get(key, {})
            assert found.get("status", {}).get("S") == row.status
            assert int(found.get("attempts", {}).get("N", 0)) == row.attempts
            assert int(found.get("effects", {}).get("N", 0)) == row.effects <= 1
            assert row.effects == 1 or row.status != "COMPLETED"
            assert _named(found) == _named_by(row.by)
            assert _named(gates.get(key, {})) == _named_by(row.gate)
            assert ("with_effect" in gates.get(key, {})) == row.is_final

    def _call(self, call: Any, trouble: str | None) -> Any:
        """Its answer; None where the first call that it makes fails or its answer is lost."""
        if trouble:
            self.dynamo.then(LOST if trouble == "after" else no_answer())
        try:
            return call()
        except LedgerDown:
            return None

    def _gated_by_the_first_call(self, group: list[Message]) -> list[Message]:
        if self.statements and len(group) > 1:
            return [message for message in group if self._has_no_gate(message)]
        return _all_or_none(group, self._can_be_gated)

    def _is_new(self, message: Message) -> bool:
        return self.rows[message.id].status is None

    def _can_be_claimed(self, message: Message) -> bool:
        row = self.rows[message.id]
        return not row.has_effect and row.claim != message.delivery

    def _has_no_gate(self, message: Message) -> bool:
        return not self.rows[message.id].gate

    def _can_be_gated(self, message: Message) -> bool:
        return not self._has_gate(message.id)

    def _can_be_completed(self, message: Message) -> bool:
        return not self.rows[message.id].has_effect and self._can_be_gated(message)

    def _has_gate(self, key: str) -> bool:
        """One that has not expired."""
        return self.rows[key].gate is not None and self.rows[key].gate_expires > self.now

    def _expect_claim(self, message: Message, answer: Claim) -> None:
        row = self.rows[message.id]
        if not row.has_effect or row.expires <= self.now:
            assert answer is Claim.CLAIMED
            self._claims(message)
            return
        done = row.by if row.status == "COMPLETED" else self._set_right(message.id)
        assert answer is (Claim.ALREADY_DONE if _is_same(message, done) else Claim.CHANGED)

    def _claims(self, message: Message) -> None:
        """Counts unless this delivery was the last to claim. An expired completion starts anew."""
        row = self.rows[message.id]
        if row.has_effect:
            row.attempts, row.effects = 1, 0
        elif row.claim != message.delivery:
            row.attempts += 1
        else:
            return
        row.status, row.by, row.expires, row.known = "STARTED", message, self._expires(), True

    def _completion(self, message: Message, mode: bool) -> Completion:
        """What the ledger should answer, which has then happened."""
        row, has_gate = self.rows[message.id], self._has_gate(message.id)
        if mode and row.has_effect:
            return _judged(message, self._set_right(message.id))
        if has_gate and row.is_final:
            done = row.gate
            self._set_right(message.id)
            return _judged(message, done)
        if has_gate and not _is_same(message, row.gate):
            return Completion.CHANGED
        if not has_gate:
            self._gates(message, is_final=mode)
        if row.has_effect:
            return _judged(message, self._set_right(message.id))
        self._completes(message)
        return Completion.EFFECT

    def _set_right(self, key: str) -> Message | None:
        """Brings back what is wrong of the two rows from the other; who they name then."""
        row = self.rows[key]
        if not self._has_gate(key):
            row.gate, row.gate_expires, row.is_final = row.by, row.expires, True
        if row.status != "COMPLETED":
            row.status, row.effects, row.by = "COMPLETED", 1, row.gate
            row.expires = row.gate_expires
        return row.by

    def _gates(self, message: Message, *, is_final: bool) -> None:
        row = self.rows[message.id]
        row.gate, row.gate_expires, row.is_final = message, self._expires(), is_final

    def _completes(self, message: Message) -> None:
        row = self.rows[message.id]
        assert row.guarded <= self.now, "a second effect"
        row.status, row.by, row.expires, row.effects = "COMPLETED", message, self._expires(), 1
        row.guarded = row.expires

    def _expires(self) -> float:
        return int(self.now) + KEEP_SECONDS

    def _scan(self, table: str) -> dict[str, Any]:
        items = self.real.scan(TableName=table, ConsistentRead=True)["Items"]
        return {item["message_id"]["S"]: item for item in items}


def _all_or_none(batch: list[Message], possible: Callable[[Message], bool]) -> list[Message]:
    """What a transaction writes."""
    return batch if all(map(possible, batch)) else []


def _one_each(messages: Iterable[Message]) -> list[Message]:
    """A batch holds a key once (`waves`)."""
    return list({message.id: message for message in messages}.values())


def _is_same(message: Message, other: Message | None) -> bool:
    return other is not None and json.loads(message.body) == json.loads(other.body)


def _judged(message: Message, done: Message | None) -> Completion:
    if done is not None and done.delivery == message.delivery:
        return Completion.EFFECT
    return Completion.ALREADY_DONE if _is_same(message, done) else Completion.CHANGED


def _named(row: dict[str, Any]) -> list[str]:
    return [row.get(name, {}).get("S", "") for name in ("claim", "digest", "canonical_digest")]


def _named_by(message: Message | None) -> list[str]:
    return [message.delivery, message.digest, message.canonical_digest] if message else [""] * 3


RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
