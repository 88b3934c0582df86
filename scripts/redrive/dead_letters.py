"""A message of the DLQ, and what a filter sees of it; pure, it knows neither SQS nor the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redrive import tag
from sqs_worker.message import Identity, is_same_body, payload_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueOutputTypeDef as Attribute


@dataclass(frozen=True, slots=True)
class Letter:
    """One receive of one message from the DLQ.

    `sent` is in milliseconds since the epoch, `deadline` on the monotonic clock: until then it is
    hidden from others. `receives` counts those by consumers, not the looks into the DLQ. `system`
    are attributes that SQS takes back: the trace header, the group.
    """

    sqs_id: str
    handle: str
    body: str
    sent: int
    receives: int
    source_arn: str
    deadline: float
    identity: Identity
    attributes: Mapping[str, Attribute]
    system: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.identity.id

    @property
    def key(self) -> str:
        """What the consumer records it under (plans/ids.md, plans/business-idempotency.md)."""
        return self.identity.business_key or self.identity.id

    @property
    def has_own_key(self) -> bool:
        """Whether it is recorded under something that a move does not change."""
        return self.key != self.sqs_id

    @property
    def tag(self) -> tag.Tag | None:
        """None also for a tag of somebody else's; the rules look at that."""
        try:
            return tag.read(self.attributes)
        except tag.ForeignTagError:
            return None

    @property
    def first_sent(self) -> int:
        """Milliseconds since the epoch: when it was sent at first, before any move."""
        return self.tag.first_sent if self.tag else self.sent

    @property
    def replays(self) -> int:
        return self.tag.replay_count if self.tag else 0


@dataclass(frozen=True, slots=True)
class Record:
    """What the status table knows of a message; empty texts where there is no row."""

    status: str = ""
    reason: str = ""
    digest: str = ""
    canonical_digest: str = ""

    def says_done(self, letter: Letter) -> bool:
        """Whether the consumer's claim would find this very message done and delete it."""
        return self.status == "COMPLETED" and is_same_body(
            letter.identity, self.digest, self.canonical_digest
        )

    def is_of_another_payload(self, letter: Letter) -> bool:
        """Whether the claim would refuse it, since its id or key stood for something else."""
        return self.status == "COMPLETED" and not self.says_done(letter)


NO_RECORD = Record()


def document(letter: Letter, record: Record, now: float) -> dict[str, Any]:
    """What a filter's expression is about; `now` in seconds since the epoch.

    `payload` is null where the body is not JSON.
    """
    texts = {name: value.get("StringValue") for name, value in letter.attributes.items()}
    return {
        "id": letter.id,
        "message_id": letter.sqs_id,
        "payload": payload_of(letter.body),
        "body": letter.body,
        "attributes": {name: text for name, text in texts.items() if name != tag.NAME},
        "receive_count": letter.receives,
        "replay_count": letter.replays,
        "age_seconds": round(now - letter.first_sent / 1000, 3),
        "status": record.status or None,
        "reason": record.reason or None,
    }
