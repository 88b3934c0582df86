"""The folder of one scenario's evidence: what is written into it, and the history read back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.deliveries import with_deaths
from harness.history import Child, Held, History, Journal, Sample, Signalled, Tick
from harness.journals import read_journal

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def save(folder: Path, name: str, data: Any) -> None:
    """Write a JSON file in one piece: a reader finds all of it or none."""
    draft = folder / f".{name}.tmp"
    draft.write_text(json.dumps(data, indent=1, default=str) + "\n")
    draft.replace(folder / name)


def append(folder: Path, name: str, row: DataclassInstance) -> None:
    """Add a line to a JSON lines file with one write, so that a killed runner tears none but it."""
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(asdict(row)).encode() + b"\n")
    finally:
        os.close(descriptor)


def load(folder: Path) -> History:
    """The history that a run saved in this folder; ValueError if it is not such a folder."""
    about = _json(folder / "scenario.json")
    if about is None:
        raise ValueError(f"{folder} holds no readable scenario.json")
    tables = _json(folder / "tables.json") or {}
    queues = _json(folder / "dlq.json") or {}
    children = _json(folder / "children.json")
    problems = _json(folder / "problems.json")
    arms = about.get("arms", [""])
    signals = tuple(Signalled(**row) for row in _lines(folder / "signals.jsonl"))
    return History(
        folder=str(folder),
        messages=about["given"]["messages"] * len(arms),
        queue_arn=about.get("queue_arn"),
        quiet_seconds=about["quiet_seconds"],
        target_latency=about.get("target_latency"),
        producer=_producer(folder, arms, about["given"]["messages"]),
        consumers=tuple(
            with_deaths(read_journal(path), signals)
            for path in sorted(folder.glob("consumer-*.jsonl"))
        ),
        children=None if children is None else tuple(_child(row) for row in children),
        status=tables.get("status"),
        completed=tables.get("completed"),
        dlq=_held(queues.get("dead_lettered")),
        left=_held(queues.get("left_in_queue")),
        samples=tuple(Sample(**row) for row in _lines(folder / "samples.jsonl")),
        services=tuple(
            read_journal(folder / f"{name}.jsonl") for name in about.get("services", ())
        ),
        scripts=tuple(read_journal(path) for path in sorted(folder.glob("script-*.jsonl"))),
        scaling=tuple(Tick(**row) for row in _lines(folder / "scaling.jsonl")),
        signals=signals,
        refuses_stale_handles=bool(about.get("refuses_stale_handles")),
        problems=None if problems is None else tuple(problems),
    )


def _producer(folder: Path, arms: Sequence[str], messages: int) -> Journal | None:
    """What was sent, of all arms as one: each event names its arm, the indices run on."""
    paths = [folder / f"{producer_name(arm)}.jsonl" for arm in arms]
    if not all(path.exists() for path in paths):
        return None
    journals = [read_journal(path) for path in paths]
    events = [
        replace(event, data=_in_arm(event.data, arm, number * messages))
        for number, (arm, journal) in enumerate(zip(arms, journals, strict=True))
        for event in journal.events
    ]
    torn = next((journal.torn for journal in journals if journal.torn), None)
    return Journal("producer", tuple(events), torn)


def _in_arm(data: Mapping[str, Any], arm: str, first: int) -> dict[str, Any]:
    index = {"index": data["index"] + first} if "index" in data else {}
    return {**data, "arm": arm, **index}


def producer_name(arm: str) -> str:
    """How the producer of an arm is called, and so its journal."""
    return f"producer.{arm}" if arm else "producer"


def _child(row: Mapping[str, Any]) -> Child:
    return Child(row["name"], row["code"], tuple(row["allowed"]), tuple(row["tail"]))


def _held(rows: list[dict[str, Any]] | None) -> tuple[Held, ...] | None:
    return None if rows is None else tuple(Held(**row) for row in rows)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file; a torn last one is one sample less and no more."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if "\n" in line]
