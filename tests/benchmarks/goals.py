"""What the figures must show, each with the number asked and the number found; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.comparison import IN_STEADY_STATE, Row
from benchmarks.measure import Figures

NOISE = 1.05
"""Of two peaks of memory that are equal but for what the allocator does."""


@dataclass(frozen=True)
class Goal:
    """`asked` and `found` in words; `holds` is None where this run did not measure it."""

    name: str
    asked: str
    found: str
    holds: bool | None


Pick = Callable[[str, str, str], Figures | None]


def goals(rows: Sequence[Row]) -> list[Goal]:
    """All of them, in the order of the table."""

    def pick(ground: str, kind: str, key: str) -> Figures | None:
        found = [r.figures for r in rows if (r.ground, r.kind, r.key) == (ground, kind, key)]
        return found[0] if found else None

    return [*_speed(pick), *_calls(pick), *_money(pick), *_cpu(pick), *_growth(pick)]


def _speed(pick: Pick) -> Iterator[Goal]:
    for ground, least in (("aws-like", 40), ("direct", 5)):
        yield _ratio(
            f"messages/s, tuned against the reference loop, {ground}",
            least,
            pick(ground, "compare", "tuned"),
            pick(ground, "compare", "reference"),
        )


def _ratio(name: str, least: float, one: Figures | None, other: Figures | None) -> Goal:
    if not one or not other:
        return Goal(name, f">= {least:g} x", "not measured", None)
    found = f"{one.rate / other.rate:.1f} x ({one.rate:.0f}/s, {other.rate:.1f}/s)"
    return Goal(name, f">= {least:g} x", found, one.rate / other.rate >= least)


def _money(pick: Pick) -> Iterator[Goal]:
    """In plain mode, for the reference loop's writes are single ones too: three units of each."""
    ground = "aws-like" if pick("aws-like", "compare", "reference") else "direct"
    ours, without, reference = (
        pick(ground, "compare", key) for key in ("plain-statements", "plain", "reference")
    )
    share = ours.usd_per_million / reference.usd_per_million if ours and reference else None
    yield _most("dollars, plain with statements, of the reference loop's", 0.75, share, "")
    share = ours.write_units / without.write_units if ours and without else None
    yield _most("write units, ... of plain without", 0.55, share, "")


def _calls(pick: Pick) -> Iterator[Goal]:
    for key, most in (("tuned", 0.45), ("default", 4.1), ("batch", 1.4)):
        found = pick("aws-like", "compare", key) or pick("direct", "compare", key)
        yield _most(f"API calls per message, {key}", most, found and found.calls, "")


def _cpu(pick: Pick) -> Iterator[Goal]:
    tuned, reference = pick("direct", "compare", "tuned"), pick("direct", "compare", "reference")
    yield _most("CPU per message, tuned", 0.8, tuned and tuned.cpu_ms, " ms")
    share = tuned.cpu_ms / reference.cpu_ms if tuned and reference else None
    yield _most("... of the reference loop's", 1 / 6, share, "")
    yield _most("CPU from start to first receive", 0.6, tuned and tuned.start.cpu, " s")


def _growth(pick: Pick) -> Iterator[Goal]:
    many = pick("direct", "memory", str(IN_STEADY_STATE))
    fewer = pick("direct", "memory", str(IN_STEADY_STATE // 10))
    few = pick("direct", "memory", str(IN_STEADY_STATE // 100))
    after = pick("direct", "memory", "after")
    yield _most(f"peak memory, {IN_STEADY_STATE:,} messages", 120, many and many.memory, " MB")
    grown = many.memory / fewer.memory if many and fewer and fewer.memory else None
    yield _most("... of that of a tenth of them", NOISE, grown, "")
    yield _kept("messages/s, of those at a hundredth of them", many, few, after, few)
    ends = (f"{key}-{count}" for key in ("tuned", "floor") for count in (IN_STEADY_STATE, 1000))
    yield _kept(
        f"messages/s with {IN_STEADY_STATE:,} in the queue, of those with 1,000",
        *(pick("direct", "depth", end) for end in ends),
    )


def _kept(name: str, *ends: Figures | None) -> Goal:
    """A rate of ours at both ends, and one that shows how much the stack itself slowed down."""
    asked = ">= 0.8, or the stack's"
    rates = [figures.rate for figures in ends if figures]
    if len(rates) < len(ends):
        return Goal(name, asked, "not measured", None)
    ours, stack = rates[0] / rates[1], rates[2] / rates[3]
    return Goal(name, asked, f"{ours:.2f}; stack {stack:.2f}", ours >= min(0.8, stack))


def _most(name: str, most: float, found: float | None, unit: str) -> Goal:
    if found is None:
        return Goal(name, f"<= {most:.3g}{unit}", "not measured", None)
    return Goal(name, f"<= {most:.3g}{unit}", f"{found:.3g}{unit}", found <= most)
