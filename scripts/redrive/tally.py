"""What a run did, counted and named; prints nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from redrive.dead_letters import Letter
from redrive.rules import Decision, Fate, Why

NAMED = 20  # messages that are named for one reason; the rest are counted


@dataclass
class Tally:
    """Counts of fates, and the first messages of each reason why something stays.

    `undeleted`: settled, but their delete failed; `stuck`: even when they were met once more.
    `twice`: may have been sent twice, since an answer was lost or a run died.
    """

    fates: Counter[Fate] = field(default_factory=Counter)
    kept: dict[Why, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    undeleted: dict[str, str] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)
    completed: int = 0
    in_other_hands: int = 0
    not_given_back: int = 0

    def keep(self, letter: Letter, decision: Decision) -> None:
        self.fates[Fate.KEEP] += 1
        self.kept.setdefault(decision.why, []).append(letter.id)

    def fail(self, letter: Letter, reason: str) -> None:
        """It was to be moved and was not; it stays in the DLQ."""
        self.failed[letter.id] = reason

    def all_seen(self) -> None:
        """The DLQ has no more: what could not be deleted and did not come back is deleted.

        A lost answer to a delete makes it so; the SDK's second try then finds nothing.
        """
        self.undeleted = {key: why for key, why in self.undeleted.items() if key in self.stuck}

    @property
    def whole(self) -> bool:
        """Whether all that was to be moved is moved."""
        refused = [why for why in self.kept if not why.wanted]
        return not (refused or self.failed or self.undeleted or self.in_other_hands)
