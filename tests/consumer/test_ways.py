"""A way to have an effect outside: what joins the path of a message, and what goes on beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from sqs_worker.http_service import Answer, Request
from sqs_worker.outbox import Intent, Relay
from sqs_worker.ways import Way
from support.fakes import Notes


class Outbox:
    """One open intent, for ever."""

    def pending(self) -> list[Intent]:
        return [Intent("a", 1)]

    def settle(self, intents: Sequence[Intent]) -> None:
        """Nothing."""

    def park(self, intent: Intent) -> None:
        """Nothing."""

    def check_room(self) -> None:
        """There is room."""


def test_the_end_waits_for_the_service_only_as_long_as_is_left_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that is not answered in time stays in the outbox."""
    monkeypatch.setattr("sqs_worker.outbox.GRACE_SECONDS", 0)
    called, answered = threading.Event(), threading.Event()

    def call(_request: Request) -> Answer:
        called.set()
        answered.wait(60)
        return Answer.DONE

    started, left = time.monotonic(), [40.0]
    way = Way(relay=Relay(Outbox(), call, Notes()))  # type: ignore[arg-type]
    with way.under_way(lambda: left[0]):
        assert called.wait(30)
        left[0] = 0.05
    answered.set()
    assert time.monotonic() - started < 40
