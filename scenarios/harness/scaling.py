"""The scaling rule of the backpressure scenario; pure: counts in, a number of consumers out.

Backlog per consumer, after AWS's advice for queues: one consumer may have as much waiting before
it as it can work off within the acceptable latency (target latency / time per message). In-flight
messages count, as KEDA counts them: a rule that sees only the visible ones takes away consumers
that are busy. Consumers join at once, up to the maximum; they leave one at a time, only after a
calm, by SIGTERM, so that each finishes what it holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.history import Tick

CALM_TICKS = 3  # in a row that must ask for fewer before one consumer leaves
STEADY_TICKS = 10  # of the window in which equilibrium is looked for
STEADY_SHARE = 0.1  # of its mean, by which the backlog may vary within the window
STEADY_SLACK = 2  # messages on top, so that a handful is no trend


@dataclass(frozen=True)
class Rule:
    target_latency: float  # seconds that a message may wait
    work_seconds: float  # of one message
    max_consumers: int
    min_consumers: int = 1

    @property
    def backlog_per_consumer(self) -> float:
        return max(1.0, self.target_latency / self.work_seconds)

    def desired(self, backlog: int) -> int:
        """Consumers for this many messages, visible and in flight."""
        wanted = math.ceil(backlog / self.backlog_per_consumer)
        return min(self.max_consumers, max(self.min_consumers, wanted))


def change(ticks: Sequence[Tick]) -> int:
    """How many consumers to add now; -1 to let one go, 0 to stay."""
    last = ticks[-1]
    if last.desired > last.consumers:
        return last.desired - last.consumers
    calm = ticks[-CALM_TICKS:]
    if len(calm) == CALM_TICKS and all(tick.desired < last.consumers for tick in calm):
        return -1
    return 0


def in_equilibrium(rule: Rule, ticks: Sequence[Tick]) -> bool:
    """For a whole window the consumers kept to the latency, and the backlog neither grew nor fell.

    At the upper bound the rule asks for no more, however much waits: that alone is no equilibrium.
    """
    window = ticks[-STEADY_TICKS:]
    late = any(tick.backlog > tick.consumers * rule.backlog_per_consumer for tick in window)
    if late or len(window) < STEADY_TICKS:
        return False
    backlogs = [tick.backlog for tick in window]
    mean = sum(backlogs) / STEADY_TICKS
    return max(backlogs) - min(backlogs) <= mean * STEADY_SHARE + STEADY_SLACK
