"""Judges what a run left behind with the invariants of the scenarios; starts and kills nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from checks.invariants import (
    attempts_are_deliveries,
    completed_ids,
    conservation,
    deleted_after_completion,
    tables_agree,
)
from harness.findings import Asked, ask, question
from harness.history import Event, Held, History, Journal, Witness
from harness.journals import read_journal
from harness.scenario import Check, Finding, Verdict
from sqs_worker.message import message_id

if TYPE_CHECKING:
    from support.queues import QueueSet


@question(
    "one effect",
    "effects 1 on each completed message, absent on any other; no two writes of it in journals",
    Witness.PRODUCER,
    Witness.TABLES,
)
def one_effect(asked: Asked, history: History) -> Finding:
    """A killed process may have written an effect that it never told of: the row has to say it."""
    told = Counter(e.id for e in history.events("completed") if e.data.get("effect"))
    done, rows = completed_ids(history), history.status or {}
    wanted = {key: 1 if key in done else 0 for key in history.ids}
    effects = {key: rows.get(key, {}).get("effects", 0) for key in history.ids}
    odd = [key for key in history.ids if effects[key] != wanted[key] or told[key] > wanted[key]]
    wrong = [f"{key}: effects {effects[key]}, told of {told[key]}" for key in odd]
    return asked.judged(wrong, history, odd, f"{len(done)} completed, one effect on each")


CHECKS: tuple[Check, ...] = (
    conservation(),
    one_effect(),
    tables_agree(),
    attempts_are_deliveries(),
    deleted_after_completion(),
)


class Kept(History):
    """A history that works its ids out once: a soak has ten thousand of them."""

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return super().ids


def history_of(made: QueueSet, ids: Iterable[str], journals: Sequence[Path]) -> History:
    """What the world saw (tables, DLQ, queue) beside what the processes say (journals).

    An empty journal is of a process that was killed before its start, and had nothing to say.
    """
    sent = tuple(Event(0.0, "test", "sent", n, {"id": key}) for n, key in enumerate(ids))
    dlq = tuple(Held(_id_of(m), m["MessageId"], 0) for m in made.dlq_messages())
    return Kept(
        folder=str(journals[0].parent) if journals else ".",
        producer=Journal("test", sent),
        consumers=tuple(read_journal(path) for path in journals if path.stat().st_size),
        status=made.status_rows(),
        completed=made.completed_rows(),
        dlq=dlq,
        left=(),
    )


def judged(history: History, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """The findings that are not PASS."""
    findings = [ask(check, history) for check in checks]
    return [finding for finding in findings if finding.verdict is not Verdict.PASS]


def _id_of(message: dict[str, object]) -> str:
    return message_id(str(message["Body"]), str(message["MessageId"]))
