"""Decides what becomes of a message of the DLQ, and packs what is sent; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from redrive import tag
from redrive.dead_letters import DeadLetter, Record, document

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueOutputTypeDef as Attribute

BATCH = 10  # entries of a batch call (quirk 7)
Filter = Callable[[Mapping[str, Any]], bool]


class Fate(StrEnum):
    """What is done with a message."""

    MOVE = "moved"
    FINISH = "deleted: an earlier run has sent it"
    DROP = "deleted: the table says that it is completed"
    KEEP = "kept"


class Why(StrEnum):
    """Why a message stays in the DLQ, and what helps."""

    NOTHING = ""
    FILTERED = "does not match the filter"
    OTHER_QUEUE = "came from another queue than this one"
    FILTER_FAILED = "the filter cannot be asked of it"
    FOREIGN_TAG = f"has an attribute {tag.NAME} that is not this script's"
    CAME_BACK = "was moved by this run already and came back"
    CAP = "was moved as often as --max-replays allows"
    NO_ID = (
        "has no id of its own, and a move makes a new MessageId: what was done would be done again;"
        " --allow-new-ids moves it"
    )
    COMPLETED = "is completed under its MessageId; under a new one it would be done again"
    DOUBTFUL = "may have been sent already, and has no id by which a second one would be known"
    NO_ROOM = "has ten attributes, so there is no room for the tag; --allow-untagged moves it"
    TOO_LARGE = "is too large with the tag; --allow-untagged moves it without"

    @property
    def wanted(self) -> bool:
        """Whether the user meant this message not to be moved."""
        return self in (Why.FILTERED, Why.OTHER_QUEUE)


@dataclass(frozen=True)
class Rules:
    """What the user asked for; `filter` may raise ValueError, `max_replays` 0 is no cap."""

    run: str
    queue_arn: str
    max_bytes: int
    filter: Filter | None = None
    max_replays: int = 0
    allow_new_ids: bool = False
    allow_untagged: bool = False
    drop_completed: bool = False


@dataclass
class Memory:
    """What this and earlier runs know of MessageIds in the DLQ: each names one stay there.

    `doubtful`: about to be sent when a run died, or sent and never answered.
    """

    sent: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Decision:
    """`attributes` are those that it is sent with, where it is moved."""

    fate: Fate
    why: Why = Why.NOTHING
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


def decide(
    letter: DeadLetter, record: Record, rules: Rules, memory: Memory, now: float
) -> Decision:
    """What becomes of this message; `now` in seconds since the epoch."""
    if letter.sqs_id in memory.sent:
        return Decision(Fate.FINISH)
    why = _not_asked_for(letter, record, rules, now) or _moved_enough(letter, rules)
    if why:
        return Decision(Fate.KEEP, why)
    if record.says_done(letter) and rules.drop_completed:
        return Decision(Fate.DROP)
    why = Why.NOTHING if letter.has_own_key else _unknown_again(letter, record, rules, memory)
    return Decision(Fate.KEEP, why) if why else _attributed(letter, rules)


def _not_asked_for(letter: DeadLetter, record: Record, rules: Rules, now: float) -> Why:
    if letter.source_arn not in ("", rules.queue_arn):
        return Why.OTHER_QUEUE
    if rules.filter is None:
        return Why.NOTHING
    try:
        return Why.NOTHING if rules.filter(document(letter, record, now)) else Why.FILTERED
    except ValueError:
        return Why.FILTER_FAILED


def _moved_enough(letter: DeadLetter, rules: Rules) -> Why:
    try:
        found = tag.read(letter.attributes)
    except tag.ForeignTagError:
        return Why.FOREIGN_TAG
    if found and found.replay_run == rules.run:
        return Why.CAME_BACK
    if found and rules.max_replays and found.replay_count >= rules.max_replays:
        return Why.CAP
    return Why.NOTHING


def _unknown_again(letter: DeadLetter, record: Record, rules: Rules, memory: Memory) -> Why:
    """A message keyed by its MessageId: after a move nobody knows that it was met before."""
    if record.status == "COMPLETED":
        return Why.COMPLETED
    if not rules.allow_new_ids:
        return Why.NO_ID
    return Why.DOUBTFUL if letter.sqs_id in memory.doubtful else Why.NOTHING


def _attributed(letter: DeadLetter, rules: Rules) -> Decision:
    new = tag.following(letter.tag, rules.run, letter.sqs_id, letter.sent)
    attributes = tag.tagged(letter.attributes, new)
    why = Why.NOTHING
    if attributes is None:
        why = Why.NO_ROOM
    elif size(letter.body, attributes) > rules.max_bytes:
        why = Why.TOO_LARGE
    if not why and attributes is not None:
        return Decision(Fate.MOVE, attributes=attributes)
    if rules.allow_untagged:
        return Decision(Fate.MOVE, attributes=letter.attributes)
    return Decision(Fate.KEEP, why)


def size(body: str, attributes: Mapping[str, Attribute]) -> int:
    """Bytes of a message as SQS counts them: body, and name, type and value of each attribute."""
    total = len(body.encode("utf-8", "surrogatepass"))
    for name, value in attributes.items():
        total += len(name.encode()) + len(value["DataType"].encode())
        total += len(value.get("StringValue", "").encode("utf-8", "surrogatepass"))
        total += len(value.get("BinaryValue", b""))
    return total


@dataclass(frozen=True)
class Outgoing:
    """A message to be sent again, with the attributes that it gets."""

    letter: DeadLetter
    attributes: Mapping[str, Attribute]

    @property
    def size(self) -> int:
        return size(self.letter.body, self.attributes)
