"""Builds the consumer from its settings (clients, ports, faults, lanes) and runs it."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from . import early, faults, ways
from .business import BusinessKey, requiring_key
from .cache import FinishedIds
from .exits import Exit
from .holdings import Bounds, Holdings
from .inbox import SqsInbox
from .journal import Events, open_journal
from .ledger import DynamoLedger, NoLedger
from .loop import Loop, Parts
from .message import Identity, identity_of
from .meter import Meter, Tally, spoken, summary
from .outage import Outage, PatientLedger
from .pipeline import Pipeline
from .ports import Inbox, Ledger, LedgerDown, QueueFacts, Work
from .settings import Settings
from .turnstile import Turnstile
from .variables import LONGEST_VISIBILITY

log = logging.getLogger(__name__)


def run(settings: Settings, source: str) -> int:
    """Run a consumer with these settings to its end; returns the exit code."""
    started = time.monotonic()
    log.info("%s", source)
    try:
        journal = open_journal(settings.journal_path)
    except OSError as error:
        log.error("JOURNAL_PATH=%r: cannot be written: %s", settings.journal_path, error)
        return Exit.SETTINGS
    meter, tally = Meter(), Tally()
    try:
        ports = _ports(settings, meter, journal)
        facts = ports.inbox.facts()
        ports.ledger.probe()
    except (BotoCoreError, ClientError, LedgerDown, ValueError) as error:
        log.error("cannot start on %s: %s", settings.queue_url, error)
        return Exit.AWS
    if settings.heartbeat_seconds and facts.visibility <= settings.heartbeat_seconds:
        log.error(
            "HEARTBEAT_SECONDS=%g: must be below the queue's visibility timeout of %s s",
            settings.heartbeat_seconds,
            facts.visibility,
        )
        return Exit.SETTINGS
    _say_start(settings, facts, journal)
    loop = _loop(settings, ports, facts, journal, tally)
    for number in early.STOPS:
        signal.signal(number, loop.on_signal)
    with ports.way.under_way(settings.shutdown_grace_seconds):
        reason = loop.run()
    for number in early.STOPS:  # the end is near: a late signal must not change the exit code
        signal.signal(number, signal.SIG_IGN)
    figures = summary(tally, meter, started)
    journal.event("stop", reason=reason, signal=loop.signal_name)
    journal.event("summary", **figures)
    log.info("stopped: %s; %s", reason, spoken(figures), extra={"figures": figures})
    return Exit.FAILED if reason == "error" else Exit.OK


@dataclass(frozen=True)
class _Ports:
    """The real sides of the path, before any fault is put around them."""

    inbox: SqsInbox
    ledger: DynamoLedger | NoLedger
    way: ways.Way
    crash: faults.Crash


def _ports(settings: Settings, meter: Meter, journal: Events) -> _Ports:
    session = boto3.Session(region_name=settings.aws_region or None)
    lanes = settings.concurrency
    sqs = session.client("sqs", config=_config(lanes, settings.wait_time_seconds + 5))
    meter.attach(sqs)
    inbox = SqsInbox(
        sqs, settings.queue_url, settings.visibility_timeout_seconds, _identify(settings)
    )
    crash = faults.Crash(_crash_point(settings), journal, settings.crash_max_receives)
    choose = partial(ways.chosen, faulty=partial(faults.crashing_calls, crash=crash))
    if not settings.has_tables:
        return _Ports(inbox, NoLedger(), choose(settings, None, journal=journal), crash)
    dynamodb = session.client("dynamodb", config=_config(lanes, 3))
    meter.attach(dynamodb)
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


def _config(lanes: int, read_timeout: int) -> Config:
    """One connection a lane, and two for heartbeat and stop. The code builds its parameters itself,
    so the SDK need not check them; it repeats an unanswered call once, and what then remains open
    is outlasted by `outage` and the back-off of a lane, while the messages are kept hidden."""
    return Config(
        max_pool_connections=lanes + 2,
        connect_timeout=2,
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
    holdings = Holdings(inbox, bounds, journal, tally)
    turnstile = Turnstile(
        lanes=settings.concurrency,
        batch=settings.max_messages,
        wait=settings.wait_time_seconds,
        limit=settings.message_limit,
        idle_timeout=settings.idle_timeout_seconds,
    )
    outage = Outage(stopping, journal, turnstile.slow_start)
    patient = PatientLedger(ports.way.telling(ledger), outage, bounds)
    pipeline = Pipeline(
        inbox=inbox,
        ledger=patient,
        work=work,
        holdings=holdings,
        finished=FinishedIds(settings.idempotency_cache_size),
        journal=journal,
        tally=tally,
        commit_batch=settings.commit_batch,
    )
    parts = Parts(
        inbox=inbox,
        ledger=patient,
        pipeline=pipeline,
        holdings=holdings,
        turnstile=turnstile,
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
