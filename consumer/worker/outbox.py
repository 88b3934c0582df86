"""Keeps what is still to be said to the payment service, in the table that completions go to.

An intent joins the transaction of its completion, so both are there or neither. The tables have no
key but the message id and no index, so that a search for intents would read every row of 45 days.
Therefore the open intents stand in a few rows of known names, each a set of strings; what is
settled leaves its set. plans/external-effects.md has the figures.
"""

import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .effects import CHARGE, amount_of
from .message import OUTBOX, Message
from .outside import Request
from .ports import LedgerDown
from .writes import Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROWS = 16
"""More rows: fewer conflicts between transactions, more to read in each look."""


@dataclass(frozen=True)
class Intent:
    """A charge to be made; two intents of one message are equal, so a set holds one of them."""

    order: str
    amount: int

    @classmethod
    def of(cls, message: Message) -> "Intent":
        """The intent of a message, the same for each delivery of it."""
        return cls(message.key, amount_of(message))

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


_ROW_NAMES = tuple(f"{OUTBOX}{number:02}" for number in range(ROWS))


class Outbox:
    """The open intents of one status table; every method may raise LedgerDown."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def write(self, message: Message) -> Write:
        """The part of a completion's transaction that records the intent."""
        intent = Intent.of(message)
        return {"Update": self._update(intent.row, "ADD", [intent])}

    def pending(self) -> list[Intent]:
        """Every intent that is not settled, read consistently in one call."""
        keys = [{"message_id": {"S": name}} for name in _ROW_NAMES]
        request: Any = {self._table: {"Keys": keys, "ConsistentRead": True}}
        return [Intent(**json.loads(text)) for row in self._read(request) for text in _texts(row)]

    def settle(self, intents: Sequence[Intent]) -> None:
        """Take them out; one that is not there any more is no error."""
        by_row = defaultdict(list)
        for intent in intents:
            by_row[intent.row].append(intent)
        for row, together in by_row.items():
            try:
                self._dynamodb.update_item(
                    **self._update(row, "DELETE", together), ReturnConsumedCapacity="TOTAL"
                )
            except (ClientError, BotoCoreError) as error:
                raise LedgerDown(str(error)) from error

    def _read(self, request: Any) -> Iterator[dict[str, Any]]:
        while request:
            try:
                answer = self._dynamodb.batch_get_item(
                    RequestItems=request, ReturnConsumedCapacity="TOTAL"
                )
            except (ClientError, BotoCoreError) as error:
                raise LedgerDown(str(error)) from error
            yield from answer["Responses"].get(self._table, ())
            request = answer.get("UnprocessedKeys")

    def _update(self, row: str, verb: str, intents: Sequence[Intent]) -> Any:
        return {
            "TableName": self._table,
            "Key": {"message_id": {"S": row}},
            "UpdateExpression": f"{verb} pending :intents",
            "ExpressionAttributeValues": {":intents": {"SS": [i.text for i in intents]}},
        }


def _texts(row: dict[str, Any]) -> list[str]:
    return list(row.get("pending", {}).get("SS", ()))
