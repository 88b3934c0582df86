"""Tells a diagnosis to a person or to a program; it decides nothing.

In colour on a terminal, plain elsewhere; NO_COLOR is honoured by rich. Names, ids and reasons come
from strangers, so control characters in them are shown as escapes.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from doctor.amounts import many, span
from doctor.evidence import Evidence
from doctor.facts import Facts, Missing, Queue, Unknown
from doctor.findings import Diagnosis, Finding, Severity
from sqs_worker.logs import printable

WIDTH = 100
STYLES = {Severity.DANGER: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def as_text(stream: TextIO, facts: Facts, diagnosis: Diagnosis, source: str) -> None:
    """What was looked at, what will hurt, what is not known, and the sum."""
    console = Console(file=stream, highlight=False, soft_wrap=True)
    width = min(WIDTH, console.width) if console.is_terminal else WIDTH
    console.print(Text(printable(source)))
    for label, text in looked_at(facts):
        _entry(console, width, label, text, 9)
    for finding in diagnosis.findings:
        console.print()
        title = Text(f"{finding.severity.name:8} ", style=STYLES[finding.severity])
        console.print(title.append(finding.rule, style="bold"))
        for label, text in (("what", finding.what), ("why", finding.why), ("set", finding.fix)):
            _entry(console, width, f"  {label}", text, 7)
    for reason, questions in _open(diagnosis).items():
        console.print()
        console.print(Text("NOT KNOWN", style="bold").append(f" {printable(reason)}", style=""))
        for question in questions:
            console.print(Text(f"  {question}"))
    console.print()
    console.print(Text(summed_up(diagnosis)))


def _entry(console: Console, width: int, label: str, text: str, indent: int) -> None:
    lines = textwrap.wrap(
        printable(text),
        width=max(20, width - indent),
        break_long_words=False,
        break_on_hyphens=False,
    )
    for number, line in enumerate(lines or [""]):
        console.print(Text((label if number == 0 else "").ljust(indent) + line))


def _open(diagnosis: Diagnosis) -> dict[str, list[str]]:
    """The open questions by what keeps them open."""
    found: dict[str, list[str]] = {}
    for one in diagnosis.unanswered:
        found.setdefault(one.reason, []).append(one.asks)
    return found


def looked_at(facts: Facts) -> Iterator[tuple[str, str]]:
    """What the findings are about, in a line each."""
    chosen = facts.settings.visibility_timeout_seconds
    own = "" if chosen is None else f"; hidden for {span(chosen)} by this consumer"
    yield "queue", _queue(facts.queue) + own
    if facts.dlq is not None:
        yield "DLQ", _queue(facts.dlq)
    for table in facts.tables.values():
        yield "table", _named(table) if isinstance(table, Missing | Unknown) else table.name
    yield "journal", _journal(facts.evidence)


def _named(thing: Missing | Unknown) -> str:
    if isinstance(thing, Missing):
        return f"{thing.name} does not exist"
    return f"not known: {thing.reason}"


def _queue(queue: Queue | Missing | Unknown) -> str:
    if not isinstance(queue, Queue):
        return _named(queue)
    receives = "" if queue.max_receives is None else f", {queue.max_receives} receives"
    return (
        f"{queue.name}: hidden for {span(queue.visibility)}{receives}, kept for "
        f"{span(queue.retention)}; {queue.visible:,} waiting, {queue.in_flight:,} in flight"
    )


def _journal(evidence: Evidence | Unknown) -> str:
    if isinstance(evidence, Unknown):
        return _named(evidence)
    work = evidence.work
    told = f", jobs of {span(work[0])} to {span(work[-1])}" if work else ""
    older = f"; {many(evidence.left_out, 'older run')} left out" if evidence.left_out else ""
    return (
        f"{', '.join(evidence.files)}: {many(len(evidence.runs), 'run')}, "
        f"{many(len(evidence.deliveries), 'delivery')}{told}{older}"
    )


def summed_up(diagnosis: Diagnosis) -> str:
    """The last line."""
    counts = [
        many(sum(one.severity is severity for one in diagnosis.findings), severity.name.lower())
        for severity in reversed(Severity)
    ]
    open_ = len(diagnosis.unanswered)
    found = "nothing found" if not diagnosis.findings else ", ".join(counts)
    return f"{diagnosis.asked} questions: {found}, {open_} not known"


def as_json(facts: Facts, diagnosis: Diagnosis, source: str) -> str:
    """The same for a program."""
    told: dict[str, Any] = {
        "settings": source,
        "looked_at": [{"what": what, "is": text} for what, text in looked_at(facts)],
        "findings": [_for_program(finding) for finding in diagnosis.findings],
        "not_known": [vars(one) for one in diagnosis.unanswered],
        "questions": diagnosis.asked,
    }
    return json.dumps(told, indent=1)


def _for_program(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.name.lower(),
        "what": finding.what,
        "why": finding.why,
        "set": finding.fix,
        "numbers": {name: round(number, 6) for name, number in finding.numbers.items()},
    }
