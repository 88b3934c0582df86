"""What the user reads: messages, counts, sums. Text of others is made harmless and cut."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from redrive.dead_letters import DeadLetter, Record
from redrive.mover import NAMED, Tally
from redrive.native import Progress
from redrive.rules import Decision, Fate, Why
from sqs_worker.logs import printable

CHANGED = "another payload of its id or key is done, this one is not"
ID_CHARACTERS, REASON_CHARACTERS, BODY_CHARACTERS = 40, 100, 400


def harmless(text: str, most: int) -> str:
    """One line without a character that a terminal obeys or that reorders text, cut to `most`."""
    return printable(text if len(text) <= most else text[: most - 3] + "...")


@dataclass(frozen=True)
class Seen:
    """One message as it is shown; `body` is empty unless it was asked for."""

    id: str
    message_id: str
    age_seconds: float
    receive_count: int
    replay_count: int
    bytes: int
    status: str
    reason: str
    becomes: str
    body: str = ""


def seen(
    letter: DeadLetter, record: Record, decision: Decision, now: float, *, body: bool = False
) -> Seen:
    """Keeps little of a message, for there may be many; `now` in seconds since the epoch."""
    becomes = f"would be {decision.fate}"
    return Seen(
        id=letter.id,
        message_id=letter.sqs_id,
        age_seconds=round(now - letter.first_sent / 1000, 1),
        receive_count=letter.receives,
        replay_count=letter.replays,
        bytes=len(letter.body.encode("utf-8", "surrogatepass")),
        status=record.status,
        reason=record.reason or (CHANGED if record.is_of_another_payload(letter) else ""),
        becomes=f"{becomes}: it {decision.why}" if decision.why else becomes,
        body=letter.body[: BODY_CHARACTERS + 1] if body else "",  # one more shows that it was cut
    )


def as_json(rows: Iterable[Seen]) -> Iterator[str]:
    """A line for each, ASCII only: what is hostile is an escape."""
    for row in rows:
        yield json.dumps(asdict(row))


def listing(rows: Sequence[Seen], *, dry_run: bool) -> Iterator[str]:
    """Counts by reason (by fate in a dry run), then a line for each message."""
    yield f"{len(rows)} messages"
    counts = Counter(row.becomes if dry_run else _cause(row) for row in rows)
    for cause, count in counts.most_common():
        yield f"  {count:>6}  {harmless(cause, REASON_CHARACTERS)}"
    if not rows:
        return
    yield f"{'id':<42} {'age':>8} {'received':>8} {'moved':>5} {'bytes':>8}"
    for row in rows:
        numbers = f"{row.receive_count:>8} {row.replay_count:>5} {row.bytes:>8}"
        name = harmless(row.id, ID_CHARACTERS) + ("*" if row.id == row.message_id else "")
        yield f"{name:<42} {_age(row.age_seconds):>8} {numbers}"
        if row.body:
            yield f"    {harmless(row.body, BODY_CHARACTERS)}"
    if any(row.id == row.message_id for row in rows):
        yield "* no id of its own: this is its MessageId, which a move changes"


def _cause(row: Seen) -> str:
    if row.becomes.endswith(Why.OTHER_QUEUE):
        return f"it {Why.OTHER_QUEUE}"
    causes = {
        "": "not in the status table",
        "STARTED": "STARTED: claimed, but no outcome was recorded",
        "COMPLETED": "COMPLETED: the work is done, but the message was not deleted",
    }
    return f"{row.status}: {row.reason}" if row.reason else causes.get(row.status, row.status)


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def summary(tally: Tally, calls: Mapping[str, int]) -> Iterator[str]:
    """What a run did, each thing that did not go as asked by name."""
    fates = tally.fates
    told = [f"moved {fates[Fate.MOVE]}"]
    told += [f"finished {fates[Fate.FINISH]} of an earlier run"] if fates[Fate.FINISH] else []
    told += [f"dropped {fates[Fate.DROP]} that are completed"] if fates[Fate.DROP] else []
    told.append(f"kept {fates[Fate.KEEP]}, failed {len(tally.failed)}")
    yield ", ".join(told)
    if tally.completed:
        yield f"  the table has {tally.completed} of all these completed: their claim finds it so"
    for why, ids in tally.kept.items():
        yield f"  kept {len(ids)}: it {why}" + ("" if why.wanted else f": {_some(ids)}")
    for key, reason in list(tally.failed.items())[:NAMED]:
        yield f"  failed: {harmless(key, ID_CHARACTERS)}: {harmless(reason, REASON_CHARACTERS)}"
    for key, reason in list(tally.undeleted.items())[:NAMED]:
        name = harmless(key, ID_CHARACTERS)
        yield f"  sent and still in the DLQ: {name}: {harmless(reason, REASON_CHARACTERS)}"
    yield from _doubts(tally)
    made = ", ".join(f"{count} {name.partition('.')[2]}" for name, count in sorted(calls.items()))
    yield f"API calls: {sum(calls.values())} ({made})"


def _doubts(tally: Tally) -> Iterator[str]:
    if tally.twice:
        yield (
            f"  {len(tally.twice)} may have been sent twice, since an answer was lost or a run died"
            " in between; they have ids of their own, so their claim absorbs the second"
        )
    if tally.in_other_hands:
        yield f"  about {tally.in_other_hands} are hidden by somebody else; run it again later"
    if tally.not_given_back:
        yield (
            f"  {tally.not_given_back} could not be given back; they are visible again when their "
            "visibility timeout expires"
        )


def _some(ids: Sequence[str]) -> str:
    named = ", ".join(harmless(key, ID_CHARACTERS) for key in ids[:NAMED])
    return named + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")


def native_summary(found: Progress, calls: Mapping[str, int]) -> str:
    """How AWS's own task ended."""
    reason = f" ({harmless(found.reason, REASON_CHARACTERS)})" if found.reason else ""
    made = ", ".join(f"{count} {name.partition('.')[2]}" for name, count in sorted(calls.items()))
    return (
        f"{found.state.lower()}{reason}: about {found.moved} of {found.to_move} moved, each under a"
        f" new MessageId and without a tag\nAPI calls: {sum(calls.values())} ({made})"
    )
