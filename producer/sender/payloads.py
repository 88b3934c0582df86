"""What is sent: message bodies and which of them are poison; pure, repeatable from the seed."""

import itertools
import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

WORK_MAX = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the run: its index from 0, the id that makes it idempotent, its body."""

    index: int
    id: str
    poison: bool
    body: str


def poison_rule(n: int, count: int, every: int, seed: int) -> Callable[[int], bool]:
    """Which indices are poison: every Nth if `every`, else `count` random ones out of `n`."""
    if every:
        return lambda index: index % every == every - 1
    # Drawn apart from the ids, so that ids do not depend on the poison; memory O(count), not O(n).
    return frozenset(random.Random(f"poison {seed}").sample(range(n), count)).__contains__


def messages(seed: int, is_poison: Callable[[int], bool]) -> Iterator[Message]:
    """Endless messages. A seed gives the same ids and work whatever the other settings are."""
    source = random.Random(seed)
    for index in itertools.count():
        identity = str(uuid.UUID(int=source.getrandbits(128), version=4))
        poison = is_poison(index)
        payload = {"id": identity, "work": source.randint(1, WORK_MAX)}
        mark = {"poison": True} if poison else {}
        # Default separators: consumers reject on the text `"poison": true`.
        yield Message(index, identity, poison, json.dumps(payload | mark))
