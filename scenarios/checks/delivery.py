"""The questions that cases ask of a history; pure, and each can be answered with FAIL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checks.invariants import BY_SQS, completed_ids, last_seen, used_up
from harness.deliveries import SQS_OR_CONSUMER, early, hidden_until, rare, redeliveries, repeated
from harness.findings import Asked, question, some, trace
from harness.history import Event, History, Journal, Sample, Witness, swallowed_ids
from harness.scaling import Told, difference, doubt, peaked, told_at
from harness.scenario import MAX_RECEIVES, Finding

__all__ = [
    "all_completed",
    "backlog_came_down",
    "crashed_after_effect",
    "deliveries",
    "dlq_holds",
    "finished_by_another",
    "good_completed",
    "neighbours_differ",
    "poison_dead_lettered",
    "queue_empty",
    "redelivered_after_visibility",
    "scaled_out",
    "worked_by",
]

QUIET_SAMPLES = 3  # zeros in a row that say "empty" (quirk 5: one zero says nothing)

PRODUCER, CONSUMERS, TABLES = Witness.PRODUCER, Witness.CONSUMERS, Witness.TABLES


@question("all completed", "status COMPLETED for every message sent", PRODUCER, TABLES)
def all_completed(asked: Asked, history: History) -> Finding:
    return _completed(asked, history, history.ids)


@question("good completed", "status COMPLETED for every message but poison", PRODUCER, TABLES)
def good_completed(asked: Asked, history: History) -> Finding:
    """Poison beside them in a batch must not hold them back."""
    return _completed(asked, history, [key for key in history.ids if key not in history.poison])


def _completed(asked: Asked, history: History, wanted: Sequence[str]) -> Finding:
    done = completed_ids(history)
    open_ = [key for key in wanted if key not in done]
    left = {held.id for held in history.left or ()}
    if open_ and all(key in left for key in open_):
        seen = f"{open_[0]}: not yet, it is still in the queue; {len(open_)} such"
        return asked.unknown(seen, trace(history, open_[:3]))
    wrong = [
        f"{key}: status {history.row(key).get('status', 'absent')}, {last_seen(history, key)}"
        for key in open_
    ]
    return asked.judged(wrong, history, open_, f"{len(wanted)} completed")


@question(
    "queue empty",
    f"every message deleted or in the DLQ, {QUIET_SAMPLES} zero counts in a row at the end",
    PRODUCER,
    CONSUMERS,
    Witness.DLQ,
    Witness.SAMPLES,
)
def queue_empty(asked: Asked, history: History) -> Finding:
    """Counts never decide alone: each message must be deleted or dead-lettered by a witness, or
    have been finished by a consumer whose crash may have swallowed the line about its delete."""
    left = [held.id for held in history.left or () if held.id in history.ids]
    deleted = {event.id for event in history.events("deleted")}
    deleted |= swallowed_ids(e for journal in history.consumers for e in journal.events)
    gone = deleted | history.dead_lettered | set(left)
    kept = [key for key in history.ids if key not in gone]
    back = [key for key in left if key in deleted & repeated(history)]
    if back and len(back) == len(left) and not kept:
        seen = f"{back[0]}: deleted by a consumer, and SQS delivers it again (quirk 1)"
        return asked.unknown(seen, trace(history, back[:3]))
    if left or kept:
        wrong = [f"{key}: still in the queue, {last_seen(history, key)}" for key in left]
        wrong += [f"{key}: nobody deleted it, {last_seen(history, key)}" for key in kept]
        return asked.judged(wrong, history, left + kept, "")
    if not quiet(history.samples, history.quiet_seconds):
        counts = [sample.backlog for sample in history.samples[-QUIET_SAMPLES:]]
        return asked.unknown(f"counts at the end: {counts}", f"{history.folder}/samples.jsonl")
    return asked.passed(f"{len(history.ids)} gone, counts zero to the end")


def quiet(samples: Sequence[Sample], seconds: float) -> bool:
    """Whether the last samples are zeros, enough of them and over long enough."""
    zeros: list[Sample] = []
    for sample in reversed(samples):
        if sample.backlog:
            break
        zeros.append(sample)
    return len(zeros) >= QUIET_SAMPLES and zeros[0].t - zeros[-1].t >= seconds


@question("DLQ", "{count} of this run's messages in the DLQ", PRODUCER, Witness.DLQ)
def dlq_holds(asked: Asked, history: History, count: int) -> Finding:
    spent = used_up(history)
    dead = sorted(history.dead_lettered - spent)
    if len(dead) != count:
        seen = f"{len(dead)}: {some(dead)}" if dead else "none"
        return asked.failed(seen, trace(history, dead[:3] or history.ids[:1]))
    return asked.passed(f"{count}" + (f"; and {len(spent)} completed, {BY_SQS}" if spent else ""))


@question("deliveries", "each message received at least {at_least} times", PRODUCER, CONSUMERS)
def deliveries(asked: Asked, history: History, at_least: int) -> Finding:
    received = history.by_id("received")
    few = [key for key, events in received.items() if len(events) < at_least]
    wrong = [f"{key}: received {len(received[key])} times" for key in few]
    if few and repeated(history):
        return _short(asked, history, wrong, few)
    total = sum(len(events) for events in received.values())
    return asked.judged(wrong, history, few, f"{total} deliveries of {len(received)} messages")


@question(
    "redelivered after visibility",
    "at least {at_least} redelivery, none before the visibility timeout expired",
    PRODUCER,
    CONSUMERS,
)
def redelivered_after_visibility(asked: Asked, history: History, at_least: int = 1) -> Finding:
    """Of each two deliveries in a row: the second comes when the first one's visibility is over."""
    pairs, soon = redeliveries(history), early(history)
    if soon:
        wrong = [
            f"{b.id}: received again {hidden_until(history, a) - b.t:.1f} s before its time"
            for a, b in soon
        ]
        ids = [b.id or "" for _, b in soon]
        if rare(soon, pairs):
            seen = f"{some(wrong)}: {SQS_OR_CONSUMER}"
            return asked.unknown(seen, trace(history, ids[:3]))
        return asked.judged(wrong, history, ids, "")
    if len(pairs) < at_least:
        return asked.failed(f"{len(pairs)} redeliveries", trace(history, history.ids[:3]))
    gaps = [b.t - a.t for a, b in pairs]
    return asked.passed(f"{len(pairs)}, {min(gaps):.1f} to {max(gaps):.1f} s after the receive")


def _short(asked: Asked, history: History, wrong: Sequence[str], ids: Sequence[str]) -> Finding:
    """Too few deliveries of some, where others were delivered early: those took the places of
    these at consumers that stop after a number of messages."""
    taken = f"{len(repeated(history))} others were redelivered early, which SQS may do"
    return asked.unknown(f"{some(wrong)}; {taken}", trace(history, ids[:3]))


@question(
    "finished by another",
    "each message that a crashed consumer held is received again and deleted by another",
    PRODUCER,
    CONSUMERS,
)
def finished_by_another(asked: Asked, history: History) -> Finding:
    """What a consumer held when it crashed: who received it again, how long after the death."""
    deaths = [event for event in history.events("crash") if event.id]
    if not deaths:
        return asked.unknown("no consumer crashed with a message in hand", history.folder)
    deleted = history.by_id("deleted")
    open_ = [d for d in deaths if not any(e.who != d.who for e in deleted[d.id or ""])]
    wrong = [f"{d.id}: {d.who} died with it, {last_seen(history, d.id or '')}" for d in open_]
    gaps = [_gap(history, death) for death in deaths]
    good = f"{len(deaths)} held, {max(gaps):.1f} s at most from death to redelivery"
    return asked.judged(wrong, history, [d.id or "" for d in open_], good)


def _gap(history: History, death: Event) -> float:
    later = [e.t for e in history.by_id("received")[death.id or ""] if e.t > death.t]
    return min(later, default=death.t) - death.t


@question(
    "both did the work",
    "each message worked on twice or more, by {consumers} consumers in all",
    PRODUCER,
    CONSUMERS,
)
def worked_by(asked: Asked, history: History, consumers: int) -> Finding:
    worked = history.by_id("worked")
    once = [key for key, events in worked.items() if len(events) < 2]  # noqa: PLR2004 - "twice"
    wrong = [f"{key}: worked on {len(worked[key])} times" for key in once]
    if once and repeated(history):
        return _short(asked, history, wrong, once)
    who = sorted({event.who for events in worked.values() for event in events})
    if len(who) < consumers:
        wrong.append(f"only {', '.join(who) or 'nobody'} did any work")
    return asked.judged(wrong, history, once or history.ids, f"work by {', '.join(who)}")


@question(
    "poison dead-lettered",
    "each poison message received {after} times, then in the DLQ, never completed",
    PRODUCER,
    CONSUMERS,
    TABLES,
    Witness.DLQ,
)
def poison_dead_lettered(asked: Asked, history: History, after: int = MAX_RECEIVES) -> Finding:
    received = history.by_id("received")
    found = {key: _poison_faults(history, key, received[key], after) for key in history.poison}
    bad = sorted(key for key, faults in found.items() if faults)
    if not history.poison:
        return asked.failed("no poison was sent", f"{history.folder}/producer.jsonl")
    wrong = [f"{key}: {', '.join(found[key])}" for key in bad]
    return asked.judged(wrong, history, bad, f"{len(found)} poison messages")


def _poison_faults(history: History, key: str, received: list[Event], after: int) -> list[str]:
    extra = sum(second.id == key for _, second in early(history))  # SQS may not count these
    faults = (
        [f"received {len(received)} times"] if not after <= len(received) <= after + extra else []
    )
    held = [held for held in history.dlq or () if held.id == key]
    faults += [] if held else ["not in the DLQ"]
    faults += [
        f"came from {h.source_arn}" for h in held if h.source_arn not in (None, history.queue_arn)
    ]
    done = key in completed_ids(history) or history.record(key) is not None
    return faults + (["completed"] if done else [])


@question(
    "neighbours differ",
    "a batch in which one message was deleted and another failed",
    PRODUCER,
    CONSUMERS,
)
def neighbours_differ(asked: Asked, history: History) -> Finding:
    batches = [b for journal in history.consumers for b in _batches(journal, history)]
    for journal, batch in batches:
        ends = [_outcome(journal, event) for event in batch]
        if "deleted" in ends and "failed" in ends:
            counts = f"{ends.count('deleted')} deleted, {ends.count('failed')} failed"
            return asked.passed(f"one receive of {len(batch)} by {batch[0].who}: {counts}")
    mixed = [b for _, b in batches if len({e.id in history.poison for e in b}) > 1]
    if not mixed:
        return asked.unknown("no receive held good and poison together", history.folder)
    ids = [event.id or "" for event in mixed[0]]
    return asked.failed(
        f"{ids[0]} and its {len(ids) - 1} neighbours ended alike", trace(history, ids)
    )


def _batches(journal: Journal, history: History) -> Iterator[tuple[Journal, list[Event]]]:
    """Receives of one answer stand together in the journal, before anything else happens."""
    mine, batch = set(history.ids), list[Event]()
    for event in journal.events:
        if event.name == "received" and event.id in mine:
            batch.append(event)
        elif batch:
            yield journal, batch
            batch = []


def _outcome(journal: Journal, received: Event) -> str:
    names = [e.name for e in journal.events if e.delivery == received.delivery]
    return next((name for name in ("deleted", "failed") if name in names), "open")


@question(
    "crashed after the effect",
    "for each message, a crash after its completion and a later delivery that finds it completed",
    PRODUCER,
    CONSUMERS,
    TABLES,
)
def crashed_after_effect(asked: Asked, history: History) -> Finding:
    """For each message: the effect is written, then the crash, then a delivery that finds it."""
    crashes, found_done = history.by_id("crash"), history.by_id("already_done", "cached")
    wrong, ids = [], []
    for key in history.ids:
        written = history.row(key).get("completed_at", float("inf"))
        after = [event for event in crashes[key] if event.t >= written]
        if not after or not any(event.t > after[0].t for event in found_done[key]):
            lack = (
                "no delivery after the crash found it done"
                if after
                else "no crash after its completion"
            )
            wrong.append(f"{key}: {lack}, {last_seen(history, key)}")
            ids.append(key)
    total = sum(len(events) for events in crashes.values())
    return asked.judged(wrong, history, ids, f"{total} crashes, {len(crashes)} messages")


@question(
    "scaled out",
    "at least {at_least} consumers at once, then equilibrium",
    PRODUCER,
    CONSUMERS,
    Witness.SCALING,
)
def scaled_out(asked: Asked, history: History, at_least: int = 2) -> Finding:
    """The queue's counts alone decide nothing (quirk 5): the journals must bear them out."""
    ticks = history.scaling
    told = _told(history, [_began(history) + tick.t for tick in ticks])
    where = f"{history.folder}/scaling.jsonl"
    peak = max(tick.consumers for tick in ticks)
    place = next((n for n, tick in enumerate(ticks) if tick.phase == "equilibrium"), None)
    if peak < at_least or place is None:
        seen = f"{peak} at most" + (", and no equilibrium" if peak >= at_least else "")
        differing = difference(ticks, told)
        return (
            asked.unknown(f"{seen}; {differing}", where) if differing else asked.failed(seen, where)
        )
    steady = f"equilibrium with {ticks[place].consumers} after {ticks[place].t:.0f} s"
    doubted = doubt(ticks[:place], told[:place], history.target_latency)
    if doubted:
        return asked.unknown(f"{steady}, but {doubted}", where)
    if not peaked(ticks[:place]):
        return asked.failed(f"{steady}, and no higher backlog before it", where)
    return asked.passed(f"{peak} at most, {steady}")


def _began(history: History) -> float:
    """When a flood began: its producer's journal begins just before its first tick."""
    return history.producer.events[0].t if history.producer else 0.0


def _told(history: History, moments: Sequence[float]) -> list[Told]:
    events = [event for journal in history.consumers for event in journal.events]
    return told_at(moments, history.sent, events)


@question(
    "backlog came down",
    "a backlog that peaks, and falls to nothing",
    PRODUCER,
    CONSUMERS,
    Witness.SCALING,
    Witness.SAMPLES,
)
def backlog_came_down(asked: Asked, history: History) -> Finding:
    """Counts that lag say nothing of an end that the journals tell otherwise."""
    where = f"{history.folder}/samples.jsonl"
    ticks, last = history.scaling, history.samples[-1]
    known = [told.open for told in _told(history, [_began(history) + tick.t for tick in ticks])]
    peak, most = max(tick.backlog for tick in ticks), max(tick.consumers for tick in ticks)
    open_ = _told(history, [last.t])[0].open
    if (peak <= most) != (max(known) <= most) or bool(last.backlog) != bool(open_):
        return asked.unknown(
            f"the queue counted {peak} at its peak and {last.backlog} at the end, the journals "
            f"{max(known)} and {open_}",
            where,
        )
    if peak <= most:
        return asked.failed(f"peak {peak}: there was no backlog to work off", where)
    if last.backlog:
        return asked.failed(f"{peak} at its peak, {last.backlog} at the end", where)
    return asked.passed(f"{peak} at its peak, 0 at the end")
