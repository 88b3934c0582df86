"""A queue and its DLQ in memory, for a redrive that may die before or after any call."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redrive.dead_letters import DeadLetter
from redrive.mover import Mover, Time
from redrive.queues import Answer
from redrive.rules import Outgoing, Rules
from redrive.runlog import RunLog
from redrive.walk import Walk
from sqs_worker.message import identity_of

QUEUE_ARN = "arn:aws:sqs:us-west-1:000000000000:q"
VISIBILITY = 30


class Died(BaseException):
    """SIGKILL: nothing catches it, and whoever cleans up meets a dead world."""


def letter(body: str | Mapping[str, Any] = '{"id": "a"}', **changes: Any) -> DeadLetter:
    """A message of the DLQ; a mapping goes as JSON."""
    fields: dict[str, Any] = {
        "sqs_id": "m-1",
        "handle": "h-1",
        "body": body if isinstance(body, str) else json.dumps(body),
        "sent": 1_700_000_000_000,
        "receives": 3,
        "source_arn": QUEUE_ARN,
        "deadline": 1e9,
        "attributes": {},
        "system": {},
    } | changes
    return DeadLetter(**{"identity": identity_of(fields["body"], fields["sqs_id"]), **fields})


def rules(**changes: Any) -> Rules:
    fields: dict[str, Any] = {"run": "r", "queue_arn": QUEUE_ARN, "max_bytes": 1_048_576}
    return Rules(**(fields | changes))


@dataclass
class Lying:
    """A message that lies in the DLQ."""

    body: str
    attributes: Mapping[str, Any]
    visible_at: float = 0.0
    receives: int = 2
    handle: str = ""


@dataclass
class World:
    """`die_at` is the number of the step that is the last; a step is the begin or end of a call."""

    dlq: dict[str, Lying] = field(default_factory=dict)
    queue: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    now: float = 1000.0
    die_at: int = -1
    steps: list[str] = field(default_factory=list)
    died_at: str = ""
    answer_send: Callable[[int, Sequence[Outgoing]], dict[str, Answer] | None] = lambda *_: None
    answer_delete: Callable[[int, Sequence[DeadLetter]], dict[str, Answer] | None] = lambda *_: None
    calls: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._numbers = itertools.count()

    def put(self, *bodies: str | Mapping[str, Any], **attributes: Any) -> None:
        for body in bodies:
            text = body if isinstance(body, str) else json.dumps(body)
            self.dlq[f"m-{next(self._numbers)}"] = Lying(text, attributes)

    def reborn(self, die_at: int = -1, after: float = VISIBILITY) -> None:
        """The process is gone; `after` seconds later another one starts."""
        self.died_at, self.die_at, self.steps = "", die_at, []
        self.now += after

    def step(self, name: str) -> None:
        if self.died_at:
            raise Died(self.died_at)
        self.steps.append(name)
        if len(self.steps) - 1 == self.die_at:
            self.died_at = name
            raise Died(name)

    def receive(self, count: int) -> list[DeadLetter]:
        self.step("before receive")
        visible = [key for key, one in self.dlq.items() if one.visible_at <= self.now][:count]
        found = []
        for key in visible:
            lies = self.dlq[key]
            lies.visible_at, lies.receives = self.now + VISIBILITY, lies.receives + 1
            lies.handle = f"h-{next(self._numbers)}"
            found.append(
                letter(
                    lies.body,
                    sqs_id=key,
                    handle=lies.handle,
                    attributes=lies.attributes,
                    deadline=self.now + VISIBILITY,
                )
            )
        self.now += 0.01 if found else 1.0
        self.step("after receive")
        return found

    def send(self, messages: Sequence[Outgoing]) -> dict[str, Answer]:
        self.step("before send")
        self.calls["send"] += 1
        scripted = self.answer_send(self.calls["send"], messages)
        answers = {}
        for one in messages:
            key = one.letter.sqs_id
            answers[key] = scripted[key] if scripted else Answer(new_id=f"n-{next(self._numbers)}")
            if answers[key].new_id or answers[key].unknown:
                self.queue.append((one.letter.body, one.attributes))
        self.step("after send")
        return answers

    def delete(self, letters: Sequence[DeadLetter]) -> dict[str, Answer]:
        self.step("before delete")
        self.calls["delete"] += 1
        scripted = self.answer_delete(self.calls["delete"], letters)
        answers = {}
        for one in letters:
            answers[one.sqs_id] = scripted[one.sqs_id] if scripted else Answer()
            if not answers[one.sqs_id].reason and self.dlq[one.sqs_id].handle == one.handle:
                del self.dlq[one.sqs_id]
        self.step("after delete")
        return answers

    def give_back(self, handles: Sequence[str]) -> int:
        self.step("before give back")
        for one in self.dlq.values():
            if one.handle in handles:
                one.visible_at = self.now
        return 0

    def in_flight(self) -> int:
        return sum(one.visible_at > self.now for one in self.dlq.values())

    def sent_ids(self) -> Counter[str]:
        return Counter(str(json.loads(body)["id"]) for body, _ in self.queue)


class MortalLog(RunLog):
    """The real journal, in a world where one may die around each of its lines."""

    def __init__(self, path: Path, world: World) -> None:
        super().__init__(path)
        self._world = world

    def sending(self, sqs_ids: Iterable[str]) -> None:
        self._world.step("before sending")
        super().sending(sqs_ids)
        self._world.step("after sending")

    def sent(self, sent: Iterable[Mapping[str, Any]], not_sent: Iterable[str]) -> None:
        self._world.step("before sent")
        super().sent(sent, not_sent)
        self._world.step("after sent")


def mover_in(
    world: World, log: RunLog, asked: Rules, gone: Callable[[DeadLetter], None] = lambda _: None
) -> Mover:
    """A mover on the world's calls and clock."""

    def sleep(seconds: float) -> None:
        world.now += seconds

    return Mover(world, log, asked, gone, Time(lambda: world.now, lambda: world.now, sleep))


def play(world: World, path: Path, asked: Rules) -> Mover:
    """One run to its end, or until it dies; then Died comes through."""
    walk = Walk(world, VISIBILITY, lambda: 10, lambda: False, lambda: world.now)
    with MortalLog(path, world) as log:
        mover = mover_in(world, log, asked, walk.gone)
        for letters in walk:
            mover.take(letters, {})
        walk.give_back()
        mover.tally.in_other_hands = walk.in_other_hands
    return mover
