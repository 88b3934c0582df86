"""What the subjects run on: one MiniStack, directly or behind microburst with AWS-like latency.

It says how busy those were too, for a rate that they limit says little of the subject.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.config import Config

from local_aws import Stack, child_environment, start, stop
from local_stack.provision import local_session
from support.proxy import Proxy
from support.queues import REGION, QueueSet, QueueSets

VISIBILITY = 300
"""Seconds: no message of a benchmark comes back."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ground:
    """One way to the stack. `name` is direct or aws-like."""

    name: str
    sets: QueueSets
    endpoint: str
    stack_pid: int
    proxy_pids: tuple[int, ...] = ()

    def filled(self, messages: int) -> QueueSet:
        """A new queue with this many messages and two empty tables."""
        made = self.sets(visibility=VISIBILITY)
        made.send_many(messages)
        return made

    def client(self, service: str, config: Config) -> Any:
        """A client of this process, straight to the stack."""
        session = local_session(REGION)
        return session.client(service, endpoint_url=self.endpoint, config=config)

    def stack_seconds(self) -> float:
        """CPU seconds that MiniStack has used so far."""
        return _cpu_seconds(self.stack_pid)

    def proxy_seconds(self) -> float:
        """CPU seconds of the busiest microburst so far; each is one process with one thread."""
        return max((_cpu_seconds(pid) for pid in self.proxy_pids), default=0.0)


@contextmanager
def grounds(folder: Path) -> Iterator[tuple[Ground, Ground]]:
    """Both ways to one stack, stopped at the end.

    SQS and DynamoDB get a microburst each, so that neither becomes the bottleneck.
    """
    with ExitStack() as held:
        stack = start(folder / "stack", 0, REGION)
        held.callback(stop, folder / "stack")
        sqs, dynamodb = (_slow(held, stack, folder, name) for name in ("sqs", "dynamodb"))
        environment = child_environment(stack.endpoint, REGION)
        slow_environment = {
            **environment,
            "AWS_ENDPOINT_URL_SQS": sqs.endpoint,
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.endpoint,
        }
        yield (
            Ground("direct", QueueSets(stack.endpoint, environment), stack.endpoint, stack.pid),
            Ground(
                "aws-like",
                QueueSets(stack.endpoint, slow_environment),
                stack.endpoint,
                stack.pid,
                (sqs.pid, dynamodb.pid),
            ),
        )


def _slow(held: ExitStack, stack: Stack, folder: Path, service: str) -> Proxy:
    latency = {"service": service, "latency": {"preset": service}}
    proxy = Proxy(stack.endpoint, [latency], folder / f"microburst-{service}.log")
    held.callback(proxy.close)
    return proxy


def _cpu_seconds(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():  # not Linux
        return 0.0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
