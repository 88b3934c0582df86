"""What is sent: message bodies and which of them are poison; pure, repeatable from the seed."""

import itertools
import json
import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WORK_MAX = 1000


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
        payload = {"id": identity, "work": source.randint(1, WORK_MAX)}
        more = fields[index % len(fields)] if fields else {}
        mark = {"poison": True} if poison else {}
        # Default separators: consumers reject on the text `"poison": true`.
        yield Message(index, identity, poison, json.dumps({**payload, **more, **mark}), more)
