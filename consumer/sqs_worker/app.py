"""Builds the consumer from its settings (clients, ports, faults, lanes), starts it and runs it.

A start is tried again while its obstacle may pass by itself.
"""

import logging
import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from . import access, aws, exits, faults, ways
from .business import BusinessKey, requiring_key
from .deletes import Deletes
from .events import Events, Meter, Tally, open_journal, spoken, summary
from .exits import Exit
from .in_flight import Bounds, InFlight
from .ledger import DynamoLedger, NoLedger
from .loop import Loop, Parts
from .message import Identity, identity_of
from .outage import Outage, RetryingLedger
from .pipeline import FinishedIds, Pipeline
from .ports import Down, Inbox, Ledger, QueueFacts, Work
from .receive_limiter import ReceiveLimiter
from .settings import BadSettings, Settings
from .sqs import SqsQueue
from .variables import LONGEST_VISIBILITY

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
SAY_EVERY = 15.0
"""Seconds between two log lines while it waits."""

T = TypeVar("T")
log = logging.getLogger(__name__)


def patiently(start: Callable[[], T], seconds: float) -> T:
    """What `start` returns, tried for `seconds` with exponential backoff and jitter.

    Raises the `Down` of the last try, and at once one that does not pass by itself.
    """
    give_up = time.monotonic() + seconds
    told = -math.inf
    for tries in count():
        try:
            return start()
        except Down as down:
            left = give_up - time.monotonic()
            if not down.passing or left <= 0:
                raise
            if time.monotonic() - told >= SAY_EVERY:
                told = time.monotonic()
                log.warning(
                    "cannot start yet: %s; trying again for up to %.0f s "
                    "(START_TIMEOUT_SECONDS=%g); nothing is received meanwhile",
                    *(down, left, seconds),
                )
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries, 10))
        time.sleep(min(left, random.uniform(longest / 2, longest)))
    raise AssertionError


def run(settings: Settings, source: str) -> int:
    """Run a consumer with these settings to its end; returns the exit code."""
    started = time.monotonic()
    log.info("%s", source)
    meter = Meter()
    try:
        journal = _opened(settings.journal_path)
        ports, facts = patiently(
            partial(_connected, settings, meter, journal), settings.start_timeout_seconds
        )
        _check_heartbeat(settings, facts)
    except (BadSettings, access.RegionError) as error:
        log.error("%s", error)
        return Exit.SETTINGS
    except Down as error:
        log.error("cannot start: %s", error)
        return Exit.AWS
    _say_start(settings, facts, journal)
    if journal.lost:
        return Exit.SETTINGS
    tally = Tally()
    loop = _loop(settings, ports, facts, journal, tally)
    for number in exits.STOPS:
        signal.signal(number, loop.on_signal)
    with ports.way.under_way(loop.grace_left):
        reason = loop.run()
    for number in exits.STOPS:  # the end is near: a late signal must not change the exit code
        signal.signal(number, signal.SIG_IGN)
    figures = summary(tally, meter, started)
    journal.event("stop", reason=reason, signal=loop.signal_name)
    journal.event("summary", **figures)
    log.info("stopped: %s; %s", reason, spoken(figures), extra={"figures": figures})
    if reason == "error":
        return Exit.FAILED
    return Exit.JOURNAL if journal.lost else Exit.OK


def _opened(path: str) -> Events:
    try:
        return open_journal(path)
    except OSError as error:
        raise BadSettings([f"JOURNAL_PATH={path!r}: cannot be written: {error}"]) from error


def _check_heartbeat(settings: Settings, facts: QueueFacts) -> None:
    if settings.heartbeat_seconds and facts.visibility <= settings.heartbeat_seconds:
        raise BadSettings(
            [
                f"HEARTBEAT_SECONDS={settings.heartbeat_seconds:g}: must be below the queue's "
                f"visibility timeout of {facts.visibility} s"
            ]
        )


def _connected(settings: Settings, meter: Meter, journal: Events) -> tuple["_Ports", QueueFacts]:
    """The ports, and what the queue says; raises RegionError, and Down where AWS is of no use."""
    try:
        session = access.opened(settings.queue_url, settings.aws_region or None)
        ports = _ports(settings, session, meter, journal)
    except access.CredentialsError as error:
        raise Down(str(error), passing=aws.is_passing(error.__cause__ or error)) from error
    except (BotoCoreError, ValueError) as error:
        raise aws.down_by(error, Down) from error
    facts = ports.inbox.facts()
    try:
        ports.ledger.probe()
    except Down as down:
        tables = _tables(settings, None if down.passing else session)
        raise Down(f"{tables}: {down}", passing=down.passing) from down
    return ports, facts


def _tables(settings: Settings, session: Any) -> str:
    """The tables that an error is about: those that refuse a read as well, where a session can ask.

    A transaction on two tables that finds one missing does not say which one it is.
    """
    tables = {
        "MESSAGE_STATUS_TABLE": settings.message_status_table,
        "MESSAGE_COMPLETED_TABLE": settings.message_completed_table,
    }
    named = {n: t for n, t in tables.items() if session and not _is_readable(session, t)}
    return ", ".join(f"{name}={table!r}" for name, table in (named or tables).items())


def _is_readable(session: Any, table: str) -> bool:
    keys = [{"message_id": {"S": "probe"}}]
    try:
        session.client("dynamodb", config=_config(1, 3)).batch_get_item(
            RequestItems={table: {"Keys": keys}}
        )
    except (BotoCoreError, ClientError):
        return False
    return True


@dataclass(frozen=True)
class _Ports:
    """The real sides of the path, before any fault is put around them."""

    inbox: SqsQueue
    ledger: DynamoLedger | NoLedger
    way: ways.Way
    crash: faults.Crash


def _ports(settings: Settings, session: Any, meter: Meter, journal: Events) -> _Ports:
    def connect(service: str, seconds: float) -> Any:
        client = session.client(service, config=_config(settings.concurrency, seconds))
        meter.attach(client)
        return client

    receiver = connect("sqs", settings.wait_time_seconds + 5)
    access.check_region(settings.queue_url, receiver.meta.endpoint_url)
    inbox = SqsQueue(
        receiver,
        partial(connect, "sqs"),
        settings.queue_url,
        settings.visibility_timeout_seconds,
        _identify(settings),
    )
    crash = faults.Crash(_crash_point(settings), journal, settings.crash_max_receives)
    choose = partial(ways.chosen, faulty=partial(faults.crashing_calls, crash=crash))
    if not settings.has_tables:
        return _Ports(inbox, NoLedger(), choose(settings, None, journal=journal), crash)
    dynamodb = connect("dynamodb", 3)
    way = choose(settings, dynamodb, journal=journal)
    ledger = DynamoLedger(
        dynamodb,
        (settings.message_status_table, settings.message_completed_table),
        transactional=settings.use_transactional_writes,
        statements=settings.use_partiql_statements,
        joining=way.joining,
    )
    return _Ports(inbox, ledger, way, crash)


def _identify(settings: Settings) -> Callable[[str, str], Identity]:
    key = settings.idempotency_key
    return BusinessKey(key).identify if key else identity_of


def _config(lanes: int, read_timeout: float) -> Config:
    """A connection for each lane and for the thread that settles what is due meanwhile, and two for
    heartbeat and stop. The code builds its parameters itself, so the SDK need not check them; it
    repeats an unanswered call once, and what then remains open is outlasted by `outage` and the
    back-off of a lane, while the messages are kept hidden."""
    return Config(
        max_pool_connections=2 * lanes + 2,
        connect_timeout=min(2.0, read_timeout),
        read_timeout=read_timeout,
        parameter_validation=False,
        retries={"mode": "standard", "total_max_attempts": 2},
        tcp_keepalive=True,
    )


def _loop(
    settings: Settings,
    ports: _Ports,
    facts: QueueFacts,
    journal: Events,
    tally: Tally,
) -> Loop:
    inbox, ledger, work = _with_faults(settings, ports, journal)
    if settings.idempotency_key:
        work = requiring_key(work, tally.count)
    stopping = threading.Event()
    # Without a heartbeat an outage extends, and that has a bound of its own.
    limit = settings.heartbeat_limit_seconds if settings.heartbeat_seconds else LONGEST_VISIBILITY
    bounds = Bounds(facts.visibility, limit, facts.max_receives)
    in_flight = InFlight(inbox, bounds, journal, tally)
    limiter = ReceiveLimiter(
        lanes=settings.concurrency,
        batch=settings.max_messages,
        wait=settings.wait_time_seconds,
        limit=settings.message_limit,
        idle_timeout=settings.idle_timeout_seconds,
    )
    outage = Outage(stopping, journal, limiter.slow_start)
    patient = RetryingLedger(ports.way.telling(ledger), outage, bounds)
    ports.way.outlasting(patient.outlast)
    pipeline = Pipeline(
        ledger=patient,
        work=work,
        in_flight=in_flight,
        deletes=Deletes(inbox, in_flight, journal, tally),
        finished=FinishedIds(settings.idempotency_cache_size),
        journal=journal,
        tally=tally,
        commit_batch=settings.commit_batch,
    )
    parts = Parts(
        inbox=inbox,
        ledger=patient,
        pipeline=pipeline,
        in_flight=in_flight,
        limiter=limiter,
        outage=outage,
        journal=journal,
        tally=tally,
        stopping=stopping,
    )
    return Loop(
        parts,
        lanes=settings.concurrency,
        beat=settings.heartbeat_seconds,
        grace=settings.shutdown_grace_seconds,
    )


def _with_faults(settings: Settings, ports: _Ports, journal: Events) -> tuple[Inbox, Ledger, Work]:
    """Wrap the ports in the failure knobs that are set."""
    inbox, ledger, crash = ports.inbox, ports.ledger, ports.crash
    work = ports.way.after(faults.simulated(settings.sleep_min_seconds, settings.sleep_max_seconds))
    if settings.long_sleep_every:
        work = faults.slow(work, settings.long_sleep_seconds, settings.long_sleep_every)
    if settings.reject_payload_marker:
        work = faults.rejecting(work, settings.reject_payload_marker)
    if settings.crash_rate:
        work = faults.crashing_sometimes(
            work, settings.crash_rate, faults.Crash("in-work", journal)
        )
    if not _crash_point(settings):
        return inbox, ledger, work
    crashing: Any = faults.CrashingLedger(ledger, crash)
    if _crash_point(settings) == "between-writes" and isinstance(ledger, DynamoLedger):
        crashing = faults.CrashBetweenWrites(ledger, crash)
    return faults.CrashingInbox(inbox, crash), crashing, faults.crashing_work(work, crash)


def _crash_point(settings: Settings) -> str:
    if settings.crash_after_receive:
        return "after-work"
    return "after-complete" if settings.crash_after_side_effect else settings.crash_at


def _say_start(settings: Settings, facts: QueueFacts, journal: Events) -> None:
    receives = facts.max_receives or "any number of"
    log.info(
        "consuming %s with %s lane(s): visibility %s s, %s receives before the DLQ, %s",
        settings.queue_url,
        settings.concurrency,
        facts.visibility,
        receives,
        f"claims in {settings.message_status_table}" if settings.has_tables else "no tables",
    )
    journal.event(
        "start",
        pid=os.getpid(),
        queue=settings.queue_url,
        visibility=facts.visibility,
        max_receives=facts.max_receives,
        settings=settings.changed,
    )
