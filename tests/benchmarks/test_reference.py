"""The report's reference figures are those of the reference loop, run and counted."""

from __future__ import annotations

import json

import pytest

from benchmarks.subjects import REFERENCE as LOOP
from report.costs import REFERENCE
from support.children import Nursery
from support.queues import QueueSets

pytestmark = pytest.mark.integration

MESSAGES = 12


def test_what_the_report_computes_is_what_the_loop_spends(
    queue_set: QueueSets, nursery: Nursery
) -> None:
    made = queue_set(visibility=30)
    made.send_many(MESSAGES)
    env = {**made.env, "MESSAGE_LIMIT": str(MESSAGES)}
    ended = nursery.start((LOOP.folder, LOOP.script), [], env).wait()
    assert ended.code == 0, ended.output
    figures = json.loads(ended.stderr.splitlines()[-1])["figures"]
    calls = {name: number / MESSAGES for name, number in figures["calls"].items()}
    assert calls == REFERENCE.calls
    assert figures["write_units"] / MESSAGES == REFERENCE.write_units
    assert figures["read_units"] / MESSAGES == REFERENCE.read_units
    assert len(made.completed_rows()) == MESSAGES
