"""Takes an order through steps on services outside, and back through their compensations.

What comes next is a pure function of the log of what is settled. Each entry of the log is written,
on condition that the log is as it was read, before the next call is made; each call has a key of
its own. So a crash between any two lines repeats one call, which the service answers from memory.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from . import aws
from .events import Events
from .http_service import Answer, Call, OutsideDown, Request, amount_of
from .message import Message
from .ports import LedgerDown
from .writes import Refused, Write, Writer, Written

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STEPS = (("reserve", "release"), ("charge", "refund"), ("ship", "cancel"))
"""Each step and what takes it back."""
_UNDO = dict(STEPS)
_REFUSED = "-refused"
Log = tuple[str, ...]
"""What is settled, in order: "reserve", "charge", "ship-refused", "cancel", ..."""


def next_action(log: Log) -> str | None:
    """The call that comes next, None at the end.

    Forward until a step is refused; from there back, the refused step first: its service holds an
    order that must be closed, too.
    """
    refused = next((e.removesuffix(_REFUSED) for e in log if e.endswith(_REFUSED)), None)
    steps = [step for step, _ in STEPS]
    if refused is None:
        return next((step for step in steps if step not in log), None)
    back = [_UNDO[step] for step in reversed(steps[: steps.index(refused) + 1])]
    return next((undo for undo in back if undo not in log), None)


Outlast = Callable[[Message, Callable[[], Log]], Log]
"""Makes a call about a message, if need be until its tables are up again."""


class Progress(Protocol):
    """Where the logs are kept; both may raise LedgerDown."""

    def read(self, message: Message) -> Log: ...
    def append(self, message: Message, log: Log, entry: str) -> Log: ...


class Saga:
    """The `Work` port: returns when the order is at one of its two ends."""

    def __init__(self, call: Call, progress: Progress, journal: Events) -> None:
        self._call = call
        self._progress = progress
        self._journal = journal
        self.outlast: Outlast = lambda _message, call: call()

    def __call__(self, message: Message) -> None:
        """Go on where the log ends; raises OutsideDown where a service does not settle a call, and
        LedgerDown where the log cannot be reached."""
        log = self.outlast(message, partial(self._progress.read, message))
        while action := next_action(log):
            entry = action + (_REFUSED if self._ask(action, message) is Answer.REFUSED else "")
            log = self.outlast(message, partial(self._progress.append, message, log, entry))
            self._journal.event("saga", message, log=list(log))

    def _ask(self, action: str, message: Message) -> Answer:
        key = f"{message.key}/{action}"
        order, amount = message.key, amount_of(message)
        request = Request(action, order, amount, key, message.receive_count, message.id)
        answer = self._call(request)
        if answer is Answer.REFUSED and action not in _UNDO:
            raise OutsideDown(f"{action} was refused, and there is no other way back")
        return answer


class SagaRows:
    """The logs as attribute `saga` of the status rows."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._writer = Writer(dynamodb)

    def read(self, message: Message) -> Log:
        """The log as it stands now, read consistently."""
        rows = aws.rows(self._dynamodb, self._table, [message.key], LedgerDown)
        if not rows:  # the claim wrote it a moment ago, so it was throttled away
            raise LedgerDown("the log of the saga could not be read")
        return _log(rows[0])

    def append(self, message: Message, log: Log, entry: str) -> Log:
        """The log with the entry, or as another delivery has taken it on meanwhile."""
        after = (*log, entry)
        (outcome,) = self._writer.settle([(message, [self._write(message, log, after)])])
        if isinstance(outcome, Written):
            return after
        if isinstance(outcome, Refused):
            return _log(outcome.rows[0] or {})
        raise LedgerDown(outcome.reason)

    def _write(self, message: Message, before: Log, after: Log) -> Write:
        values = {":after": {"S": " ".join(after)}}
        condition = "attribute_not_exists(saga)"
        if before:
            condition = "saga = :before"
            values[":before"] = {"S": " ".join(before)}
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"message_id": {"S": message.key}},
                "UpdateExpression": "SET saga = :after",
                "ConditionExpression": condition,
                "ExpressionAttributeValues": values,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }


def _log(row: Any) -> Log:
    return tuple(row.get("saga", {}).get("S", "").split())
