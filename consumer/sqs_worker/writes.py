"""Puts conditional writes into as few DynamoDB calls as possible and answers for each message.

It knows how a call can be refused, be throttled, conflict, fail or lose its answer, and not what is
written. Batches of PartiQL statements are cheaper for the usual case: they cost the units of single
writes, where a transaction costs twice as many (quirk 10).
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from . import aws
from .message import Message
from .ports import LedgerDown

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Row = Mapping[str, Any]
Write = dict[str, dict[str, Any]]
"""One item of TransactWriteItems: {"Update": {...}} or {"Put": {...}}."""

_CONFLICT = "TransactionConflict"
_IN_PROGRESS = "TransactionInProgressException"
_PASSING = aws.THROTTLED | {_CONFLICT, _IN_PROGRESS}
"""Reasons that go away by themselves; DynamoDB did not look at the condition (quirks 10, 17)."""

_TRIES = 6
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0

_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException"})
"""Of a statement, and of the call as a whole."""
_MALFORMED = "ValidationError"
_AS_IT_MUST = "ConditionalCheckFailed"

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
        it; what conflicts or is throttled is tried again after a pause, so that it holds nobody up.
        Raises LedgerDown where the table as a whole does not answer, or goes on to throttle: what
        was in that call may have happened, and a second `settle` of the same groups finds it.
        """
        outcomes: dict[int, Outcome] = {}
        waiting = list(range(len(groups)))
        for attempt in range(_TRIES):
            self._pause_before(attempt)
            waiting = self._settle_once(groups, waiting, outcomes)
            if not waiting:
                break
        _raise_unless_conflicts(outcomes[index] for index in waiting)
        return [outcomes[index] for index in range(len(groups))]

    def expect_refusal(self, writes: list[Write]) -> None:
        """Raises LedgerDown unless DynamoDB refuses these writes, whose conditions cannot hold.

        A conflict says nothing about conditions, so it is tried again.
        """
        conflict: ClientError | None = None
        for attempt in range(_TRIES):
            self._pause_before(attempt)
            try:
                self._send(writes)
            except ClientError as error:
                outcomes = self._explain(error, [writes])
                if outcomes and isinstance(outcomes[0], Refused):
                    return
                if outcomes != [Unsettled(_CONFLICT)]:
                    raise aws.down_by(error, LedgerDown) from error
                conflict = error
            else:
                raise LedgerDown(_ignored(writes), passing=False)
        raise LedgerDown(f"the probe still conflicts after {_TRIES} tries") from conflict

    def _pause_before(self, attempt: int) -> None:
        if attempt:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1))
            self._sleep(random.uniform(0, pause))

    def _settle_once(
        self,
        groups: Sequence[tuple[Message, list[Write]]],
        now: list[int],
        outcomes: dict[int, Outcome],
    ) -> list[int]:
        """Settle what can be settled without a pause; returns the groups to try again after one."""
        waiting: list[int] = []
        while now:
            found = self._call([groups[index][1] for index in now])
            if found is None:
                return waiting + self._one_by_one(groups, now, outcomes)
            outcomes.update(zip(now, found, strict=True))
            waiting += [index for index in now if _is_passing(outcomes[index])]
            now = [index for index in now if outcomes[index] is _UNTOUCHED]
        return waiting

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
            self._send([write for group in writes for write in group])
        except ClientError as error:
            return self._explain(error, writes)
        return [Written() for _ in writes]

    def _send(self, items: list[Write]) -> None:
        """A single write needs no transaction, which would cost twice the units (quirk 10)."""
        method: Any = self._dynamodb.transact_write_items
        request: dict[str, Any] = {"TransactItems": items}
        if len(items) == 1:
            ((kind, request),) = items[0].items()
            method = {"Update": self._dynamodb.update_item, "Put": self._dynamodb.put_item}[kind]
        request = {**request, "ReturnConsumedCapacity": "TOTAL"}
        aws.call(method, request, aws.has_capacity, LedgerDown)

    def _explain(self, error: ClientError, writes: list[list[Write]]) -> list[Outcome] | None:
        """What an error says of each group; raises LedgerDown where it does not say that."""
        answer: Any = error.response
        code = answer["Error"].get("Code")
        is_single = sum(map(len, writes)) == 1
        if code == "ValidationException":
            return None
        if code == _IN_PROGRESS:
            return [Unsettled(code) for _ in writes]
        if is_single and code == "ConditionalCheckFailedException":
            return [Refused((answer.get("Item", {}),))]
        if is_single and code == "TransactionConflictException":
            return [Unsettled(_CONFLICT)]
        if not is_single and code == "TransactionCanceledException":
            found = _by_group(answer.get("CancellationReasons", []), writes)
            if found:
                return found
        raise aws.down_by(error, LedgerDown) from error


_UNTOUCHED = Written()
"""Stands for 'nothing wrong with this one': a cancelled transaction wrote nothing, so try again."""


def _is_passing(outcome: Outcome) -> bool:
    return isinstance(outcome, Unsettled) and outcome.reason in _PASSING


def _raise_unless_conflicts(outcomes: Iterable[Outcome]) -> None:
    """A conflict that stays is the matter of its message, anything else that of the table."""
    reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, Unsettled)}
    reasons.discard(_CONFLICT)
    if reasons:
        throttled = not reasons.isdisjoint(aws.THROTTLED)
        text = f"{', '.join(sorted(reasons))} after {_TRIES} tries"
        raise LedgerDown(text, throttled=throttled)


def _ignored(writes: list[Write]) -> str:
    """What to say of a store that accepts writes whose conditions cannot hold."""
    tables = sorted({request["TableName"] for write in writes for request in write.values()})
    return (
        "the store accepted a write whose condition cannot hold; it ignores conditions and would "
        "let effects happen twice, so it cannot be used; delete the row with message_id 'probe' "
        f"from {', '.join(tables)} if it is there now"
    )


def _by_group(reasons: list[Any], writes: list[list[Write]]) -> list[Outcome] | None:
    """None where the reasons are not one for each item, or none of them says anything."""
    if len(reasons) != sum(map(len, writes)) or not all(isinstance(r, dict) for r in reasons):
        return None
    rest = iter(reasons)
    outcomes = [_of_group(list(islice(rest, len(group)))) for group in writes]
    return outcomes if any(outcome is not _UNTOUCHED for outcome in outcomes) else None


def _of_group(reasons: list[dict[str, Any]]) -> Outcome:
    codes = [reason.get("Code", "None") for reason in reasons]
    passing = _PASSING.intersection(codes)
    if passing:
        return Unsettled(next(iter(passing - {_CONFLICT}), _CONFLICT))
    if "ConditionalCheckFailed" in codes:
        return Refused(
            tuple(
                reason.get("Item", {}) if code == "ConditionalCheckFailed" else None
                for code, reason in zip(codes, reasons, strict=True)
            )
        )
    other = next((code for code in codes if code != "None"), None)
    return Unsettled(other) if other else _UNTOUCHED


Statement = dict[str, Any]
"""One item of BatchExecuteStatement: {"Statement": "INSERT ...", "Parameters": [...]}."""
Item = Mapping[str, Mapping[str, str]]

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html


def insert(table: str, item: Item) -> Statement:
    """A row that is not there yet; refused as `DuplicateItem` where one is."""
    names = ", ".join(f"'{name}': ?" for name in item)
    return {
        "Statement": f'INSERT INTO "{table}" VALUE {{{names}}}',
        "Parameters": list(item.values()),
    }


def update(table: str, row: Item, changes: Item, *, absent: Sequence[str] = ()) -> Statement:
    """`changes` to the one row that has all of `row` and none of the attributes `absent`."""
    sets = " ".join(f'SET "{name}" = ?' for name in changes)
    conditions = [f'"{name}" = ?' for name in row] + [f'"{name}" IS MISSING' for name in absent]
    return {
        "Statement": f'UPDATE "{table}" {sets} WHERE {" AND ".join(conditions)}',
        "Parameters": [*changes.values(), *row.values()],
    }


class Statements:
    """Executes statements, each of them alone, up to 25 at a time.

    Where they cannot be used it says so, and leaves everything to the conditional writes until the
    next probe: an optimization must never stop the consumer.
    """

    def __init__(self, dynamodb: "DynamoDBClient") -> None:
        self._dynamodb = dynamodb
        self._usable = True

    def probe(self, impossible: Statement) -> None:
        """Learn whether statements can be used, by one that must be refused by its condition.

        Never raises: whether the tables are down is for a probe of conditional writes to find.
        """
        try:
            (code,) = self._errors([impossible])
        except LedgerDown as error:
            code = str(error)
        if code == _AS_IT_MUST:
            self._usable = True
        else:
            ignored = "the store ignored a condition that cannot hold"
            self._give_up(ignored if code is None else code)

    def execute(self, statements: Sequence[Statement]) -> list[bool]:
        """Whether each has happened, in order; False also where that is not known.

        Raises LedgerDown where there is no answer: any of them may have happened.
        """
        if not self._usable:
            return [False] * len(statements)
        codes = self._errors(statements)
        if _FORBIDDEN.intersection(codes) or set(codes) == {_MALFORMED}:
            self._give_up(", ".join(sorted({code for code in codes if code})))
        return [code is None for code in codes]

    def _errors(self, statements: Sequence[Statement]) -> list[str | None]:
        """The code of each one's error; None where it has happened. An error of the call as a
        whole is everyone's: whether the tables are down is for the conditional writes to find."""

        def answers_all(answer: Any) -> bool:
            """A statement that has happened consumes capacity; AWS does not say that a refused one
            does."""
            found = answer.get("Responses", [])
            return (
                len(found) == len(statements)
                and all(isinstance(one, dict) for one in found)
                and (aws.has_capacity(answer) or all("Error" in one for one in found))
            )

        request = {"Statements": list(statements), "ReturnConsumedCapacity": "TOTAL"}
        try:
            method = self._dynamodb.batch_execute_statement
            answer = aws.call(method, request, answers_all, LedgerDown)
        except ClientError as error:
            return [error.response["Error"].get("Code", "")] * len(statements)
        found = answer["Responses"]
        return [one["Error"].get("Code", "") if "Error" in one else None for one in found]

    def _give_up(self, reason: str) -> None:
        if self._usable:
            self._usable = False
            log.error(
                "USE_PARTIQL_STATEMENTS=1 cannot be used: %s; it needs dynamodb:PartiQLInsert and "
                "dynamodb:PartiQLUpdate and a store that has PartiQL; batches are written as "
                "transactions for now, at twice the units",
                reason,
            )
