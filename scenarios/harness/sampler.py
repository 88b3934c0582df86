"""Looks at the depths of both queues again and again, beside the steps, and records them."""

from __future__ import annotations

import threading
from types import TracebackType

from harness import evidence
from harness.infra import AWS_ERRORS
from harness.scenario_run import Stage

LOCAL_EVERY, REMOTE_EVERY = 0.25, 1.0  # seconds between two looks


class Sampler:
    """Records the depths of both queues over time, in a thread of its own."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self._every = LOCAL_EVERY if stage.shared.target.local else REMOTE_EVERY
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(self._every):
            try:
                sample = self._stage.queues.sample()
            except AWS_ERRORS as problem:
                self._stage.problems.append(f"no sample of the depths: {problem}")
                return
            self._stage.samples.append(sample)
            evidence.append(self._stage.folder, "samples.jsonl", sample)
