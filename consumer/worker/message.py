"""Turns what SQS delivers into a `Message` with the id that its effects are counted by; pure."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

KEY_BYTES = 2048
"""The longest DynamoDB partition key, in bytes of UTF-8 (quirk 12)."""
RESERVED = "outbox#"
"""Keys of rows that are no message's: an id that begins so is hashed, too."""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of one message.

    `id` is the key of everything the consumer records: the payload's own id where there is a usable
    one, since that survives a redrive, else the MessageId (quirk 4). `delivery` tells the
    deliveries of one message apart. `deadline` is monotonic, `sent` and `visible_at` are epoch
    seconds.
    """

    id: str
    sqs_id: str
    handle: str
    delivery: str
    body: str
    digest: str
    receive_count: int
    sent: float
    visible_at: float
    deadline: float

    @property
    def names(self) -> dict[str, str]:
        """What every event about this delivery carries."""
        return {"id": self.id, "sqs_id": self.sqs_id, "delivery": self.delivery}


def delivery_of(handle: str) -> str:
    """12 hex digits that stand for a receipt handle, which is too long and too powerful to log."""
    return hashlib.sha256(handle.encode()).hexdigest()[:12]


def digest_of(body: str) -> str:
    """SHA-256 of a body in hex; a lone surrogate counts as the three bytes it would take."""
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def message_id(body: str, sqs_id: str) -> str:
    """The id of a message: the payload's `id` where it can be a key, else the MessageId.

    A string counts as it is, a whole number as its digits, a string too long for a key, or of a
    reserved name, as its SHA-256. Everything else (no JSON, no object, no id, null, true, 1.5, "",
    a list, text that UTF-8 cannot hold) has no id of its own.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):  # ValueError also: a number of more than 4,300 digits
        return sqs_id
    own = payload.get("id") if isinstance(payload, dict) else None
    if isinstance(own, int) and not isinstance(own, bool):
        own = str(own)
    return _as_key(own, sqs_id) if isinstance(own, str) and own else sqs_id


def _as_key(own: str, sqs_id: str) -> str:
    try:
        encoded = own.encode()
    except UnicodeEncodeError:
        return sqs_id
    if len(encoded) <= KEY_BYTES and not own.startswith(RESERVED):
        return own
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"


def waves(batch: Iterable[Message]) -> Iterator[list[Message]]:
    """Split a batch so that no id stands twice in a wave.

    A standard queue may deliver two copies of a message in one receive (quirk 1), and a DynamoDB
    transaction refuses two writes to one item; the second copy waits for the first one's outcome.
    """
    rest = list(batch)
    while rest:
        wave: dict[str, Message] = {}
        for message in rest:
            wave.setdefault(message.id, message)
        yield list(wave.values())
        rest = [message for message in rest if wave[message.id] is not message]
