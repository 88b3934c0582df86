"""Asks the checks about a saved folder and saves the verdict with its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from checks.invariants import ALWAYS, completed_ids, ran_to_the_end
from harness import evidence
from harness.findings import ask, worst
from harness.history import History
from harness.infra import SetupError
from harness.scenario import Finding, Scenario, Verdict


def measures(history: History) -> dict[str, Any]:
    """Counts of what happened; for a flood also how it was kept up with."""
    received = history.events("received")
    found = {
        "sent": len(history.ids),
        "completed": len(completed_ids(history)),
        "in_dlq": len(history.dead_lettered),
        "deliveries": len(received),
        "crashes": len(history.events("crash")),
        "stale_deletes": len(history.events("delete_stale")),
        "consumers": len(history.consumers),
    }
    return found | (_flood(history) if history.scaling else {})


def _flood(history: History) -> dict[str, Any]:
    """`oldest_wait_seconds`: the longest from sending to the first receive of a message."""
    first: dict[str, float] = {}
    for event in history.events("received"):
        if event.id is not None:
            first.setdefault(event.id, event.t - event.data["sent"])
    steady = next((tick for tick in history.scaling if tick.phase == "equilibrium"), None)
    steps = [history.scaling[0]]
    for tick in history.scaling:
        if tick.consumers != steps[-1].consumers:
            steps.append(tick)
    return {
        "peak_backlog": max(tick.backlog for tick in history.scaling),
        "oldest_wait_seconds": round(max(first.values(), default=0.0), 1),
        "peak_consumers": max(tick.consumers for tick in history.scaling),
        "seconds_to_equilibrium": None if steady is None else steady.t,
        "consumers_over_time": [[tick.t, tick.consumers] for tick in steps],
    }


@dataclass(frozen=True)
class Outcome:
    """What came of one scenario; `error` is set where it could not be run."""

    name: str
    label: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    measures: dict[str, Any]
    folder: Path
    seconds: float
    error: str = ""


def judge(scenario: Scenario, folder: Path, label: str, seconds: float) -> Outcome:
    """Judge what is saved in the folder and save the verdict beside it."""
    try:
        history = evidence.load(folder)
    except (ValueError, TypeError, KeyError) as error:
        history = History(folder=str(folder), problems=(f"unreadable evidence: {error!r}",))
    checks = [ran_to_the_end()] if history.cut_short else [*ALWAYS, *scenario.then]
    findings = tuple(ask(check, history) for check in checks)
    verdict = worst(finding.verdict for finding in findings)
    measured = _measured(history)
    saved = {
        "scenario": scenario.name,
        "verdict": verdict,
        "seconds": round(seconds, 2),
        "measures": measured,
        "findings": [asdict(finding) for finding in findings],
    }
    evidence.save(folder, "verdict.json", saved)
    return Outcome(scenario.name, label, verdict, findings, measured, folder, seconds)


def _measured(history: History) -> dict[str, Any]:
    try:
        return measures(history)
    except (KeyError, ValueError, TypeError) as error:
        return {"not measured": f"{type(error).__name__}: {error}"}


def judge_again(folder: Path, cases: Mapping[str, Scenario]) -> list[Outcome]:
    """Judge a saved scenario, or each one of a saved run; raises SetupError where none is."""
    folders = [
        path for path in (folder, *sorted(folder.glob("*"))) if (path / "scenario.json").is_file()
    ]
    if not folders:
        raise SetupError(f"{folder} holds no saved scenario")
    outcomes = []
    for path in folders:
        try:
            case = cases[json.loads((path / "scenario.json").read_text())["scenario"]]
        except (ValueError, TypeError, KeyError) as error:
            raise SetupError(f"{path / 'scenario.json'} names no scenario: {error!r}") from error
        outcomes.append(judge(case, path, path.name, 0.0))
    return outcomes
