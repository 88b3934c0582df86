"""Puts writes of the usual case into one PartiQL call, at the units of single writes.

A transaction costs twice the units (quirk 10). A batch of statements has normal units and an
outcome for each statement (quirk 11), but PartiQL has no upsert. A statement therefore requires the
row of the usual case. If it finds another one, the conditional write that knows every case decides.
A lost answer is such a case: the retry by the SDK finds what the first try did.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from . import aws
from .ports import LedgerDown

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Statement = dict[str, Any]
"""One item of BatchExecuteStatement: {"Statement": "INSERT ...", "Parameters": [...]}."""
Item = Mapping[str, Mapping[str, str]]

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException"})
"""Of a statement, and of the call as a whole."""
_MALFORMED = "ValidationError"
_AS_IT_MUST = "ConditionalCheckFailed"

log = logging.getLogger(__name__)


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
