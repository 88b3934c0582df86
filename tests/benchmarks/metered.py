"""What the two hand-written loops share: clients, the meter, and how they tell of their run.

They tell it as the consumer does, in JSON lines on standard error, so that one reader serves all.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3

from sqs_worker.events import Meter, Tally, summary


@dataclass(frozen=True)
class Tools:
    """Where a loop works, and with what; `limit` messages, 0 = one receive and out."""

    sqs: Any
    dynamodb: Any
    queue_url: str
    status_table: str
    completed_table: str
    limit: int


def run(loop: Callable[[Tools], int]) -> None:
    """Run a loop as boto3 comes out of the box; it returns how many messages it finished."""
    started = time.monotonic()
    meter, tally = Meter(), Tally()
    sqs, dynamodb = boto3.client("sqs"), boto3.client("dynamodb")
    meter.attach(sqs)
    meter.attach(dynamodb)
    tools = Tools(
        sqs,
        dynamodb,
        os.environ["QUEUE_URL"],
        os.environ["MESSAGE_STATUS_TABLE"],
        os.environ["MESSAGE_COMPLETED_TABLE"],
        int(os.environ["MESSAGE_LIMIT"]),
    )
    _tell("consuming")
    tally.count("completed", loop(tools))
    _tell("stopped", figures=summary(tally, meter, started))


def _tell(text: str, **fields: Any) -> None:
    line = {"t": round(time.time(), 3), "level": "INFO", "text": text, **fields}
    sys.stderr.write(json.dumps(line) + "\n")
