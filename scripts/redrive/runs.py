"""One run from its clients to its exit code: inspect, move, or let AWS move."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redrive import show
from redrive.dead_letters import NO_RECORD, NoRecords, Records
from redrive.exits import AWS_ERRORS, Exit, RedriveError, explain
from redrive.mover import Mover
from redrive.native import State, Task
from redrive.queues import Pair, Queues, find_pair
from redrive.rules import Fate, Rules, Why, decide
from redrive.runlog import RunLog, recalled
from redrive.settings import Settings
from redrive.walk import Schedule, Walk
from sender import access
from sender.exits import Stop
from sqs_worker.message import identity_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

PROGRESS_SECONDS = 10.0
POLL_SECONDS = 2.0  # between two looks at a task of AWS


@dataclass(frozen=True)
class Clients:
    """`sender` never repeats a call by itself; `calls` counts what leaves the process."""

    sqs: SQSClient
    sender: SQSClient
    dynamodb: DynamoDBClient
    calls: Callable[[], Counter[str]]


@dataclass(frozen=True)
class Run:
    """What a run works with; `say` is for results, `note` for what happens on the way."""

    settings: Settings
    clients: Clients
    stop: Stop
    say: Callable[[str], None]
    note: Callable[[str], None]

    def stopped(self) -> bool:
        return self.stop.caught is not None

    def pair(self) -> Pair:
        """The queue and its DLQ; raises RedriveError and AWS's errors."""
        wanted = self.settings
        sqs = self.clients.sqs
        pair = find_pair(sqs, wanted.queue_url, wanted.dlq_arn, insist=wanted.insist)
        if pair.spends_receives:
            self.note(f"{pair.dlq_arn} has a redrive policy itself: each look spends a receive")
        return pair

    def queues(self, pair: Pair) -> Queues:
        hidden = self.settings.visibility_timeout
        key = self.settings.idempotency_key
        identify = key.identify if key else identity_of
        return Queues(self.clients.sqs, self.clients.sender, pair, hidden, identify)

    def records(self) -> Records:
        table = self.settings.status_table
        return Records(self.clients.dynamodb, table) if table else NoRecords()

    def warn_of_business_keys(self, records: Records) -> None:
        """Say that the consumers counted by a key that this run was not told of."""
        asked = self.settings
        if asked.idempotency_key:
            return
        try:
            if records.has_business_keys():
                self.note(
                    f"warning: {asked.status_table} has rows under key#, which a consumer with"
                    " IDEMPOTENCY_KEY wrote, and IDEMPOTENCY_KEY is not set here. A consumer"
                    " without it counts moved messages by their id: it completes those that were"
                    " refused for their key or their changed payload. Start the consumers with the"
                    " same IDEMPOTENCY_KEY, and set it here to see what the rows say"
                )
        except AWS_ERRORS as error:
            self.note(
                f"cannot look for rows under key# in {asked.status_table}, so nobody knows whether"
                f" its consumers set IDEMPOTENCY_KEY: {explain(error)}"
            )

    def rules(self, pair: Pair) -> Rules:
        asked = self.settings
        return Rules(
            run=asked.run,
            queue_arn=pair.queue_arn,
            max_bytes=pair.max_bytes,
            filter=asked.filter,
            max_replays=asked.max_replays,
            allow_new_ids=asked.allow_new_ids,
            allow_untagged=asked.allow_untagged,
            drop_completed=asked.drop_completed,
        )

    def ended(self, code: Exit) -> Exit:
        """The code, unless a signal ended the run."""
        caught = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}
        return caught[self.stop.caught] if self.stop.caught else code


def inspect(run: Run) -> Exit:
    """Show what is in the DLQ, or what a move would do; everything is given back."""
    pair, asked = run.pair(), run.settings
    records, rules, memory = run.records(), run.rules(pair), recalled(asked.journal(pair.dlq_arn))
    schedule = Schedule(0, asked.limit, run.stopped)
    walk = Walk(run.queues(pair), asked.visibility_timeout, schedule.due, run.stopped)
    run.warn_of_business_keys(records)
    rows = []
    with _given_back(walk, run):
        for letters in walk:
            known = records.of(letter.key for letter in letters)
            for letter in letters:
                record, now = known.get(letter.key, NO_RECORD), time.time()
                decision = decide(letter, record, rules, memory, now)
                if asked.dry_run or decision.why is not Why.FILTERED:
                    rows.append(show.seen(letter, record, decision, now, body=asked.bodies))
            schedule.took(len(letters))
    lines = show.as_json(rows) if asked.json else show.listing(rows, dry_run=asked.dry_run)
    for line in lines:
        run.say(line)
    if walk.in_other_hands:
        run.note(f"about {walk.in_other_hands} more are hidden by somebody else")
    return run.ended(Exit.OK)


def move(run: Run) -> Exit:
    """Send each message back to the queue, then delete it from the DLQ."""
    pair, asked = run.pair(), run.settings
    queues, records = run.queues(pair), run.records()
    run.warn_of_business_keys(records)
    schedule = Schedule(asked.rate, asked.limit, run.stopped)
    walk = Walk(queues, asked.visibility_timeout, schedule.due, run.stopped)
    with RunLog(asked.journal(pair.dlq_arn)) as log:
        log.write([{"event": "start", "run": asked.run, "dlq": pair.dlq_arn}])
        run.note(f"run {asked.run}: {pair.dlq_arn} -> {pair.queue_url}; journal {log.path}")
        mover = Mover(queues, log, run.rules(pair), walk.gone)
        with _given_back(walk, run) as given_back:
            code = _move_all(run, walk, schedule, mover, records)
        mover.tally.in_other_hands = walk.in_other_hands
        if walk.saw_all:
            mover.tally.all_seen()
        mover.tally.not_given_back = sum(given_back)
        for line in show.summary(mover.tally, run.clients.calls()):
            run.say(line)
        counts = {fate.name.lower(): count for fate, count in mover.tally.fates.items()}
        with suppress(OSError):  # what a full disk stopped has been told
            log.write(
                [{"event": "summary", "calls": run.clients.calls(), "run": asked.run, **counts}]
            )
    if run.stopped():
        run.note("stopped; run it again to go on")
    return run.ended(code if code or mover.tally.whole else Exit.FAILED)


def _move_all(run: Run, walk: Walk, schedule: Schedule, mover: Mover, records: Records) -> Exit:
    told = time.monotonic()
    fates = mover.tally.fates
    try:
        for letters in walk:
            known = records.of(letter.key for letter in letters)
            schedule.took(mover.take(letters, known))
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                run.note(f"{fates[Fate.MOVE]} moved, {fates[Fate.KEEP]} kept")
    except (*AWS_ERRORS, RedriveError, OSError) as error:
        run.note(f"redrive: it ends here: {explain(error)}")
        touched = fates.total() - fates[Fate.KEEP]
        return Exit.FAILED if touched else Exit.AWS
    return Exit.OK


@contextmanager
def _given_back(walk: Walk, run: Run) -> Iterator[list[int]]:
    """Whatever ends it: all that is held is visible again. Yields how many could not be."""
    failed: list[int] = []
    try:
        yield failed
    finally:
        try:
            failed.append(walk.give_back())
        except AWS_ERRORS as error:
            hidden = run.settings.visibility_timeout
            run.note(f"what was received stays hidden for {hidden} s at most: {explain(error)}")


def native(run: Run) -> Exit:
    """Have AWS move everything; a signal cancels the task."""
    pair = run.pair()
    run.warn_of_business_keys(run.records())
    task = Task(run.clients.sqs, pair.dlq_arn, int(run.settings.rate))
    word = "follows the one that is at work" if task.found_running else "has begun"
    run.note(f"a move task of AWS {word}: {pair.dlq_arn} -> the queues that its messages came from")
    found = task.follow(run.stopped, lambda: time.sleep(POLL_SECONDS))
    run.say(show.native_summary(found, run.clients.calls()))
    return run.ended(Exit.OK if found.state is State.COMPLETED else Exit.FAILED)


def clients(settings: Settings) -> Clients:
    """Raises RegionError, CredentialsError, and ValueError for a malformed endpoint."""
    from botocore.config import Config  # noqa: PLC0415  (--help and bad settings need not wait)

    from sender.send import Meter  # noqa: PLC0415

    session = access.opened(settings.queue_url, settings.region, settings.profile)
    times: Any = {"connect_timeout": 5, "read_timeout": 20}
    steady = Config(retries={"mode": "standard"}, **times)
    once = Config(retries={"mode": "standard", "total_max_attempts": 1}, **times)
    sqs = session.client("sqs", config=steady)
    access.check_region(settings.queue_url, sqs.meta.endpoint_url)
    sender = session.client("sqs", config=once)
    meters = [Meter(sqs).calls, Meter(sender).calls]
    dynamodb = session.client("dynamodb", config=steady)
    meters.append(Meter(dynamodb).calls)  # type: ignore[arg-type]

    def calls() -> Counter[str]:
        return sum(meters, Counter())

    return Clients(sqs, sender, dynamodb, calls)
