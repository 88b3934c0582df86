"""Keeps calls to an external service until a thread of the consumer has delivered them.

An intent joins the transaction that completes its message, so both exist or neither does. The
tables have no index, so a search for intents would read every row of 45 days. Therefore intents are
stored in a few rows with known names, as sets of strings: `pending` has the open ones, `parked`
those that are no longer tried, and `retry` those that a person wants tried again. A delivered
intent leaves its set. A crash between any two lines leaves the intent where it is, and it is
delivered again with the same key. plans/external-effects.md has the figures.
"""

import hashlib
import json
import logging
import math
import queue
import threading
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from . import aws
from .events import Events
from .http_service import CHARGE, Answer, Call, OutsideDown, Request, amount_of
from .message import KEYED, OUTBOX, Message
from .ports import Claim, Completion, Ledger, LedgerDown
from .writes import Row, Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROWS = 16
"""More rows: fewer conflicts between transactions, more to read in each look."""
FULL_BYTES = 300_000
"""Of intents in one row, above which nothing more is completed: at 400 KB DynamoDB would refuse the
completions, and each refusal would spend a receive of a healthy message."""

POLL_SECONDS = 1.0
"""Between two looks at what others have left."""
_TICK = 0.1
"""Seconds: a second signal ends the process, and a main thread that waits hears it late."""
GRACE_SECONDS = 2.0
"""For so long an intent is left to the process that recorded it, which needs no look to know it."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Before the next try of an intent, doubling from the first to the longest."""
MOST_FAILURES = 10
"""Of one intent while the service serves others: then it is parked. A failure counts only where
another was settled since the one before, so a service that is down parks nothing."""
LONGEST_TRYING = 24 * 3600.0
"""Then an intent is parked in any case: services forget a key after some time, and another try
could charge twice."""
MOST_IN_A_ROW = 10
"""Failures in a row after which the last pass of a stop ends: the service is down."""

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
                "%s: %s; find out why, then have them tried again, %s",
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


class Intents(Protocol):
    """The outbox, as the relay sees it; every method may raise LedgerDown."""

    def pending(self) -> list[Intent]: ...
    def settle(self, intents: Sequence[Intent]) -> None: ...
    def park(self, intent: Intent) -> None: ...
    def check_room(self) -> None: ...


@dataclass
class Tries:
    """When an intent is tried next, and how that went so far; times are monotonic."""

    due: float
    since: float
    made: int = 0
    failures: int = 0
    settled: int = 0
    """How many others were settled when it last failed, or was first seen."""

    def begin(self, now: float) -> None:
        """Whatever comes of this try, the next one is due later."""
        self.due = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.made, 10))
        self.made += 1

    def fail(self, now: float, settled: int) -> bool:
        """Whether it is to be parked; `settled` is how many others were settled until now."""
        self.failures += settled > self.settled
        self.settled = settled
        return self.failures >= MOST_FAILURES or now - self.since >= LONGEST_TRYING


class Relay:
    """One thread; `offer` may be called from any."""

    def __init__(
        self,
        outbox: Intents,
        call: Call,
        journal: Events,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._call = call
        self._journal = journal
        self._clock = clock
        self._own: queue.SimpleQueue[Intent] = queue.SimpleQueue()
        self._tries: dict[Intent, Tries] = {}
        self._due: deque[Intent] = deque()
        self._next_look = self._next_call = 0.0
        self._settled = self._failed_in_a_row = 0
        self._end = math.inf
        self._closing = threading.Event()
        self._thread = threading.Thread(name="relay", target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to deliver; needs a `close`."""
        self._thread.start()

    def offer(self, message: Message) -> None:
        """Deliver this message's intent now: its transaction has just been made."""
        self._own.put(Intent.of(message))

    def check_room(self) -> None:
        """Raises LedgerDown where the outbox takes no more intents."""
        self._outbox.check_room()

    def close(self, seconds: float) -> None:
        """Deliver all that is pending, once, and end within so many seconds; what stays is for
        whoever looks next, and so is a call that is not answered by then."""
        self._end = self._clock() + seconds
        self._closing.set()
        deadline = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(_TICK)
        if self._thread.is_alive():
            log.warning(
                "the relay did not end within %.1f s; undelivered intents stay in the outbox",
                seconds,
            )

    def _run(self) -> None:
        while not self._closing.is_set():
            self._guarded(self.turn)
        self._guarded(self.finish)

    def _guarded(self, act: Callable[[], None]) -> None:
        """No error ends the relay."""
        try:
            act()
        except LedgerDown as error:
            log.warning("the outbox cannot be used: %s; next try in %g s", error, POLL_SECONDS)
            self._closing.wait(POLL_SECONDS)
        except Exception:
            log.exception("unexpected error in the relay; undelivered intents stay in the outbox")
            self._closing.wait(POLL_SECONDS)

    def turn(self) -> None:
        """Take one of our own, look when it is time, and deliver the one that is due next."""
        own = self._take(wait=not self._due or self._clock() < self._next_call)
        if own:
            self._add(own)
        self._deliver_next()  # before the look, which may fail
        if self._clock() >= self._next_look:
            self._look()
            self._deliver_next()

    def finish(self) -> None:
        """Deliver everything that is there, however new; first what has not failed yet."""
        while own := self._take(wait=False):
            self._add(own)
        self._look()
        self._failed_in_a_row = 0
        for intent in sorted(self._tries, key=lambda i: (self._tries[i].made, self._tries[i].due)):
            if self._clock() >= self._end or self._failed_in_a_row >= MOST_IN_A_ROW:
                break
            self._deliver(intent)
        if self._tries:
            log.warning("%s orders are not charged yet; they stay in the outbox", len(self._tries))

    def _take(self, *, wait: bool = True) -> Intent | None:
        try:
            return self._own.get(timeout=0.1) if wait else self._own.get_nowait()
        except queue.Empty:
            return None

    def _add(self, own: Intent) -> None:
        now = self._clock()
        self._tries[own] = Tries(now, now, settled=self._settled)
        self._due.append(own)

    def _look(self) -> None:
        """Learn what is pending and what of it is due; forget what others have settled."""
        now = self._clock()
        self._next_look = now + POLL_SECONDS
        new = Tries(now + GRACE_SECONDS, now, settled=self._settled)
        pending = self._outbox.pending()
        self._tries = {i: self._tries.get(i) or replace(new) for i in pending}
        due = [intent for intent, tries in self._tries.items() if tries.due <= now]
        self._due = deque(sorted(due, key=lambda intent: self._tries[intent].due))

    def _deliver_next(self) -> None:
        if self._due and self._clock() >= self._next_call:
            self._deliver(self._due.popleft())

    def _deliver(self, intent: Intent) -> None:
        """First the call, then the settling: the other way round, a crash would lose the charge."""
        tries = self._tries[intent]
        tries.begin(self._clock())
        try:
            answer = self._call(intent.request)
        except OutsideDown as error:
            self._note_failure(intent, tries, error)
            return
        self._settled += 1
        self._failed_in_a_row = 0
        if answer is Answer.REFUSED:
            self._park(intent, "the service refuses it")
        else:
            self._outbox.settle([intent])
            del self._tries[intent]
        self._journal.event("delivered", id=intent.order, answer=answer.value)

    def _note_failure(self, intent: Intent, tries: Tries, error: OutsideDown) -> None:
        now = self._clock()
        hopeless = tries.fail(now, self._settled) or not error.passing
        self._journal.event("delivery_failed", id=intent.order, reason=str(error))
        if hopeless:
            self._park(intent, str(error))
            return
        self._failed_in_a_row += 1
        self._next_call = now + min(POLL_SECONDS, 0.1 * (self._failed_in_a_row - 1))
        log.warning(
            "%s is not charged: %s; it stays in row %s of the outbox; next try in %.0f s",
            intent.name,
            error,
            intent.row,
            max(0.0, tries.due - now),
        )

    def _park(self, intent: Intent, reason: str) -> None:
        """Leave it to a person; durable before it is forgotten here."""
        self._outbox.park(intent)
        del self._tries[intent]
        self._journal.event("parked", id=intent.order, reason=reason)
        log.error(
            "%s is parked in row %s of the outbox and is not charged: %s; it is not tried again "
            "until a person releases it, %s",
            intent.name,
            intent.row,
            reason,
            HOW_TO_RETRY,
        )


class RelayedLedger:
    """A ledger that tells the relay of each completion."""

    def __init__(self, ledger: Ledger, relay: Relay) -> None:
        self._ledger = ledger
        self._relay = relay

    def probe(self) -> None:
        """See the ledger's; an outbox that is full takes no completions."""
        self._ledger.probe()
        self._relay.check_room()

    def claim(self, messages: Sequence[Message]) -> list[Claim]:
        """See the ledger's."""
        return self._ledger.claim(messages)

    def complete(self, messages: Sequence[Message]) -> list[Completion]:
        """See the ledger's; an intent whose completion is in doubt is found in the outbox."""
        completions = self._ledger.complete(messages)
        for message, completion in zip(messages, completions, strict=True):
            if completion is Completion.EFFECT:
                self._relay.offer(message)
        return completions

    def fail(self, reasons: Sequence[tuple[Message, str]]) -> list[bool]:
        """See the ledger's."""
        return self._ledger.fail(reasons)
