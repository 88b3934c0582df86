"""What is sent: bodies, which are poison, what fits one call; pure, repeatable from the seed."""

import itertools
import json
import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

WORK_MAX = 1000
ENTRIES_MAX = 10  # of one SendMessageBatch (quirk 7)
BYTES_MAX = 1_048_576  # of one message, and of one SendMessageBatch in all (quirk 7)

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the run: its index from 0, the id that makes it idempotent, its body.

    `fields` are those of the body that the user asked for.
    """

    index: int
    id: str
    poison: bool
    body: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def poison_rule(n: int, count: int, every: int, seed: int) -> Callable[[int], bool]:
    """Which indices are poison: every Nth if `every`, else `count` random ones out of `n`."""
    if every:
        return lambda index: index % every == every - 1
    # Drawn apart from the ids, so that ids do not depend on the poison; memory O(count), not O(n).
    return frozenset(random.Random(f"poison {seed}").sample(range(n), count)).__contains__


def messages(
    seed: int, is_poison: Callable[[int], bool], fields: Sequence[Mapping[str, Any]] = ()
) -> Iterator[Message]:
    """Endless messages, each with the next one of `fields` in its body, from the first again.

    A seed gives the same ids and work whatever the other settings are.
    """
    source = random.Random(seed)
    for index in itertools.count():
        identity = str(uuid.UUID(int=source.getrandbits(128), version=4))
        poison = is_poison(index)
        work = source.randint(1, WORK_MAX)
        more = fields[index % len(fields)] if fields else {}
        yield Message(index, identity, poison, _body(identity, work, more, poison=poison), more)


def largest_body(fields: Mapping[str, Any], *, poison: bool) -> int:
    """Bytes of the largest body that these fields make."""
    return len(_body(str(uuid.UUID(int=0)), WORK_MAX, fields, poison=poison))


def packed(messages: Iterable[M], size: Callable[[M], int]) -> Iterator[list[M]]:
    """Groups that each fit into one SendMessageBatch, in order; `size` is a message's bytes."""
    group: list[M] = []
    total = 0
    for message in messages:
        if group and (len(group) == ENTRIES_MAX or total + size(message) > BYTES_MAX):
            yield group
            group, total = [], 0
        group.append(message)
        total += size(message)
    if group:
        yield group


def _body(identity: str, work: int, more: Mapping[str, Any], *, poison: bool) -> str:
    """ASCII only, so a character is a byte."""
    mark = {"poison": True} if poison else {}
    # Default separators: consumers reject on the text `"poison": true`.
    return json.dumps({"id": identity, "work": work, **more, **mark})
