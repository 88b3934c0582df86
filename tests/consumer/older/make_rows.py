"""Writes rows.json: the tables that the older version leaves behind in each mode.

Usage: python tests/consumer/older/make_rows.py
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]

from local_aws import child_environment, start, stop  # noqa: E402
from support.children import Nursery  # noqa: E402
from support.older import ROWS, unpacked  # noqa: E402
from support.queues import REGION, QueueSet, QueueSets  # noqa: E402

MODES = {
    "plain": {"COMMIT_BATCH": "2"},
    "transactional": {"USE_TRANSACTIONAL_WRITES": "1"},
    "statements": {"USE_PARTIQL_STATEMENTS": "1", "COMMIT_BATCH": "2"},
}
ENDS: dict[str, dict[str, str]] = {
    "done": {},
    "failed": {"REJECT_PAYLOAD_MARKER": "failed"},
    "started": {"CRASH_AT": "after-claim"},
    "half": {"CRASH_AT": "between-writes"},
    "keyed": {"IDEMPOTENCY_KEY": "[order_id, action]"},
    "outbox": {"EFFECT_MODE": "outbox", "EFFECT_URL": "http://127.0.0.1:9", "COMMIT_BATCH": "1"},
}
COMMON = {
    "SLEEP_MIN_SECONDS": "0",
    "SLEEP_MAX_SECONDS": "0",
    "WAIT_TIME_SECONDS": "1",
    "MAX_MESSAGES": "10",
}


def bodies(mode: str, end: str) -> list[str]:
    """Two messages: only a batch of several is written by statements."""
    named = [f"{mode}-{end}-{number}" for number in (1, 2)]
    more = {"work": 5, "price": 0.5}
    return [
        json.dumps({"id": name, "order_id": name, "action": "charge", **more}).replace(
            "0.5", "0.10000000000000001"
        )
        for name in named
    ]


def fill(made: QueueSet, nursery: Nursery, door: tuple[Path, str]) -> dict[str, list[str]]:
    """Run the older version once for each mode and end; the bodies by mode and end."""
    sent: dict[str, list[str]] = {}
    for mode, settings in MODES.items():
        for end, more in ENDS.items():
            if (mode == "transactional" and end == "half") or (
                mode != "transactional" and end == "outbox"
            ):
                continue
            sent[f"{mode}-{end}"] = bodies(mode, end)
            made.send(*sent[f"{mode}-{end}"])
            env = {**made.env, **COMMON, **settings, **more, "MESSAGE_LIMIT": "2"}
            nursery.start(door, [], {**env, "IDLE_TIMEOUT_SECONDS": "5"}).wait()
            made.sqs.purge_queue(QueueUrl=made.queue_url)
    return sent


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        stack = start(Path(name) / "stack", 0, REGION)
        nursery = Nursery(Path(name) / "children")
        try:
            sets = QueueSets(stack.endpoint, child_environment(stack.endpoint, REGION))
            made = sets(visibility=60, max_receive_count=10)
            sent = fill(made, nursery, unpacked(Path(name) / "older"))
            tables: dict[str, Any] = {
                kind: made.dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]
                for kind, table in (
                    ("status", made.status_table),
                    ("completed", made.completed_table),
                )
            }
        finally:
            nursery.reap()
            stop(Path(name) / "stack")
    for rows in tables.values():
        rows.sort(key=lambda row: row["message_id"]["S"])
    found = {"made_at": int(time.time()), "sent": sent, **tables}
    text = json.dumps(found, sort_keys=True).replace("}}, {", "}},\n{")
    ROWS.write_text(text + "\n")


if __name__ == "__main__":
    main()
