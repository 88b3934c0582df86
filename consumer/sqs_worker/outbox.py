"""Keeps what is still to be said to the payment service, in the table that completions go to.

An intent joins the transaction of its completion, so both are there or neither. The tables have no
key but the message id and no index, so that a search for intents would read every row of 45 days.
Therefore the intents stand in a few rows of known names, in sets of strings: `pending` has the open
ones, `parked` those that are not tried any more, `retry` those that a person wants to be tried
again. What is settled leaves its set. plans/external-effects.md has the figures.
"""

import hashlib
import json
import logging
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from . import aws
from .http_service import CHARGE, Request, amount_of
from .message import KEYED, OUTBOX, Message
from .ports import LedgerDown
from .writes import Row, Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROWS = 16
"""More rows: fewer conflicts between transactions, more to read in each look."""
FULL_BYTES = 300_000
"""Of intents in one row, above which nothing more is completed: at 400 KB DynamoDB would refuse the
completions, and each refusal would spend a receive of a healthy message."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intent:
    """A charge to be made; two intents of one message are equal, so a set holds one of them."""

    order: str
    amount: int

    @classmethod
    def of(cls, message: Message) -> "Intent":
        """The intent of a message, the same for each delivery of it."""
        return cls(message.key, amount_of(message))

    @classmethod
    def read(cls, text: str) -> "Intent | None":
        """The intent that stands in a set as this text; None where it is not one of ours."""
        try:
            intent = cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None
        typed = isinstance(intent.order, str) and isinstance(intent.amount, int)
        return intent if typed and intent.text == text else None

    @property
    def request(self) -> Request:
        """What to ask of the service; the order is the key, whoever asks."""
        return Request(CHARGE, self.order, self.amount, key=self.order)

    @property
    def text(self) -> str:
        """How it stands in the set."""
        return json.dumps(asdict(self))

    @property
    def row(self) -> str:
        """The key of the row that holds it."""
        return _ROW_NAMES[zlib.crc32(self.order.encode()) % ROWS]

    @property
    def name(self) -> str:
        """What logs call it; of a business key, whose values they do not show, the digest."""
        if not self.order.startswith(KEYED):
            return f"order {self.order}"
        return f"the order whose key has SHA-256 {hashlib.sha256(self.order.encode()).hexdigest()}"


_ROW_NAMES = tuple(f"{OUTBOX}{number:02}" for number in range(ROWS))


class Outbox:
    """The intents of one status table; every method may raise LedgerDown."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._full = ""
        self._read: dict[str, Intent] = {}  # at the last look, since most are there again
        self._reported: tuple[dict[str, int], int] = ({}, 0)

    def write(self, message: Message) -> Write:
        """The part of a completion's transaction that records the intent."""
        self.check_room()
        intent = Intent.of(message)
        return {"Update": self._update(intent.row, "ADD pending :intents", [intent])}

    def check_room(self) -> None:
        """Raises LedgerDown where the last look found a row nearly full."""
        if self._full:
            raise LedgerDown(
                f"row {self._full} of {self._table} is nearly full of intents; they leave it when "
                f"the service answers, those that are parked {HOW_TO_RETRY}",
                passing=False,
            )

    def pending(self) -> list[Intent]:
        """Every intent that is to be tried, read consistently in one call."""
        rows = aws.rows(self._dynamodb, self._table, _ROW_NAMES, LedgerDown)
        texts = dict.fromkeys(text for row in rows for text in _texts(row, "pending", "retry"))
        read = {text: self._read.get(text) or Intent.read(text) for text in texts}
        self._read = {text: intent for text, intent in read.items() if intent}
        self._full = next((_key(row) for row in rows if _size(row) > FULL_BYTES), "")
        self._report(rows, len(read) - len(self._read))
        return list(self._read.values())

    def settle(self, intents: Sequence[Intent]) -> None:
        """Take them out; one that is not there any more is no error."""
        by_row = defaultdict(list)
        for intent in intents:
            by_row[intent.row].append(intent)
        for row, together in by_row.items():
            changes = "DELETE pending :intents, retry :intents, parked :intents"
            self._call(self._update(row, changes, together))

    def park(self, intent: Intent) -> None:
        """Move it to the parked ones, in one write; nothing happens where another settled it."""
        changes = "ADD parked :intents DELETE pending :intents, retry :intents"
        request = self._update(intent.row, changes, [intent])
        request["ConditionExpression"] = "contains(pending, :intent) OR contains(retry, :intent)"
        request["ExpressionAttributeValues"][":intent"] = {"S": intent.text}
        self._call(request)

    def _call(self, request: dict[str, Any]) -> None:
        request = {**request, "ReturnConsumedCapacity": "TOTAL"}
        try:
            aws.call(self._dynamodb.update_item, request, aws.has_capacity, LedgerDown)
        except ClientError as error:
            if error.response["Error"].get("Code") != "ConditionalCheckFailedException":
                raise aws.down_by(error, LedgerDown) from error

    def _update(self, row: str, changes: str, intents: Sequence[Intent]) -> Any:
        return {
            "TableName": self._table,
            "Key": {"message_id": {"S": row}},
            "UpdateExpression": changes,
            "ExpressionAttributeValues": {":intents": {"SS": [i.text for i in intents]}},
        }

    def _report(self, rows: Sequence[Row], unreadable: int) -> None:
        """Say what waits for a person, at the first look and whenever that changes."""
        parked = {_key(row): len(found) for row in rows if (found := _texts(row, "parked"))}
        if (parked, unreadable) == self._reported:
            return
        self._reported = (parked, unreadable)
        if parked:
            log.error(
                "%s orders are parked and not charged, in the attribute `parked` of these rows of "
                "%s: %s; look at them and let them be tried again, %s",
                sum(parked.values()),
                self._table,
                ", ".join(sorted(parked)),
                HOW_TO_RETRY,
            )
        if unreadable:
            log.error(
                "%s intents in the rows %s to %s of %s are not the consumer's and are left there; "
                "if you have edited one, restore its text",
                unreadable,
                _ROW_NAMES[0],
                _ROW_NAMES[-1],
                self._table,
            )


HOW_TO_RETRY = 'as "A parked order" in plans/external-effects.md says'


def _key(row: Row) -> str:
    return str(row["message_id"]["S"])


def _texts(row: Row, *names: str) -> list[str]:
    return [text for name in names for text in row.get(name, {}).get("SS", ())]


def _size(row: Row) -> int:
    return sum(map(len, _texts(row, "pending", "retry", "parked")))
