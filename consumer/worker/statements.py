"""Puts writes of the usual case into one PartiQL call, at the units of single writes.

A transaction costs twice the units (quirk 10). In a batch of statements each stands or falls alone,
at normal units (quirk 11), but an upsert cannot be said. So a statement asks for exactly the row
that is usual, and where that is not what it finds, the conditional write that knows every case
decides. An answer that was lost is such a case: the SDK's second try finds what the first one did.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .ports import LedgerDown

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Statement = dict[str, Any]
"""One item of BatchExecuteStatement: {"Statement": "INSERT ...", "Parameters": [...]}."""
Item = Mapping[str, Mapping[str, str]]

MOST = 25
"""Statements of one call: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html"""

_IMPOSSIBLE = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnknownOperationException", "ValidationException"}
)
"""Codes that no second try changes: a role, or a store, that knows single writes only."""

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
    """Executes statements, each of them alone.

    Where they are not possible it says so, and leaves everything to the conditional writes
    from then on: a cheaper way must not be what stops a consumer.
    """

    def __init__(self, dynamodb: "DynamoDBClient") -> None:
        self._dynamodb = dynamodb
        self._possible = True

    def execute(self, statements: Sequence[Statement]) -> list[bool]:
        """Whether each has happened, in order; False also where that is not known.

        One call for up to 25. Raises LedgerDown where there is no answer: any of that call may have
        happened.
        """
        done: list[bool] = []
        for start in range(0, len(statements), MOST):
            part = statements[start : start + MOST]
            done += self._call(part) if self._possible else [False] * len(part)
        return done

    def _call(self, statements: Sequence[Statement]) -> list[bool]:
        request: Any = list(statements)
        try:
            answer = self._dynamodb.batch_execute_statement(
                Statements=request, ReturnConsumedCapacity="TOTAL"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _IMPOSSIBLE:
                raise LedgerDown(str(error)) from error
            self._give_up(str(error))
            return [False] * len(statements)
        except BotoCoreError as error:
            raise LedgerDown(str(error)) from error
        problems = [one.get("Error", {}) for one in answer["Responses"]]
        for problem in problems:
            if problem.get("Code") in _IMPOSSIBLE:
                self._give_up(f"{problem['Code']}: {problem.get('Message', 'no reason given')}")
        return [not problem for problem in problems]

    def _give_up(self, reason: str) -> None:
        if self._possible:
            self._possible = False
            log.error(
                "USE_PARTIQL_STATEMENTS=1 cannot be used: %s; it needs dynamodb:PartiQLInsert and "
                "dynamodb:PartiQLUpdate; batches are written as transactions from now on, at twice "
                "the units",
                reason,
            )
