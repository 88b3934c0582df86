#!/usr/bin/env python3
"""Compares ways to claim ten messages in one call: calls, write units, dollars, CPU of both ends.

The figures of plans/claim.md come from here. It measures the calls alone, on a stack of its own.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "consumer"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from botocore.config import Config
from rich.console import Console
from rich.table import Table

from benchmarks.ground import Ground, grounds
from support.doubles import a_message
from support.queues import QueueSet
from worker.ledger import DynamoLedger
from worker.message import Message
from worker.meter import WRITE_UNITS, Meter
from worker.ports import Claim

BATCH = 10
ROUNDS = 100
NOW, EXPIRES = "1700000000.000", "1703888000"


@dataclass(frozen=True)
class Cost:
    """Per message, except `dollars`, which are per million messages and for the claim alone."""

    calls: float
    units: float
    client_ms: float
    stack_ms: float

    @property
    def dollars(self) -> float:
        return self.units * WRITE_UNITS


@dataclass(frozen=True)
class Before:
    """What became of `claimed` messages of each batch in an earlier delivery."""

    name: str
    claimed: int
    done: bool


STATES = (
    Before("all new", 0, done=False),
    Before("1 claimed", 1, done=False),
    Before(f"{BATCH} claimed", BATCH, done=False),
    Before("1 completed", 1, done=True),
)
Way = Callable[[Any, QueueSet, Sequence[Message]], int]
"""Claims a batch; returns how many were claimed."""


def transaction(dynamodb: Any, made: QueueSet, messages: Sequence[Message]) -> int:
    """The consumer's own: one TransactWriteItems of conditional updates."""
    ledger = DynamoLedger(dynamodb, made.status_table, made.completed_table, transactional=True)
    return sum(claim is Claim.CLAIMED for claim in ledger.claim(messages))


def one_by_one(dynamodb: Any, made: QueueSet, messages: Sequence[Message]) -> int:
    """The consumer's own for batches of one: an UpdateItem each."""
    return sum(transaction(dynamodb, made, [message]) for message in messages)


def statements(dynamodb: Any, made: QueueSet, messages: Sequence[Message]) -> int:
    """PartiQL: INSERT each; what is there already is claimed by an UPDATE in a second call."""
    failed = _execute(dynamodb, [_insert(made, message) for message in messages])
    again = [message for message, code in zip(messages, failed, strict=True) if code]
    refused = _execute(dynamodb, [_update(made, message) for message in again]) if again else []
    return len(messages) - sum(bool(code) for code in refused)


def statements_by_count(dynamodb: Any, made: QueueSet, messages: Sequence[Message]) -> int:
    """PartiQL: INSERT for a first receive, UPDATE for a later one, all in one call."""
    chosen = [
        _insert(made, message) if message.receive_count == 1 else _update(made, message)
        for message in messages
    ]
    return len(messages) - sum(bool(code) for code in _execute(dynamodb, chosen))


def _execute(dynamodb: Any, chosen: list[dict[str, Any]]) -> list[str]:
    answer = dynamodb.batch_execute_statement(Statements=chosen, ReturnConsumedCapacity="TOTAL")
    return [one.get("Error", {}).get("Code", "") for one in answer["Responses"]]


def _insert(made: QueueSet, message: Message) -> dict[str, Any]:
    row = (
        "{'message_id':?,'status':'STARTED','digest':?,'claim':?,'first_claimed_at':?,"
        "'last_claimed_at':?,'expires_at':?,'attempts':1}"
    )
    return {
        "Statement": f'INSERT INTO "{made.status_table}" VALUE {row}',
        "Parameters": [
            {"S": message.id},
            {"S": message.digest},
            {"S": message.delivery},
            {"N": NOW},
            {"N": NOW},
            {"N": EXPIRES},
        ],
    }


def _update(made: QueueSet, message: Message) -> dict[str, Any]:
    return {
        "Statement": f'UPDATE "{made.status_table}" SET status=? SET claim=? SET last_claimed_at=? '  # noqa: S608
        "SET expires_at=? SET attempts=attempts+1 WHERE message_id=? AND status<>? AND claim<>?",
        "Parameters": [
            {"S": "STARTED"},
            {"S": message.delivery},
            {"N": NOW},
            {"N": EXPIRES},
            {"S": message.id},
            {"S": "COMPLETED"},
            {"S": message.delivery},
        ],
    }


def cost(ground: Ground, way: Way, state: Before) -> Cost:
    """The mean of many batches."""
    made = ground.filled(0)
    dynamodb = ground.client("dynamodb", Config(parameter_validation=False))
    batches = [[a_message(str(uuid.uuid4())) for _ in range(BATCH)] for _ in range(ROUNDS)]
    for batch in batches:
        _prepare(dynamodb, made, batch[: state.claimed], done=state.done)
    batches = [[_again(m) for m in b[: state.claimed]] + b[state.claimed :] for b in batches]
    way(dynamodb, made, [a_message(str(uuid.uuid4())) for _ in range(BATCH)])
    meter = Meter()
    meter.attach(dynamodb)
    client, stack = time.process_time(), ground.stack_seconds()
    claimed = sum(way(dynamodb, made, batch) for batch in batches)
    client, stack = time.process_time() - client, ground.stack_seconds() - stack
    count = BATCH * ROUNDS
    expected = count - (state.claimed * ROUNDS if state.done else 0)
    if claimed != expected:
        raise AssertionError(f"{way.__name__} claimed {claimed}, not {expected}")
    calls = sum(meter.calls.items().values())
    return Cost(
        calls / count, meter.units["write"] / count, 1000 * client / count, 1000 * stack / count
    )


def _prepare(dynamodb: Any, made: QueueSet, messages: Sequence[Message], *, done: bool) -> None:
    ledger = DynamoLedger(dynamodb, made.status_table, made.completed_table, transactional=True)
    if messages:
        ledger.claim(messages)
    if messages and done:
        ledger.complete(messages)


def _again(message: Message) -> Message:
    again = a_message(message.id)
    return Message(
        **{**{name: getattr(again, name) for name in again.__slots__}, "receive_count": 2}
    )


def main() -> None:
    """Print one table."""
    table = Table(title=f"claims of {BATCH} messages, per message", title_justify="left")
    columns = ("", "before", "calls", "write units", "$ per million", "client ms", "stack ms")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    with TemporaryDirectory() as folder, grounds(Path(folder)) as (direct, _):
        for way in (transaction, one_by_one, statements, statements_by_count):
            for state in STATES:
                found = cost(direct, way, state)
                table.add_row(
                    way.__name__.replace("_", " "),
                    state.name,
                    f"{found.calls:.2f}",
                    f"{found.units:.2f}",
                    f"{found.dollars:.2f}",
                    f"{found.client_ms:.2f}",
                    f"{found.stack_ms:.2f}",
                )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
