"""Makes findings and asks checks; it knows their form and none of their questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Concatenate, ParamSpec

from harness.history import History, Witness
from harness.scenario import Check, Finding, Verdict

P = ParamSpec("P")

NAMED = 3  # messages that one finding spells out


@dataclass(frozen=True)
class Asked:
    """A check under way: what it is called and what it expects."""

    check: str
    expected: str

    def passed(self, seen: str, shows: str = "") -> Finding:
        return Finding(self.check, Verdict.PASS, self.expected, seen, shows=shows)

    def failed(self, seen: str, look_at: str, shows: str = "") -> Finding:
        return Finding(self.check, Verdict.FAIL, self.expected, seen, look_at, shows)

    def unknown(self, seen: str, look_at: str, shows: str = "") -> Finding:
        return Finding(self.check, Verdict.UNKNOWN, self.expected, seen, look_at, shows)

    def judged(
        self, wrong: Sequence[str], history: History, ids: Sequence[str], good: str, shows: str = ""
    ) -> Finding:
        """FAIL with what is wrong, each entry about the message at the same place in `ids`."""
        if wrong:
            return self.failed(some(wrong), trace(history, ids[:NAMED]), shows)
        return self.passed(good, shows)


def question(
    name: str, expected: str, *reads: Witness
) -> Callable[[Callable[Concatenate[Asked, History, P], Finding]], Callable[P, Check]]:
    """Make a function of (asked, history, parameters) a maker of checks on these witnesses.

    `expected` may name the parameters: "received at least {at_least} times".
    """

    def decorate(function: Callable[Concatenate[Asked, History, P], Finding]) -> Callable[P, Check]:
        @wraps(function)
        def make(*args: P.args, **kwargs: P.kwargs) -> Check:
            bound = signature(function).bind(None, None, *args, **kwargs)
            bound.apply_defaults()
            asked = Asked(name, expected.format(**bound.arguments))
            return Check(name, reads, lambda history: function(asked, history, *args, **kwargs))

        return make

    return decorate


def ask(checked: Check, history: History) -> Finding:
    """The check's finding; UNKNOWN where a witness is missing or the check itself breaks."""
    for witness in checked.reads:
        reason = history.missing(witness)
        if reason:
            return Finding(
                checked.name, Verdict.UNKNOWN, f"the {witness} as a witness", reason, history.folder
            )
    try:
        return checked.answer(history)
    except Exception as error:
        seen = f"the check broke: {type(error).__name__}: {error}"
        return Finding(checked.name, Verdict.UNKNOWN, "an answer", seen, history.folder)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL before UNKNOWN before PASS; nothing asked is UNKNOWN."""
    found = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS):
        if verdict in found:
            return verdict
    return Verdict.UNKNOWN


def some(entries: Sequence[str]) -> str:
    rest = len(entries) - NAMED
    return "; ".join(entries[:NAMED]) + (f"; and {rest} more" if rest > 0 else "")


def trace(history: History, ids: Sequence[str]) -> str:
    """The command that shows all that is known of these messages."""
    pattern = "|".join(dict.fromkeys(ids))
    return f"grep -E '{pattern}' {history.folder}/*.json*"


def table(corner: str, heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """For a finding to show: a row for each name, in columns that a terminal keeps apart."""
    first = max(12, *map(len, rows)) if rows else 12
    lines = [corner.ljust(first) + "".join(f"{head:>16}" for head in heads)]
    lines += [
        name.ljust(first) + "".join(f"{cell:>16}" for cell in row) for name, row in rows.items()
    ]
    return "\n".join(lines)


def span(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.2f} to {max(seconds):.2f}" if seconds else "-"


def numbers(counts: Sequence[int]) -> str:
    return " or ".join(map(str, sorted(set(counts)))) or "-"
