"""What a run did, counted and named; prints nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from redriving.letters import Letter
from redriving.rules import Decision, Fate, Why

NAMED = 20  # messages that are named for one reason; the rest are counted


@dataclass
class Tally:
    """Counts of fates, and the first messages of each reason why something stays.

    `twice`: messages that may have been sent twice, since an answer was lost or a run died.
    """

    fates: Counter[Fate] = field(default_factory=Counter)
    kept: dict[Why, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    undeleted: dict[str, str] = field(default_factory=dict)
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

    @property
    def whole(self) -> bool:
        """Whether all that was to be moved is moved."""
        refused = [why for why in self.kept if not why.wanted]
        return not (refused or self.failed or self.undeleted or self.in_other_hands)
