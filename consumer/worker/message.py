"""Turns what SQS delivers into a `Message` with what its effects are counted by; pure."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

KEY_BYTES = 2048
"""The longest DynamoDB partition key, in bytes of UTF-8 (quirk 12)."""
OUTBOX = "outbox#"
KEYED = "key#"
RESERVED = (OUTBOX, KEYED)
"""How keys of rows begin that no message's id names: an id that begins so is hashed, too."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a body is known by. `unkeyed` says why it has no business key though it needs one."""

    id: str
    digest: str
    business_key: str = ""
    unkeyed: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of one message.

    `id` is the payload's own where there is a usable one, since that survives a redrive, else the
    MessageId (quirk 4). `business_key` and `unkeyed` are empty where no key is asked for.
    `delivery` tells the deliveries of one message apart. `deadline` is monotonic, `sent` and
    `visible_at` are epoch seconds.
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
    business_key: str = ""
    unkeyed: str = ""

    @property
    def key(self) -> str:
        """What the consumer records it under: messages of one key have one effect."""
        return self.business_key or self.id

    @property
    def names(self) -> dict[str, str]:
        """What every event about this delivery carries; the key where it is not the id."""
        own = {"id": self.id, "sqs_id": self.sqs_id, "delivery": self.delivery}
        return own | {"key": self.business_key} if self.business_key else own


def delivery_of(handle: str) -> str:
    """12 hex digits that stand for a receipt handle, which is too long and too powerful to log."""
    return hashlib.sha256(handle.encode()).hexdigest()[:12]


def digest_of(body: str) -> str:
    """SHA-256 of a body in hex; a lone surrogate counts as the three bytes it would take."""
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def identity_of(body: str, sqs_id: str) -> Identity:
    """The identity of a message whose effects are counted by its id."""
    return Identity(message_id(body, sqs_id), digest_of(body))


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
    return hashed(own)


def hashed(text: str) -> str:
    """What stands for a text that cannot be a key itself."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def waves(batch: Iterable[Message]) -> Iterator[list[Message]]:
    """Split a batch so that no key stands twice in a wave.

    A standard queue may deliver two copies of a message in one receive (quirk 1), and a DynamoDB
    transaction refuses two writes to one item; the second copy waits for the first one's outcome,
    and so does another message about the same business.
    """
    rest = list(batch)
    while rest:
        wave: dict[str, Message] = {}
        for message in rest:
            wave.setdefault(message.key, message)
        yield list(wave.values())
        rest = [message for message in rest if wave[message.key] is not message]
