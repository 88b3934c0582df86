"""The tag of a moved message: one message attribute that says where it came from; pure.

A move makes a new message: its MessageId, its SentTimestamp and its count of receives start anew.
What they were stands here, and how often it was moved. One attribute and not several, because a
message has room for ten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueOutputTypeDef as Attribute

NAME = "replay_tag"
ATTRIBUTES_MAX = 10  # message attributes, by the SQS quotas


class ForeignTagError(ValueError):
    """There is an attribute of the tag's name that this script did not write."""


@dataclass(frozen=True, slots=True)
class Tag:
    """`replayed_from`: the MessageId in the DLQ; `first_*`: of the message that was sent at first.

    `first_sent` is in milliseconds since the epoch, as SQS gives it.
    """

    replay_count: int
    replay_run: str
    replayed_from: str
    first_id: str
    first_sent: int


def read(attributes: Mapping[str, Attribute]) -> Tag | None:
    """The tag of a message, None where it was never moved; ForeignTagError where it is none."""
    found = attributes.get(NAME)
    if found is None:
        return None
    try:
        values = json.loads(found["StringValue"])
        tag = Tag(**values)
        if [type(value) for value in asdict(tag).values()] != [int, str, str, str, int]:
            raise TypeError("a field is of another type")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ForeignTagError(f"{NAME} is not this script's: {error}") from error
    return tag


def following(old: Tag | None, run: str, sqs_id: str, sent: int) -> Tag:
    """The tag for the next move of a message that is in the DLQ under this MessageId."""
    if old is None:
        return Tag(1, run, sqs_id, sqs_id, sent)
    return Tag(old.replay_count + 1, run, sqs_id, old.first_id, old.first_sent)


def tagged(attributes: Mapping[str, Attribute], tag: Tag) -> dict[str, Attribute] | None:
    """All attributes as they are, with this tag; None where ten others leave no room for it."""
    others = {name: value for name, value in attributes.items() if name != NAME}
    if len(others) >= ATTRIBUTES_MAX:
        return None
    text = json.dumps(asdict(tag), separators=(",", ":"))
    return {**others, NAME: {"DataType": "String", "StringValue": text}}
