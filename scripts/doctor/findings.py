"""What the doctor says, and the asking of every rule; it knows the form of rules and none of them.

A rule is a function from facts to findings. It is not known where a fact that it reads is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from doctor.facts import Facts, NotKnown


class Severity(IntEnum):
    """How much a finding will hurt."""

    NOTE = 1
    """Worth knowing; it may be so on purpose."""
    WARNING = 2
    """Delays messages, spends their receives, costs money or hides what goes on."""
    DANGER = 3
    """Loses messages, doubles effects, or keeps the consumer from its work."""


NOTE, WARNING, DANGER = Severity


@dataclass(frozen=True)
class Finding:
    """What is so, why it will hurt, what to set; `numbers` are the figures in it."""

    severity: Severity
    what: str
    why: str
    fix: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    rule: str = ""


@dataclass(frozen=True)
class Rule:
    """`asks` is the question, for a reader who cannot be given its answer."""

    name: str
    asks: str
    look: Callable[[Facts], Iterable[Finding]]


@dataclass(frozen=True)
class Unanswered:
    """A rule whose question stays open, and why."""

    rule: str
    asks: str
    reason: str


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found, the worst first, and everything that is not known."""

    findings: tuple[Finding, ...]
    unanswered: tuple[Unanswered, ...]
    asked: int

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity >= severity)


Look = Callable[[Facts], Iterator[Finding]]


class Rules(list[Rule]):
    """The rules of one subject."""

    def rule(self, asks: str) -> Callable[[Look], Look]:
        """Take a function in; its name is the rule's, with `-` for `_`."""

        def take(look: Look) -> Look:
            self.append(Rule(look.__name__.replace("_", "-"), asks, look))
            return look

        return take


def examine(facts: Facts, rules: Sequence[Rule]) -> Diagnosis:
    """Ask every rule."""
    findings: list[Finding] = []
    unanswered = []
    for rule in rules:
        try:
            for found in rule.look(facts):
                findings.append(_named(found, rule))
        except NotKnown as reason:
            unanswered.append(Unanswered(rule.name, rule.asks, str(reason)))
    findings.sort(key=lambda finding: -finding.severity)
    return Diagnosis(tuple(findings), tuple(unanswered), len(rules))


def _named(found: Finding, rule: Rule) -> Finding:
    return Finding(found.severity, found.what, found.why, found.fix, found.numbers, rule.name)
