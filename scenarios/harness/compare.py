"""What changed between two saved runs: verdicts, deliveries, calls, times; it runs nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from harness.history import History
from harness.infra import SetupError
from report.costs import cost
from report.saved import Saved, saved_run

Number = float | int | None


@dataclass(frozen=True)
class Change:
    """One figure of one scenario in both runs; None where a run does not have it."""

    scenario: str
    figure: str
    before: str | Number
    after: str | Number

    @property
    def same(self) -> bool:
        return self.before == self.after

    @property
    def worse(self) -> bool:
        """A verdict that was PASS and is not; other figures may change for good reasons."""
        return self.figure == "verdict" and self.before == "PASS" and not self.same


def compare(before: Path, after: Path) -> list[Change]:
    """Every figure of every scenario in either run; SetupError where one is not a run."""
    first, second = _by_label(before), _by_label(after)
    changes = []
    for label in dict.fromkeys([*first, *second]):
        old, new = _figures(first.get(label)), _figures(second.get(label))
        # Where one run does not have the scenario, there is nothing to set beside its figures.
        known = {**old, **new} if label in first and label in second else ("verdict",)
        changes += [Change(label, figure, old.get(figure), new.get(figure)) for figure in known]
    return changes


def _by_label(run: Path) -> dict[str, Saved]:
    try:
        return {saved.label: saved for saved in saved_run(run)}
    except ValueError as error:
        raise SetupError(str(error)) from error


def _figures(saved: Saved | None) -> dict[str, str | Number]:
    """`to first receive` and `to completion`: seconds from the sending of each message."""
    if saved is None:
        return {"verdict": "not run"}
    found: dict[str, str | Number] = {"verdict": saved.verdict}
    found |= {name: n for name, n in saved.measures.items() if isinstance(n, int | float)}
    found["seconds"] = saved.seconds
    if saved.history is None:
        return found
    spent = cost(saved.history)
    if spent is not None:
        found["calls per message"] = round(spent.total, 2)
        found["write units per message"] = round(spent.write_units, 2)
        found["read units per message"] = round(spent.read_units, 2)
        found["$ per million messages"] = round(spent.usd, 2)
        found["consumers without figures"] = len(spent.untold)
    return found | _waits(saved.history)


def _waits(history: History) -> dict[str, str | Number]:
    sent = {event.data["id"]: event.t for event in history.sent}
    found: dict[str, str | Number] = {}
    for figure, names in (
        ("to first receive", ("received",)),
        ("to completion", ("completed", "already_done")),
    ):
        first: dict[str, float] = {}
        for event in history.events(*names):
            if event.id is not None:
                first.setdefault(event.id, max(0.0, event.t - sent[event.id]))
        if first:
            waits = list(first.values())
            found[f"{figure}, median s"] = round(median(waits), 3)
            found[f"{figure}, 95 % s"] = round(_ninety_fifth(waits), 3)
    return found


def _ninety_fifth(values: Sequence[float]) -> float:
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def in_lines(changes: Sequence[Change]) -> list[str]:
    """What differs, a figure a line; what is equal is only counted."""
    different = [change for change in changes if not change.same]
    widest = max((len(one.scenario) for one in different), default=0)
    lines = [
        f"{one.scenario:{widest}} {one.figure.replace('_', ' '):26} "
        f"{_said(one.before)} -> {_said(one.after)}{_by(one)}"
        for one in different
    ]
    worse = sum(change.worse for change in changes)
    equal = len(changes) - len(different)
    return [
        *lines,
        f"{len(different)} figures differ, {equal} are equal; {worse} verdicts are worse",
    ]


def _said(value: str | Number) -> str:
    return "none" if value is None else str(value)


def _by(change: Change) -> str:
    """The difference of two numbers, with a share where there is one; WORSE for a verdict."""
    if change.worse:
        return " (WORSE)"
    old, new = change.before, change.after
    if isinstance(old, str) or isinstance(new, str) or old is None or new is None:
        return ""
    share = f", {(new - old) / old:+.0%}" if old else ""
    return f" ({new - old:+.3g}{share})"


def as_json(changes: Sequence[Change]) -> str:
    """Every figure, equal ones too, for a program."""
    return json.dumps([vars(change) for change in changes], indent=1)
