#!/usr/bin/env python3
"""Compares ways to claim ten messages in one call: calls, write units, dollars, CPU of both ends.

The figures of plans/claim.md come from here. It measures the calls alone, on a stack of its own.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore.config import Config
from rich.console import Console
from rich.table import Table

from benchmarks.ground import Ground, grounds
from sqs_worker.events import WRITE_UNITS, Meter
from sqs_worker.ledger import DynamoLedger
from sqs_worker.message import Message
from sqs_worker.ports import Claim
from support.fakes import a_message
from support.queues import QueueSet

BATCH = 10
ROUNDS = 100


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
    """What became of `claimed` messages of each batch in an earlier delivery.

    `receive` is the count that their next receive shows: 1 where the producer sent them twice.
    """

    name: str
    claimed: int
    done: bool
    receive: int = 2


STATES = (
    Before("all new", 0, done=False),
    Before("1 claimed", 1, done=False),
    Before(f"{BATCH} claimed", BATCH, done=False),
    Before("1 completed", 1, done=True),
    Before("1 completed, sent again", 1, done=True, receive=1),
    Before(f"{BATCH} completed, sent again", BATCH, done=True, receive=1),
)
Way = Callable[[Any, QueueSet, Sequence[Message]], int]
"""Claims a batch; returns how many were claimed."""


def transaction(dynamodb: Any, made: QueueSet, messages: Sequence[Message]) -> int:
    """The consumer's own: one TransactWriteItems of conditional updates."""
    return _claimed(dynamodb, made, messages, statements=False)


def one_by_one(dynamodb: Any, made: QueueSet, messages: Sequence[Message]) -> int:
    """The consumer's own for batches of one: an UpdateItem each."""
    return sum(transaction(dynamodb, made, [message]) for message in messages)


def statements(dynamodb: Any, made: QueueSet, messages: Sequence[Message]) -> int:
    """The consumer's own with USE_PARTIQL_STATEMENTS: INSERT what is received for the first time,
    and conditional updates for the others and for what is there already."""
    return _claimed(dynamodb, made, messages, statements=True)


def _claimed(
    dynamodb: Any, made: QueueSet, messages: Sequence[Message], *, statements: bool
) -> int:
    tables = (made.status_table, made.completed_table)
    ledger = DynamoLedger(dynamodb, tables, transactional=True, statements=statements)
    return sum(claim is Claim.CLAIMED for claim in ledger.claim(messages))


def cost(ground: Ground, way: Way, state: Before) -> Cost:
    """The mean of many batches."""
    made = ground.filled(0)
    dynamodb = ground.client("dynamodb", Config(parameter_validation=False))
    batches = [[a_message(str(uuid.uuid4())) for _ in range(BATCH)] for _ in range(ROUNDS)]
    for batch in batches:
        _prepare(dynamodb, made, batch[: state.claimed], done=state.done)
    batches = [
        [_again(m, state.receive) for m in b[: state.claimed]] + b[state.claimed :] for b in batches
    ]
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
    tables = (made.status_table, made.completed_table)
    ledger = DynamoLedger(dynamodb, tables, transactional=True)
    if messages:
        ledger.claim(messages)
    if messages and done:
        ledger.complete(messages)


def _again(message: Message, receive: int) -> Message:
    return a_message(message.id, receive_count=receive)


def main() -> None:
    """Print one table."""
    table = Table(title=f"claims of {BATCH} messages, per message", title_justify="left")
    columns = ("", "before", "calls", "write units", "$ per million", "client ms", "stack ms")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    with TemporaryDirectory() as folder, grounds(Path(folder)) as (direct, _):
        for way in (transaction, one_by_one, statements):
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
