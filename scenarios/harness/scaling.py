"""The scaling rule of the backpressure scenario; pure: counts in, a number of consumers out.

Backlog per consumer, after AWS's advice for queues: one consumer may have as much waiting before
it as it can work off within the acceptable latency (target latency / time per message). In-flight
messages count, as KEDA counts them: a rule that sees only the visible ones takes away consumers
that are busy. Consumers join at once, up to the maximum; they leave one at a time, only after a
calm, by SIGTERM, so that each finishes what it holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.history import Event, Tick

CALM_TICKS = 3  # in a row that must ask for fewer before one consumer leaves
STEADY_TICKS = 10  # of the window in which equilibrium is looked for
STEADY_SHARE = 0.1  # of its mean, by which the backlog may vary within the window
STEADY_SLACK = 2  # messages on top, so that a handful is no trend
DIFFERENT_SHARE = 0.25  # of the larger count, by which queue and journals may differ
DIFFERENT_SLACK = 5  # messages on top: a batch that is being sent, deletes that are under way
LATE = 2  # target latencies that the oldest message may have waited, as SQS keeps no order
DONE = ("completed", "already_done", "cached")


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


@dataclass(frozen=True)
class Told:
    """What the journals say of one moment, whatever the queue counts (quirk 5: its counts lag).

    `open`: sent and not completed. `oldest`: seconds that the oldest message which nobody has
    received has been waiting.
    """

    open: int
    oldest: float


def told_at(moments: Sequence[float], sent: Iterable[Event], done: Iterable[Event]) -> list[Told]:
    """`done`: what consumers wrote; of each message the first receive and the first end count."""
    begun = {event.id: event.t for event in sent}
    received, ended = dict[str | None, float](), dict[str | None, float]()
    for event in done:
        first = received if event.name == "received" else ended if event.name in DONE else {}
        first[event.id] = min(event.t, first.get(event.id, event.t))
    never = float("inf")

    def told(now: float) -> Told:
        open_ = sum(t <= now < ended.get(key, never) for key, t in begun.items())
        waiting = [now - t for key, t in begun.items() if t <= now < received.get(key, never)]
        return Told(open_, max(waiting, default=0.0))

    return [told(now) for now in moments]


def change(ticks: Sequence[Tick]) -> int:
    """How many consumers to add now; -1 to let one go, 0 to stay."""
    last = ticks[-1]
    if last.desired > last.consumers:
        return last.desired - last.consumers
    calm = ticks[-CALM_TICKS:]
    if len(calm) == CALM_TICKS and all(tick.desired < last.consumers for tick in calm):
        return -1
    return 0


def in_equilibrium(rule: Rule, ticks: Sequence[Tick], told: Sequence[Told]) -> bool:
    """After a peak, and for a whole window, the consumers kept to the latency while the backlog
    neither grew nor fell, and the journals bear the queue's counts out.

    At the upper bound the rule asks for no more, however much waits: that alone is no equilibrium.
    """
    window = ticks[-STEADY_TICKS:]
    late = any(tick.backlog > tick.consumers * rule.backlog_per_consumer for tick in window)
    if late or len(window) < STEADY_TICKS or not peaked(ticks):
        return False
    backlogs = [tick.backlog for tick in window]
    mean = sum(backlogs) / STEADY_TICKS
    steady = max(backlogs) - min(backlogs) <= mean * STEADY_SHARE + STEADY_SLACK
    return steady and not doubt(ticks, told, rule.target_latency)


def peaked(ticks: Sequence[Tick]) -> bool:
    """Whether there was a higher backlog before the last window: one that came down to it."""
    backlogs = [tick.backlog for tick in ticks]
    before, window = backlogs[:-STEADY_TICKS], backlogs[-STEADY_TICKS:]
    return max(before, default=0) > max(window, default=0)


def doubt(ticks: Sequence[Tick], told: Sequence[Told], target_latency: float | None) -> str:
    """Why the last window is no equilibrium, whatever the queue counted; "" if nothing says so."""
    window = told[-STEADY_TICKS:]
    differing = difference(ticks[-STEADY_TICKS:], window)
    oldest = max((one.oldest for one in window), default=0.0)
    if not differing and target_latency is not None and oldest > LATE * target_latency:
        return f"a message had waited {oldest:.1f} s, where {target_latency:g} s were the target"
    return differing


def difference(ticks: Sequence[Tick], told: Sequence[Told]) -> str:
    """Where the queue's counts and the journals differ most, if they do; "" if they agree."""
    pairs = zip(ticks, told, strict=True)
    worst = max(pairs, key=lambda pair: _apart(*pair), default=None)
    if worst is None or _apart(*worst) <= 0:
        return ""
    tick, other = worst
    return (
        f"at {tick.t:.0f} s the queue counted {tick.backlog} messages, while the journals have "
        f"{other.open} sent and not completed, the oldest waiting for {other.oldest:.1f} s"
    )


def _apart(tick: Tick, told: Told) -> float:
    """Messages by which the two differ beyond what is usual."""
    usual = max(tick.backlog, told.open) * DIFFERENT_SHARE + DIFFERENT_SLACK
    return abs(tick.backlog - told.open) - usual
