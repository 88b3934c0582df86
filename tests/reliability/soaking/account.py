"""Says what became of every receive that a message spent; pure, from journals to figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from harness.history import Event, History

ENDS = {
    "deleted": "finished: deleted",
    "delete_stale": "its handle was stale at the delete",
    "delete_unknown": "the delete was not answered",
    "claim_unknown": "the claim is unconfirmed",
    "complete_unknown": "the completion is unconfirmed",
    "failed": "the work failed",
    "released": "given back",
}
KILLED = "its consumer was killed"
UNSEEN = "the answer to the receive was lost, or its consumer was killed before it could say so"
LEFT = "left to its visibility timeout"


@dataclass(frozen=True)
class Account:
    """`spent`: how many messages took so many receives; `why`: what became of the receives."""

    spent: Counter[int]
    why: Counter[str]

    @property
    def receives(self) -> int:
        return sum(count * messages for count, messages in self.spent.items())

    @property
    def redeliveries(self) -> int:
        return self.receives - sum(self.spent.values())


def account(history: History, killed: Iterable[str]) -> Account:
    """Every receive that SQS counted, whether or not a consumer lived to tell of it."""
    deliveries: dict[tuple[str, str], list[Event]] = {}
    for journal in history.consumers:
        for event in journal.events:
            if event.delivery:
                deliveries.setdefault((event.who, event.delivery), []).append(event)
    dead = set(killed)
    why = Counter(_end(events, dead) for events in deliveries.values())
    counted: dict[str, int] = {}
    for events in deliveries.values():
        for event in (event for event in events if event.name == "received"):
            key = str(event.data["sqs_id"])
            counted[key] = max(counted.get(key, 0), int(event.data["receive_count"]))
    spent = Counter(counted.values())
    unseen = sum(counted.values()) - sum(why.values())
    if unseen > 0:
        why[UNSEEN] = unseen
    return Account(spent, why)


def _end(events: list[Event], killed: set[str]) -> str:
    last = next((ENDS[event.name] for event in reversed(events) if event.name in ENDS), None)
    if last:
        return last
    return KILLED if events[0].who in killed else LEFT
