"""The ledger against a model, with consumers of both modes interleaved and answers getting lost.

Says what may be done and what the tables must hold then; where they are is the tests' to choose.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from support.doubles import LOST, ScriptedDynamo, a_message, no_answer
from worker.ledger import DynamoLedger
from worker.message import Message
from worker.ports import Claim, Completion, LedgerDown
from worker.rows import KEEP_SECONDS

IDS = st.sampled_from(["a", "b", "c"])
MODES = st.booleans()
RECEIVES = st.sampled_from([1, 1, 2])
"""What a receive says of itself; a first one may still find a row (a redrive, a second send)."""
TROUBLE = st.sampled_from([None, None, "before", "after"])
"""Of a call: nothing, it fails before it does anything, or it is done and its answer lost."""
_numbers = count(1)


@dataclass
class Row:
    """What the tables should hold for an id. `gate` and `claim` are deliveries."""

    status: str | None = None
    attempts: int = 0
    effects: int = 0
    gate: str = ""
    gate_expires: float = 0.0
    claim: str = ""
    expires: float = 0.0
    told: list[str] = field(default_factory=list)


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

    @rule(target=deliveries, key=IDS, receive=RECEIVES)
    def deliver(self, key: str, receive: int) -> Message:
        return a_message(key, receive_count=receive)

    @rule(
        target=deliveries,
        receives=st.dictionaries(IDS, RECEIVES, min_size=2, max_size=3),
        mode=MODES,
    )
    def deliver_a_batch(self, receives: dict[str, int], mode: bool):
        batch = [a_message(key, receive_count=receive) for key, receive in receives.items()]
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
        row = self.rows[message.id]
        if not row.attempts:
            return
        answer = self._call(lambda: self.ledgers[mode].complete([message]), trouble)
        if answer is not None:
            self._expect_completion(message, answer[0])
        elif trouble == "after":
            if not mode:
                self._gates(message)
            elif self._can_be_completed(message):
                self._gates(message)
                self._completes(message)

    @rule(messages=st.lists(deliveries, min_size=2, max_size=3), mode=MODES, trouble=TROUBLE)
    def complete_a_group(self, messages: list[Message], mode: bool, trouble: str | None) -> None:
        group = _one_each(m for m in messages if self.rows[m.id].attempts)
        if not group:
            return
        answers = self._call(lambda: self.ledgers[mode].complete(group), trouble)
        if answers is not None:
            for message, answer in zip(group, answers, strict=True):
                self._expect_completion(message, answer)
        elif trouble == "after" and not mode:
            for message in self._gated_by_the_first_call(group):
                self._gates(message)
        elif trouble == "after":
            for message in _all_or_none(group, self._can_be_completed):
                self._gates(message)
                self._completes(message)

    @rule(message=deliveries)
    def die_between_the_writes(self, message: Message) -> None:
        if self.rows[message.id].attempts:
            assert self.ledgers[False].record([message]) == [True]
            self._gates(message)

    @rule(message=deliveries)
    def fail(self, message: Message) -> None:
        """Only the last to claim may say that it failed, and nobody once it is completed."""
        row = self.rows[message.id]
        may = row.status in {"STARTED", "FAILED"} and row.claim == message.delivery
        assert self.ledgers[True].fail([(message, "it broke")]) == [may]
        if may:
            row.status, row.expires = "FAILED", self._expires()

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
            assert int(found.get("effects", {}).get("N", 0)) == row.effects
            assert gates.get(key, {}).get("claim", {}).get("S", "") == row.gate
            assert row.effects == (1 if row.status == "COMPLETED" else 0)
            assert len(row.told) <= 1

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
        return row.status != "COMPLETED" and row.claim != message.delivery

    def _has_no_gate(self, message: Message) -> bool:
        return not self.rows[message.id].gate

    def _can_be_gated(self, message: Message) -> bool:
        return self.rows[message.id].gate_expires <= self.now

    def _can_be_completed(self, message: Message) -> bool:
        return self.rows[message.id].status != "COMPLETED" and self._can_be_gated(message)

    def _expect_claim(self, message: Message, answer: Claim) -> None:
        done = self.rows[message.id].status == "COMPLETED" and not self._expired(message.id)
        assert answer is (Claim.ALREADY_DONE if done else Claim.CLAIMED)
        self._claims(message)

    def _claims(self, message: Message) -> None:
        """Counts unless this delivery was the last to claim. An expired completion starts anew,
        but by a second call: a lost first answer has then changed nothing.
        """
        row = self.rows[message.id]
        if row.status == "COMPLETED":
            if not self._expired(message.id):
                return
            row.attempts, row.effects, row.told = 1, 0, []
        elif row.claim != message.delivery or not row.attempts:
            row.attempts += 1
        else:
            return
        row.status, row.claim, row.expires = "STARTED", message.delivery, self._expires()

    def _expect_completion(self, message: Message, answer: Completion) -> None:
        row = self.rows[message.id]
        mine = row.status != "COMPLETED" or row.claim == message.delivery
        assert answer is (Completion.EFFECT if mine else Completion.ALREADY_DONE)
        self._gates(message)
        self._completes(message)

    def _gates(self, message: Message) -> None:
        """The gate is written once, until it has expired."""
        row = self.rows[message.id]
        if row.gate_expires <= self.now:
            row.gate, row.gate_expires = message.delivery, self._expires()

    def _completes(self, message: Message) -> None:
        row = self.rows[message.id]
        if row.status != "COMPLETED":
            row.status, row.claim, row.expires = "COMPLETED", message.delivery, self._expires()
            row.effects += 1
            row.told.append(message.delivery)

    def _expired(self, key: str) -> bool:
        return self.rows[key].expires <= self.now

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


RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
