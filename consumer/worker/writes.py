"""Puts conditional writes into as few DynamoDB calls as possible and answers for each message.

It knows how a call can be refused, conflict, fail or get lost, and nothing of what is written.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .message import Message
from .ports import LedgerDown

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Row = Mapping[str, Any]
Write = dict[str, dict[str, Any]]
"""One item of TransactWriteItems: {"Update": {...}} or {"Put": {...}}."""

_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons that go away by themselves; the condition was not even looked at (quirk 10)."""

_TRIES = 6
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """Every write of the message happened."""


@dataclass(frozen=True)
class Refused:
    """A condition refused the message and nothing was written for it.

    `rows` has, for each of its writes, the row that stood in the way, or None where that write's
    own condition held.
    """

    rows: tuple[Row | None, ...]


@dataclass(frozen=True)
class Unsettled:
    """Neither written nor refused, for a reason that concerns this message alone."""

    reason: str


Outcome = Written | Refused | Unsettled


class Writer:
    """Settles conditional writes, one group of writes a message, each group all or nothing."""

    def __init__(
        self, dynamodb: "DynamoDBClient", sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._dynamodb = dynamodb
        self._sleep = sleep

    def settle(self, groups: Sequence[tuple[Message, list[Write]]]) -> list[Outcome]:
        """The outcome of each group, in order.

        One call where all goes well. What is refused is answered and the rest tried again without
        it; what conflicts is tried again after a pause, so that it holds nobody up. Raises
        LedgerDown where the table as a whole does not answer: what was in that call may have
        happened.
        """
        outcomes: dict[int, Outcome] = {}
        waiting = list(range(len(groups)))
        for attempt in range(_TRIES):
            waiting = self._settle_once(groups, waiting, outcomes)
            if not waiting:
                break
            if attempt < _TRIES - 1:
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
                self._sleep(random.uniform(0, pause))
        for index in waiting:
            outcomes[index] = Unsettled(f"conflicts after {_TRIES} tries")
        return [outcomes[index] for index in range(len(groups))]

    def _settle_once(
        self,
        groups: Sequence[tuple[Message, list[Write]]],
        now: list[int],
        outcomes: dict[int, Outcome],
    ) -> list[int]:
        """Settle what can be settled without a pause; returns the groups that conflicted."""
        conflicted: list[int] = []
        while now:
            found = self._call([groups[index][1] for index in now])
            if found is None:
                return conflicted + self._one_by_one(groups, now, outcomes)
            for index, outcome in zip(now, found, strict=True):
                if isinstance(outcome, Unsettled) and outcome.reason in _PASSING:
                    conflicted.append(index)
                elif outcome is not _UNTOUCHED:
                    outcomes[index] = outcome
            again = [i for i, outcome in zip(now, found, strict=True) if outcome is _UNTOUCHED]
            if len(again) == len(now):  # cancelled without a reason: nothing to leave out
                return conflicted + again
            now = again
        return conflicted

    def _one_by_one(
        self,
        groups: Sequence[tuple[Message, list[Write]]],
        now: list[int],
        outcomes: dict[int, Outcome],
    ) -> list[int]:
        """The request is malformed: find out whose fault that is, and let the others pass."""
        if len(now) == 1:
            message = groups[now[0]][0]
            log.warning("message %s cannot be recorded; it stays in the queue", message.id)
            outcomes[now[0]] = Unsettled("ValidationException")
            return []
        return [i for index in now for i in self._settle_once(groups, [index], outcomes)]

    def _call(self, writes: list[list[Write]]) -> list[Outcome] | None:
        """One call for all; None where DynamoDB calls it malformed."""
        try:
            if len(writes) == 1 and len(writes[0]) == 1:
                self._write_one(writes[0][0])
            else:
                items: Any = [write for group in writes for write in group]
                self._dynamodb.transact_write_items(
                    TransactItems=items, ReturnConsumedCapacity="TOTAL"
                )
        except ClientError as error:
            return self._explain(error, writes)
        except BotoCoreError as error:
            raise LedgerDown(str(error)) from error
        return [Written() for _ in writes]

    def _write_one(self, write: Write) -> None:
        """A single write needs no transaction, which would cost twice the units (quirk 10)."""
        (kind, request), *_ = write.items()
        call: Any = {"Update": self._dynamodb.update_item, "Put": self._dynamodb.put_item}[kind]
        call(**request, ReturnConsumedCapacity="TOTAL")

    def _explain(self, error: ClientError, writes: list[list[Write]]) -> list[Outcome] | None:
        code = error.response["Error"]["Code"]
        answer: Any = error.response
        if code == "ConditionalCheckFailedException":
            return [Refused((answer.get("Item", {}),))]
        if code == "TransactionCanceledException":
            return _by_group(answer.get("CancellationReasons", []), writes)
        if code == "TransactionConflictException":
            return [Unsettled("TransactionConflict")]
        if code == "ValidationException":
            return None
        raise LedgerDown(str(error)) from error


_UNTOUCHED = Written()
"""Stands for 'nothing wrong with this one': a cancelled transaction wrote nothing, so try again."""


def _by_group(reasons: list[dict[str, Any]], writes: list[list[Write]]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    position = 0
    for group in writes:
        outcomes.append(_of_group(reasons[position : position + len(group)]))
        position += len(group)
    return outcomes


def _of_group(reasons: list[dict[str, Any]]) -> Outcome:
    codes = [reason.get("Code", "None") for reason in reasons]
    passing = next((code for code in codes if code in _PASSING), None)
    if passing:
        return Unsettled(passing)
    if "ConditionalCheckFailed" in codes:
        return Refused(
            tuple(
                reason.get("Item", {}) if code == "ConditionalCheckFailed" else None
                for code, reason in zip(codes, reasons, strict=True)
            )
        )
    other = next((code for code in codes if code != "None"), None)
    return Unsettled(other) if other else _UNTOUCHED
