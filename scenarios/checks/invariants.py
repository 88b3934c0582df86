"""What must hold in every scenario, whatever breaks in it; pure, from a history to a finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from checks.delivery_rules import DELIVERY_RULES
from harness import deliveries
from harness.findings import Asked, question, trace
from harness.history import Child, Event, History, Journal, Row, Witness
from harness.scenario import Finding

CLOCK_SLACK = 0.05  # seconds between two readings of one machine's clock
DONE = ("completed", "already_done")
BY_SQS = "where an early redelivery (quirk 1) took a receive"
DELETES = ("deleted", "delete_stale", "delete_unknown")
# Boundaries at which a crash cannot hide an effect: its write has not begun (consumer/sqs_worker).
BEFORE_THE_EFFECT = (
    "after-receive",
    "after-claim",
    "in-work",
    "after-work",
    "before-complete",
    "between-writes",
)


@question("ran to the end", "the runner saw everything that it waited for")
def ran_to_the_end(asked: Asked, history: History) -> Finding:
    if history.problems is None or history.children is None:
        return asked.unknown("the runner itself did not live to see the end", history.folder)
    if history.problems:
        return asked.unknown("; ".join(history.problems), history.folder)
    return asked.passed("it did")


@question("sent as asked", "each index sent once, under an id of its own", Witness.PRODUCER)
def sent_as_asked(asked: Asked, history: History) -> Finding:
    places = [event.data["index"] for event in history.sent]
    wanted = range(history.messages or max(places, default=-1) + 1)
    absent = sorted(set(wanted) - set(places))
    refused = {event.data["index"]: event for event in _send_failures(history)}
    wrong = [
        f"message with index {index} was not sent ({_why(refused.get(index))})" for index in absent
    ]
    twice = sorted(key for key, times in Counter(history.ids).items() if times > 1)
    wrong += [f"{key} was sent more than once" for key in twice]
    wrong += ["nothing was sent"] if not places and not wrong else []
    if wrong:
        return asked.failed("; ".join(wrong[:3]), f"{history.folder}/producer.jsonl")
    return asked.passed(f"{len(places)} sent")


def _send_failures(history: History) -> list[Event]:
    events = history.producer.events if history.producer else ()
    return [event for event in events if event.name == "send_failed"]


def _why(refused: Event | None) -> str:
    return "the producer's journal does not say why" if refused is None else refused.data["code"]


@question(
    "conservation",
    "each message sent is either completed or in the DLQ",
    Witness.PRODUCER,
    Witness.TABLES,
    Witness.DLQ,
)
def conservation(asked: Asked, history: History) -> Finding:
    """Ids are compared, never counts. A message that is still in the queue is not lost."""
    done, dead = completed_ids(history), history.dead_lettered
    left = {held.id for held in history.left or ()}
    lost = [key for key in history.ids if key not in done | dead | left]
    spent = used_up(history)
    both = [key for key in history.ids if key in (done & dead) - spent]
    waiting = [key for key in history.ids if key in left - done - dead]
    if lost and _hidden_at_the_end(history):
        seen = f"{lost[0]}: not found, but the queue still counts messages in flight"
        return asked.unknown(seen, trace(history, lost[:3]))
    wrong = [f"{key}: lost, {last_seen(history, key)}" for key in lost]
    wrong += [f"{key}: completed and in the DLQ as well" for key in both]
    if not wrong and waiting:
        seen = f"{waiting[0]}: neither yet, it is still in the queue; {len(waiting)} such"
        return asked.unknown(seen, trace(history, waiting[:3]))
    good = f"{len(history.ids)} sent = {len(done)} completed + {len(dead - spent)} in the DLQ"
    good += f"; of the completed {len(spent)} also in the DLQ, {BY_SQS}" if spent else ""
    return asked.judged(wrong, history, lost + both, good)


def completed_ids(history: History) -> frozenset[str]:
    return frozenset(key for key in history.ids if history.row(key).get("status") == "COMPLETED")


def used_up(history: History) -> frozenset[str]:
    """Completed messages in the DLQ whose receives SQS used up itself: nobody has lost them."""
    return completed_ids(history) & history.dead_lettered & deliveries.repeated(history)


def _hidden_at_the_end(history: History) -> bool:
    return bool(history.samples) and history.samples[-1].backlog > 0


def last_seen(history: History, key: str) -> str:
    """The last thing that any consumer wrote of this message."""
    events = [e for j in history.consumers for e in j.events if e.id == key]
    if not events:
        return "no consumer ever received it"
    last = max(events, key=lambda event: event.t)
    return f"last seen as '{last.name}' by {last.who}"


@question(
    "tables agree",
    "a completion record of the same body exactly where the status is COMPLETED, not younger",
    Witness.PRODUCER,
    Witness.TABLES,
)
def tables_agree(asked: Asked, history: History) -> Finding:
    """The gate is written before the effect or with it, and never again: that is how it is shut."""
    done = completed_ids(history)
    faults = {key: _disagreement(history, key) for key in history.ids}
    odd = [key for key, fault in faults.items() if fault]
    wrong = [f"{key}: {faults[key]}" for key in odd]
    return asked.judged(wrong, history, odd, f"{len(done)} of each")


def _disagreement(history: History, key: str) -> str:
    row, record = history.row(key), history.record(key)
    done = row.get("status") == "COMPLETED"
    if done != (record is not None):
        return f"status {row.get('status', 'absent')}, {'one' if record else 'no'} record"
    if record and record["completed_at"] > row["completed_at"] + CLOCK_SLACK:
        late = record["completed_at"] - row["completed_at"]
        return f"record written {late:.1f} s after the effect"
    if record and not _same_body(row, record):
        return "the record is of another body than the effect"
    return ""


def _same_body(row: Row, record: Row) -> bool:
    """Rows that name no body may be of any."""
    names = _digests(row), _digests(record)
    return not all(names) or bool(names[0] & names[1])


def _digests(row: Row) -> set[str]:
    """The digest of a row's body, and that of its canonical JSON, as far as the row has them.

    The second counts beside the first one that it names: consumers of older versions write the
    first one only.
    """
    digest = row.get("digest", "")
    own, _, canonical = row.get("canonical_digest", "").partition(":")
    return {digest, canonical if own == digest else ""} - {""}


@question(
    "attempts are deliveries",
    "attempts in the status row = claims in the journals",
    Witness.PRODUCER,
    Witness.CONSUMERS,
    Witness.TABLES,
)
def attempts_are_deliveries(asked: Asked, history: History) -> Finding:
    """The row counts claims. A crash can come between the claim and its journal line, never the
    other way round, so claims seen <= attempts <= deliveries whose claim may have happened.
    """
    claimed, doubtful = history.by_id("claimed"), _doubtful_claims(history)
    wrong, ids = [], []
    for key, messages in history.messages_of.items():
        attempts = (history.status or {}).get(key, {}).get("attempts", 0)
        low = sum(len(claimed[message]) for message in messages)
        high = low + sum(doubtful.get(message, 0) for message in messages)
        if not low <= attempts <= high:
            claims = f"{low} to {high}" if high > low else f"{low}"
            wrong.append(f"{', '.join(messages)}: attempts {attempts}, claims {claims}")
            ids += messages
    total = sum(len(events) for events in claimed.values())
    return asked.judged(wrong, history, ids, f"{total} claims of {len(claimed)} messages")


def _doubtful_claims(history: History) -> dict[str, int]:
    """For each message, the deliveries whose claim nobody knows the outcome of."""
    answers = ("claimed", "already_done", "cached", "payload_changed")
    known = {(e.who, e.delivery) for e in history.events(*answers)}
    doubtful: dict[str, int] = {}
    for event in history.events("received"):
        if event.id is not None and (event.who, event.delivery) not in known:
            doubtful[event.id] = doubtful.get(event.id, 0) + 1
    return doubtful


@question(
    "deliveries recorded",
    "as many receives in the journals as the queue counted",
    Witness.PRODUCER,
    Witness.CONSUMERS,
)
def deliveries_recorded(asked: Asked, history: History) -> Finding:
    received = history.by_id("received")
    for key, events in received.items():
        counted = max((event.data["receive_count"] for event in events), default=0)
        if counted > len(events):
            seen = f"{key}: the queue counted {counted} receives, the journals {len(events)}"
            return asked.unknown(seen, trace(history, [key]))
    return asked.passed(f"{sum(len(events) for events in received.values())} receives")


@question(
    "deleted after completion",
    "a delete only after the completion is durably recorded",
    Witness.PRODUCER,
    Witness.CONSUMERS,
    Witness.TABLES,
)
def deleted_after_completion(asked: Asked, history: History) -> Finding:
    """Order within one journal is the order of calls: an event is written when its call ends."""
    deletes, early = 0, list[Event]()
    for journal in history.consumers:
        for events in _by_key(journal, history).values():
            for place, event in enumerate(events):
                if event.name in DELETES:
                    deletes += 1
                    row = history.row(event.id or "")
                    early += [] if _proved_done(events[:place], event, row) else [event]
    wrong = [f"{e.id}: '{e.name}' by {e.who} without its completion before" for e in early]
    ids = [event.id or "" for event in early]
    return asked.judged(wrong, history, ids, f"{deletes} deletes, each after its completion")


def _by_key(journal: Journal, history: History) -> dict[str, list[Event]]:
    """What one process wrote of the messages of each key, in its own order."""
    found: dict[str, list[Event]] = {}
    for event in journal.events:
        if event.id in history.keys:
            found.setdefault(history.keys[event.id], []).append(event)
    return found


def _proved_done(before: Sequence[Event], deleted: Event, row: Row) -> bool:
    """This delivery was found complete, or this process had completed its key before."""
    own = any(e.name in DONE and e.delivery == deleted.delivery for e in before)
    remembered = any(e.name == "cached" and e.delivery == deleted.delivery for e in before) and any(
        e.name in DONE for e in before
    )
    recorded = row.get("status") == "COMPLETED" and row["completed_at"] <= deleted.t + CLOCK_SLACK
    return (own or remembered) and recorded


@question(
    "effects per message",
    "effects = {times} on each completed message",
    Witness.PRODUCER,
    Witness.CONSUMERS,
    Witness.TABLES,
)
def effects_per_message(asked: Asked, history: History, times: int) -> Finding:
    """The row counts effects, so a second one shows; the journals say who wrote it."""
    written, doubtful = _effects_written(history), _effects_doubtful(history)
    wrong, ids = [], []
    for key, messages in history.messages_of.items():
        row = (history.status or {}).get(key, {})
        wanted = times if row.get("status") == "COMPLETED" else 0
        effects, low = row.get("effects", 0), sum(written.get(one, 0) for one in messages)
        if effects != wanted or not low <= effects <= low + sum(doubtful[one] for one in messages):
            who = ", ".join(messages)
            wrong.append(f"{who}: effects {effects}, wanted {wanted}, written by consumers {low}")
            ids += messages
    total = len(completed_ids(history))
    return asked.judged(wrong, history, ids, f"{total} completed, effects {times} on each")


def _effects_written(history: History) -> Mapping[str, int]:
    return Counter(e.id for e in history.events("completed") if e.data.get("effect") and e.id)


def _effects_doubtful(history: History) -> dict[str, int]:
    """Completions that may have been written though no journal says so."""
    doubtful = dict.fromkeys(history.ids, 0)
    for event in history.events("complete_unknown", "crash", "killed"):
        if event.id in doubtful and event.data.get("point") not in BEFORE_THE_EFFECT:
            doubtful[event.id] += 1
    return doubtful


@question("processes ended as declared", "each exit code as the scenario says", Witness.CHILDREN)
def ended_as_declared(asked: Asked, history: History) -> Finding:
    odd = [child for child in history.children or () if child.code not in child.allowed]
    if not odd:
        return asked.passed(f"{len(history.children or ())} processes")
    child = odd[0]
    held = in_hand(history, child.name)
    seen = f"{child.name} {_ending(child)}; in hand: {', '.join(held) or 'nothing'}"
    return asked.failed("\n".join((seen, *child.tail)), f"{history.folder}/{child.name}.log")


def _ending(child: Child) -> str:
    wanted = " or ".join(map(str, child.allowed))
    how = "never ended" if child.code is None else f"exited {child.code}"
    return f"{how} where {wanted} was declared"


def in_hand(history: History, name: str) -> list[str]:
    """Messages that this process had received and not finished with when it ended."""
    journal = next((j for j in history.consumers if j.name == name), None)
    held = deliveries.in_hand(journal.events) if journal else ()
    return list(dict.fromkeys(event.id for event in held if event.id))


ALWAYS = (
    ran_to_the_end(),
    sent_as_asked(),
    ended_as_declared(),
    conservation(),
    tables_agree(),
    effects_per_message(1),
    attempts_are_deliveries(),
    deliveries_recorded(),
    deleted_after_completion(),
    *DELIVERY_RULES,
)
