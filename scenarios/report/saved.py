"""Reads a saved run for the page: each scenario's history and verdict, or why there is none."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import evidence
from harness.history import INTERRUPTED, History


@dataclass(frozen=True)
class Saved:
    """One scenario of a run; `verdict` is a Verdict's name, or SETUP, or NOT JUDGED."""

    label: str
    verdict: str
    proves: str
    talks_to: str
    began: str
    hidden_seconds: float | None
    seconds: float | None
    error: str
    findings: tuple[dict[str, str], ...]
    measures: dict[str, Any]
    history: History | None
    interrupted: bool


def saved_run(run: Path) -> list[Saved]:
    """The scenarios of a run's folder, by name; ValueError where it holds none."""
    folders = sorted(path for path in run.glob("*") if _is_scenario(path))
    if not folders:
        raise ValueError(f"{run} holds no saved scenario")
    return [_saved(folder) for folder in folders]


def _is_scenario(path: Path) -> bool:
    return (path / "scenario.json").is_file() or (path / "verdict.json").is_file()


def _saved(folder: Path) -> Saved:
    about, judged = _json(folder / "scenario.json"), _json(folder / "verdict.json")
    error = str(judged.get("error", ""))
    history = None
    try:
        history = _in_order(evidence.load(folder))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        error = error or f"the evidence cannot be read: {problem}"
    return Saved(
        label=folder.name,
        verdict="SETUP" if "error" in judged else str(judged.get("verdict", "NOT JUDGED")),
        proves=str(about.get("proves", "")),
        talks_to=str(about.get("talks_to", "")),
        began=str(about.get("began", "")),
        hidden_seconds=about.get("visibility_seconds"),
        seconds=judged.get("seconds"),
        error=error,
        findings=tuple(judged.get("findings", ())),
        measures=dict(judged.get("measures", {})),
        history=history,
        interrupted=INTERRUPTED in ((history.problems if history else None) or ()),
    )


def _in_order(history: History) -> History:
    """Consumers as they were started: 2 comes before 10."""
    numbered = sorted(
        history.consumers, key=lambda journal: [int(n) for n in re.findall(r"\d+", journal.name)]
    )
    return replace(history, consumers=tuple(numbered))


def _json(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where it cannot be read."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
