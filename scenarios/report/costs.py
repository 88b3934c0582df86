"""What a scenario's consumers called and what that costs, beside the reference loop; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from harness.history import History

# Prices of us-east-1 in dollars per million, an assumption (quirk 13); a request is up to 64 KB.
SQS_REQUESTS = 0.40
WRITE_UNITS = 0.625
READ_UNITS = 0.125

# One message at a time: receive one, put STARTED, put the gate, update COMPLETED, delete one.
# tests/benchmarks/test_reference.py runs the loop and counts these.
REFERENCE_CALLS = {
    "sqs.ReceiveMessage": 1.0,
    "dynamodb.PutItem": 2.0,
    "dynamodb.UpdateItem": 1.0,
    "sqs.DeleteMessage": 1.0,
}
EMPTY = "sqs.ReceiveMessage, empty"


@dataclass(frozen=True)
class Cost:
    """Per message; `usd` in dollars per million messages. `untold` names who gave no figures."""

    calls: dict[str, float]
    write_units: float
    read_units: float
    untold: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        return sum(self.calls.values())

    @property
    def usd(self) -> float:
        requests = sum(n for name, n in self.calls.items() if name.startswith("sqs."))
        units = self.write_units * WRITE_UNITS + self.read_units * READ_UNITS
        return requests * SQS_REQUESTS + units


REFERENCE = Cost(REFERENCE_CALLS, write_units=3.0, read_units=0.0)


def cost(history: History) -> Cost | None:
    """Of all consumers that lived to give their figures, per message sent; None if none did."""
    told, untold = [], []
    for journal in history.consumers:
        summary = next((e.data for e in journal.events if e.name == "summary"), None)
        if summary is None:
            untold.append(journal.name)
        else:
            told.append(summary)
    sent = len(history.ids)
    if not told or not sent:
        return None
    calls: Counter[str] = Counter()
    for summary in told:
        calls.update(summary["calls"])
        empty = summary.get("empty_receives", 0)
        calls[EMPTY] += empty
        calls["sqs.ReceiveMessage"] -= empty
    return Cost(
        {name: number / sent for name, number in sorted(calls.items()) if number > 0},
        sum(summary["write_units"] for summary in told) / sent,
        sum(summary["read_units"] for summary in told) / sent,
        tuple(untold),
    )
