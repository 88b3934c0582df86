"""Turns what SQS delivers into a `Message` with the key that its effects are counted by; pure.

Bodies are compared by their canonical JSON: one text for each value, with exact numbers.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from typing import Any

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Rounds nothing that `Decimal` can hold."""
_LONGEST_WHOLE = 1e40
"""From here on 1e308 stays as short as it is: a body full of such numbers would fill the memory."""


class NoNumber(ValueError):
    """NaN, an infinity, a number beyond the range of a double, or an exponent of 19 digits."""


def without_bom(text: str) -> str:
    """The text without the byte order mark that some producers put before their JSON."""
    return text.removeprefix("\ufeff")


def parsed(text: str) -> Any:
    """What a JSON text says, with each number as what it is worth.

    A whole number below 1e40 is an int, however it is spelled; a number that a double would round
    is a Decimal; every other one is a float. Raises ValueError (NoNumber) or RecursionError.
    """
    return _EXACTLY.decode(without_bom(text))


def parsed_for_functions(text: str) -> Any:
    """The same, with a float in place of a Decimal, which JMESPath's functions do not know."""
    return _FOR_FUNCTIONS.decode(without_bom(text))


def parsed_as_doubles(text: str) -> Any:
    """The same, but each number with a point or an exponent is the double nearest to it."""
    return _AS_DOUBLES.decode(without_bom(text))


def canonical(value: Any) -> str:
    """One text for one JSON value, in ASCII: names sorted, no spaces, 1.0 as 1."""
    if isinstance(value, dict):
        parts = (f"{_encode(name)}:{canonical(value[name])}" for name in sorted(value))
        return f"{{{','.join(parts)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, Decimal):
        return str(_EXACT.normalize(value))
    return _encode(int(value) if isinstance(value, float) and value.is_integer() else value)


def canonical_of_parsed(value: Any) -> str:
    """The same for what `parsed` made, where no float is a whole number, and faster."""
    try:
        return _encode(value)
    except TypeError:  # it holds a Decimal, which the encoder cannot write
        return canonical(value)


def _exact(text: str) -> int | float | Decimal:
    double = _finite(text)
    if repr(double) == text and not double.is_integer():
        return double
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise NoNumber("a number in the payload has an exponent of more than 18 digits") from error
    if abs(double) >= _LONGEST_WHOLE:
        return value
    whole = int(value)
    if value == whole:
        return whole
    return double if value == Decimal(repr(double)) else value


def _rounded(text: str) -> int | float:
    number = _exact(text)
    return float(number) if isinstance(number, Decimal) else number


def _double(text: str) -> int | float:
    double = _finite(text)
    return int(double) if double.is_integer() else double


def _finite(text: str) -> float:
    double = float(text)
    if not math.isfinite(double):
        raise NoNumber("a number in the payload is not finite")
    return double


_EXACTLY = json.JSONDecoder(parse_float=_exact, parse_constant=_finite)
_FOR_FUNCTIONS = json.JSONDecoder(parse_float=_rounded, parse_constant=_finite)
_AS_DOUBLES = json.JSONDecoder(parse_float=_double, parse_constant=_finite)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


KEY_BYTES = 2048
"""The longest DynamoDB partition key, in bytes of UTF-8 (quirk 12)."""
OUTBOX = "outbox#"
KEYED = "key#"
SNS_REMEDY = "enable raw message delivery on the SNS subscription"
HASHED = "sha256:"
RESERVED = (OUTBOX, KEYED, HASHED)
"""How keys of rows begin that no message's id names: an id that begins so is hashed, too."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a body is known by. `unkeyed` says why it has no business key though it needs one.

    `digest` is what rows of every version hold: the SHA-256 of the text, or with a business key of
    the JSON with numbers as doubles. `canonical` is that of the canonical JSON; empty without one.
    """

    id: str
    digest: str
    canonical: str = ""
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
    canonical: str = ""

    @property
    def key(self) -> str:
        """What the consumer records it under: messages of one key have one effect."""
        return self.business_key or self.id

    @property
    def content(self) -> str:
        """What tells its body from another one, in whatever form it is written."""
        return self.canonical or self.digest

    @property
    def canonical_digest(self) -> str:
        """`content` as rows hold it. It says which `digest` it belongs to, because an older version
        writes its own `digest` beside what it finds.
        """
        return f"{self.digest}:{self.content}"

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
    digest = digest_of(body)
    try:
        payload = parsed(body)
        canonical = digest_of(canonical_of_parsed(payload))
    except (ValueError, RecursionError):
        return Identity(message_id(body, sqs_id), digest)
    own = payload.get("id") if isinstance(payload, dict) else None
    if isinstance(own, str):
        return Identity(_as_key(own, sqs_id), digest, canonical)
    return Identity(message_id(body, sqs_id), digest, canonical)  # 7 is an id, 7.0 is none


def is_same_body(one: Identity | Message, digest: str, canonical_digest: str) -> bool:
    """Whether a row with these two attributes is about this body, and not another under its key.

    Rows of older versions have a `digest` alone, or none.
    """
    if canonical_digest.startswith(f"{digest}:"):
        return canonical_digest == f"{digest}:{one.canonical or one.digest}"
    return digest in ("", one.digest)


def message_id(body: str, sqs_id: str) -> str:
    """The id of a message: the payload's `id` where it can be a key, else the MessageId.

    A string counts as it is, a whole number as its digits, a string too long for a key, or of a
    reserved name, as its SHA-256. Everything else (no JSON, no object, no id, null, true, 1.5, "",
    a list, text that UTF-8 cannot hold) has no id of its own.
    """
    payload = payload_of(body)
    own = payload.get("id") if isinstance(payload, dict) else None
    if isinstance(own, int) and not isinstance(own, bool):
        own = str(own)
    return _as_key(own, sqs_id) if isinstance(own, str) else sqs_id


def payload_of(body: str) -> Any:
    """The JSON of a body, after a byte order mark if there is one; None where it is no JSON."""
    try:
        return json.loads(without_bom(body))
    except (ValueError, RecursionError):  # ValueError also: a number of more than 4,300 digits
        return None


def is_sns_envelope(body: str) -> bool:
    """Whether SNS has put the payload into a text, as it does without raw message delivery."""
    payload = payload_of(body) if '"TopicArn"' in body else None
    if not isinstance(payload, dict):
        return False
    return payload.get("Type") == "Notification" and isinstance(payload.get("Message"), str)


def _as_key(own: str, sqs_id: str) -> str:
    try:
        encoded = own.encode()
    except UnicodeEncodeError:
        return sqs_id
    if not own:
        return sqs_id
    if len(encoded) <= KEY_BYTES and not own.startswith(RESERVED):
        return own
    return hashed(own)


def hashed(text: str) -> str:
    """What stands for a text that cannot be a key itself."""
    return f"{HASHED}{hashlib.sha256(text.encode()).hexdigest()}"


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
