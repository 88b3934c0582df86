"""Run folders as run.py leaves them, made up: of any size, with any ids, in no time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START = 1_795_500_000.0
HIDDEN = 2.0  # the visibility timeout of every receive here
CALLS = {"sqs.ReceiveMessage": 5, "dynamodb.UpdateItem": 8, "sqs.DeleteMessageBatch": 4}
Line = dict[str, Any]


@dataclass
class Made:
    """One scenario's evidence, gathered message by message and then saved."""

    name: str = "happy"
    proves: str = "messages flow"
    journals: dict[str, list[Line]] = field(default_factory=lambda: {"producer": []})
    status: dict[str, Line] = field(default_factory=dict)
    dead: list[Line] = field(default_factory=list)
    findings: list[Line] = field(default_factory=list)
    crashed: set[str] = field(default_factory=set)

    def write(self, who: str, t: float, event: str, key: str | None = None, **more: Any) -> None:
        lines = self.journals.setdefault(who, [])
        if not lines:
            lines.append({"t": START + t, "who": who, "event": "start"})
        names = {} if key is None else {"id": key}
        lines.append({"t": START + t, "who": who, "event": event, **names, **more})

    def send(self, key: str, t: float, *, poison: bool = False) -> None:
        index = len(self.journals["producer"])
        self.write("producer", t, "sent", key, index=index, poison=poison, sqs_id=f"s-{index}")

    def deliver(self, who: str, key: str, t: float, *events: str, count: int = 1) -> None:
        """One delivery, an event every 20 ms; the reason of a rejection is the id itself."""
        digest = {"delivery": f"{who[9:]}{count}{abs(hash(key)) % 10**9:09}"}
        seen = {"receive_count": count, "sent": START, "visible_at": START + t + HIDDEN}
        self.write(who, t, "received", key, **digest, **seen)
        more: dict[str, Line] = {
            "completed": {"effect": True},
            "rejected": {"reason": f"the body contains {key}"},
            "crash": {"point": "after-work", "code": 86},
        }
        for step, event in enumerate(events, start=1):
            self.write(who, t + 0.02 * step, event, key, **digest, **more.get(event, {}))
        if "completed" in events:
            self.status[key] = {"status": "COMPLETED", "effects": 1, "completed_at": START + t}
        if "crash" in events:
            self.crashed.add(who)

    def bury(self, key: str) -> None:
        self.dead.append({"id": key, "sqs_id": "s", "receive_count": 2, "source_arn": "arn:q"})

    def save(self, run: Path, verdict: str = "PASS") -> Path:
        """Write the folder of this scenario under the run's; gives the run's."""
        folder = run / self.name
        folder.mkdir(parents=True)
        for who, lines in self.journals.items():
            if who != "producer" and who not in self.crashed:
                last = lines[-1]
                lines.append({"t": last["t"], "who": who, "event": "summary", **_figures()})
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (folder / f"{who}.jsonl").write_text(text, encoding="utf-8")
        for name, data in self._files(verdict).items():
            (folder / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
        (folder / "samples.jsonl").write_text(self._samples(), encoding="utf-8")
        return run

    def _files(self, verdict: str) -> dict[str, Any]:
        sent = len(self.journals["producer"]) - 1
        deliveries = sum(
            line["event"] == "received" for lines in self.journals.values() for line in lines
        )
        counts = {"sent": sent, "completed": len(self.status), "in_dlq": len(self.dead)}
        children = [
            {"name": who, "code": 0, "allowed": [0], "tail": [f"{who} says goodbye"]}
            for who in self.journals
        ]
        return {
            "scenario": {
                "scenario": self.name,
                "proves": self.proves,
                "given": {"messages": sent},
                "talks_to": "a made-up queue",
                "queue_arn": "arn:q",
                "visibility_seconds": HIDDEN,
                "quiet_seconds": 0.5,
                "began": "2026-11-24T06:00:00+0000",
            },
            "verdict": {
                "scenario": self.name,
                "verdict": verdict,
                "seconds": 4.5,
                "measures": {**counts, "deliveries": deliveries, "crashes": 0, "consumers": 2},
                "findings": self.findings or [finding("conservation", verdict)],
            },
            "tables": {"status": self.status, "completed": self.status},
            "dlq": {"dead_lettered": self.dead, "left_in_queue": []},
            "children": children,
            "problems": [],
        }

    def _samples(self) -> str:
        last = max(line["t"] for lines in self.journals.values() for line in lines)
        moments = [START + (last + 3 - START) * share / 40 for share in range(41)]
        rows = [
            {"t": t, "visible": 40 - at, "in_flight": at % 5, "delayed": 0, "dlq": len(self.dead)}
            for at, t in enumerate(moments)
        ]
        return "".join(json.dumps(row) + "\n" for row in rows)


def finding(check: str, verdict: str) -> Line:
    look = "" if verdict == "PASS" else "grep x consumer-1.jsonl"
    return {"check": check, "verdict": verdict, "expected": "so", "seen": "this", "look_at": look}


def _figures() -> Line:
    return {"calls": CALLS, "empty_receives": 1, "write_units": 12, "read_units": 2}


GOOD = ("claimed", "work_started", "worked", "completed", "deleted")
CRASHED = ("claimed", "work_started", "crash")
REJECTED = ("claimed", "work_started", "rejected", "failed")


def crash(name: str = "crash") -> Made:
    """Received, worked on, lost in a crash; received again by another, completed."""
    made = Made(name, "a consumer that dies causes one redelivery")
    made.send("aaaa-1", 0.1)
    made.deliver("consumer-1", "aaaa-1", 1.0, *CRASHED)
    made.deliver("consumer-2", "aaaa-1", 3.2, *GOOD, count=2)
    return made


def poison(ids: Sequence[str] = ("dead-1",), name: str = "poison") -> Made:
    """Each of these is rejected twice and ends in the DLQ; one good message goes by."""
    made = Made(name, "a message that is rejected each time ends in the DLQ")
    made.send("good-1", 0.1)
    made.deliver("consumer-1", "good-1", 0.5, *GOOD)
    for at, key in enumerate(ids):
        made.send(key, 0.1, poison=True)
        made.deliver("consumer-1", key, 0.7 + at * 0.1, *REJECTED)
        made.deliver("consumer-1", key, 2.8 + at * 0.1, *REJECTED, count=2)
        made.bury(key)
    return made


def flood(messages: int, consumers: int = 8, name: str = "flood") -> Made:
    """Every 50th message outlives a crash, every 77th is poison; the rest go well."""
    made = Made(name, "a great many messages")
    for at in range(messages):
        key, t = f"{at:08x}-made-up", at * 0.01
        who = f"consumer-{at % consumers + 1}"
        made.send(key, t, poison=at % 77 == 76)
        if at % 77 == 76:
            made.deliver(who, key, t + 0.5, *REJECTED)
            made.deliver(who, key, t + 2.6, *REJECTED, count=2)
            made.bury(key)
        elif at % 50 == 49:
            made.deliver(who, key, t + 0.5, "claimed", "work_started", "work_failed", "failed")
            made.deliver(who, key, t + 2.6, *GOOD, count=2)
        else:
            made.deliver(who, key, t + 0.5, *GOOD)
    return made
