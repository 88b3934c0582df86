"""API calls as they leave the process, counted by a botocore hook: the SDK's own retries too."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Meter:
    """Counts HTTP requests of one client by `service.Operation`."""

    def __init__(self, client: SQSClient) -> None:
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        client.meta.events.register("before-send", self._count)

    def _count(self, event_name: str, **_: object) -> None:
        with self._lock:
            self.calls[event_name.removeprefix("before-send.")] += 1
