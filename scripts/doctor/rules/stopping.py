"""Rules on stops: the time that they get, how the last ones went, and what journals lack."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from doctor.amounts import many, plain, span
from doctor.evidence import COMPARED, End
from doctor.facts import Facts
from doctor.findings import DANGER, NOTE, WARNING, Finding, Rules
from doctor.rules.visibility import works
from sqs_worker.loop import LAST_CALLS

RULES = Rules()

PLATFORM_GRACE = 30
"""Seconds after SIGTERM that ECS grants unless told otherwise, and Kubernetes too (quirk 14)."""


@RULES.rule("does a stop leave time for the longest work?")
def grace(facts: Facts) -> Iterator[Finding]:
    longest = works(facts)[-1]
    abandoned = len(facts.seen().ended(End.ABANDONED))
    granted = facts.settings.shutdown_grace_seconds
    if longest + LAST_CALLS <= granted and not abandoned:
        return
    enough = math.ceil(max(longest, granted if abandoned else 0) + LAST_CALLS + 1)
    yield Finding(
        WARNING,
        f"a stop waits {span(granted)} (SHUTDOWN_GRACE_SECONDS), {span(LAST_CALLS)} of it for its "
        f"last calls; the longest work took {span(longest)}, and {abandoned} were abandoned",
        "unfinished messages are redelivered when their visibility timeout expires, with one "
        "receive less; this happens at every deployment",
        f"SHUTDOWN_GRACE_SECONDS={enough} or more, and as long from the platform; or shorter work",
        {"grace_seconds": granted, "longest_work_seconds": longest, "abandoned": abandoned},
    )


@RULES.rule("does the platform wait as long as the consumer wants to?")
def grace_over_platform(facts: Facts) -> Iterator[Finding]:
    granted = facts.settings.shutdown_grace_seconds
    if granted >= PLATFORM_GRACE:
        yield Finding(
            NOTE,
            f"a stop may take {span(granted)} (SHUTDOWN_GRACE_SECONDS)",
            f"ECS and Kubernetes kill {PLATFORM_GRACE} s after SIGTERM unless they are told "
            "otherwise; what is killed gives nothing back",
            f"stopTimeout or terminationGracePeriodSeconds above {granted:g}, or "
            f"SHUTDOWN_GRACE_SECONDS below {PLATFORM_GRACE}",
            {"grace_seconds": granted},
        )


@RULES.rule("could the journal be read to its end?")
def journal_torn(facts: Facts) -> Iterator[Finding]:
    torn = facts.seen().torn
    if torn:
        yield Finding(
            WARNING,
            f"a journal is damaged: {torn[0]}",
            "what it does not tell is missing from every figure here; a full disk and two programs "
            "that write one file do that",
            "look at the disk; one journal for each consumer",
            {"journals": len(torn)},
        )


@RULES.rule("did the consumers end in order?")
def ended_without_stop(facts: Facts) -> Iterator[Finding]:
    runs = facts.seen().runs
    dead = [run for run in runs if run.reason is None and not run.alive]
    if not dead:
        return
    crashed = [run for run in dead if run.crashed is not None]
    held = len([d for d in facts.seen().ended(End.DIED) if not d.done])
    yield Finding(
        WARNING,
        f"{len(dead)} of {many(len(runs), 'run')} left no stop: {len(crashed)} by a crash setting, "
        f"{len(dead) - len(crashed)} killed (SIGKILL, out of memory), or alive on another machine",
        f"{many(held, 'message')} in hand were given back by nobody: each waits until its "
        "visibility timeout expires, with one receive less",
        "SIGTERM and SHUTDOWN_GRACE_SECONDS to end it; enough memory; no CRASH_ setting",
        {"runs": len(runs), "killed": len(dead) - len(crashed), "crashed": len(crashed)},
    )


@RULES.rule("did a run stop at an error?")
def stopped_by_error(facts: Facts) -> Iterator[Finding]:
    seen = facts.seen()
    stopped = sum(run.reason == "error" for run in seen.runs)
    errors = int(seen.total("errors"))
    if stopped or errors:
        yield Finding(
            DANGER if stopped else WARNING,
            f"{many(errors, 'unforeseen error')}, {many(stopped, 'run')} ended by them",
            "each costs the messages in hand one of their receives; the log has the traceback",
            "look for 'unforeseen error' in the log",
            {"errors": errors, "runs": stopped},
        )


@RULES.rule("was the journal written with these settings?")
def other_settings(facts: Facts) -> Iterator[Finding]:
    then = facts.seen().settings
    now = {name: value for name, value in facts.settings.changed.items() if name in COMPARED}
    differing = [name for name in COMPARED if then.get(name) != now.get(name)]
    if differing:
        told = ", ".join(f"{name} {_was(then, name)}, now {_was(now, name)}" for name in differing)
        yield Finding(
            NOTE,
            f"the journal is of a run with other settings: {told}",
            "measured works, late finishes and lanes are those of that run",
            "run the consumer once with these settings and a JOURNAL_PATH",
            {"settings": len(differing)},
        )


def _was(settings: Mapping[str, Any], name: str) -> str:
    return plain(settings[name]) if name in settings else "default"
