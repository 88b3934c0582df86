"""Turns an environment into frozen `Settings`, or into one error that names every problem.

It also holds the rules between settings. It reads nothing but the mapping that it is given.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .variables import CALL_POINTS, VARIABLES, Variable


@dataclass(frozen=True)
class Rule:
    """Something that several settings must agree on; `broken` sees only well-formed values."""

    names: frozenset[str]
    broken: Callable[[Mapping[str, Any]], bool]
    problem: str


def _rule(problem: str, broken: Callable[[Mapping[str, Any]], bool], *names: str) -> Rule:
    return Rule(frozenset(names), broken, problem)


_TABLES = ("MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE")
SHORTEST_BEAT = 0.1
"""Seconds: ten beats within the shortest visibility timeout. Below it a heartbeat extends nothing
that the beat before did not, and spends a call to SQS each time."""
_CRASHES = ("CRASH_AFTER_RECEIVE", "CRASH_AFTER_SIDE_EFFECT", "CRASH_AT")

RULES = (
    _rule(
        "QUEUE_URL: not set; give the queue to poll (`make infra-up` or `make local-up` write it)",
        lambda v: not v["QUEUE_URL"],
        "QUEUE_URL",
    ),
    _rule(
        "QUEUE_URL={QUEUE_URL!r}: a FIFO queue; this consumer does not keep the order within a "
        "message group once a message of it has failed, so give it a standard queue",
        lambda v: v["QUEUE_URL"].endswith(".fifo"),
        "QUEUE_URL",
    ),
    _rule(
        "MESSAGE_STATUS_TABLE={MESSAGE_STATUS_TABLE!r}, "
        "MESSAGE_COMPLETED_TABLE={MESSAGE_COMPLETED_TABLE!r}: set both tables or neither",
        lambda v: bool(v["MESSAGE_STATUS_TABLE"]) != bool(v["MESSAGE_COMPLETED_TABLE"]),
        *_TABLES,
    ),
    _rule(
        "MESSAGE_STATUS_TABLE, MESSAGE_COMPLETED_TABLE={MESSAGE_STATUS_TABLE!r}: "
        "must be two different tables",
        lambda v: (
            bool(v["MESSAGE_STATUS_TABLE"])
            and v["MESSAGE_STATUS_TABLE"] == v["MESSAGE_COMPLETED_TABLE"]
        ),
        *_TABLES,
    ),
    _rule(
        "USE_TRANSACTIONAL_WRITES=1: needs MESSAGE_STATUS_TABLE and MESSAGE_COMPLETED_TABLE",
        lambda v: v["USE_TRANSACTIONAL_WRITES"] and not v["MESSAGE_STATUS_TABLE"],
        "USE_TRANSACTIONAL_WRITES",
        "MESSAGE_STATUS_TABLE",
    ),
    _rule(
        "USE_PARTIQL_STATEMENTS=1: needs MESSAGE_STATUS_TABLE and MESSAGE_COMPLETED_TABLE",
        lambda v: v["USE_PARTIQL_STATEMENTS"] and not v["MESSAGE_STATUS_TABLE"],
        "USE_PARTIQL_STATEMENTS",
        "MESSAGE_STATUS_TABLE",
    ),
    _rule(
        "USE_PARTIQL_STATEMENTS=1, MESSAGE_STATUS_TABLE={MESSAGE_STATUS_TABLE!r}, "
        "MESSAGE_COMPLETED_TABLE={MESSAGE_COMPLETED_TABLE!r}: "
        "a statement names a table, not an ARN",
        lambda v: (
            v["USE_PARTIQL_STATEMENTS"] and any(v[name].startswith("arn:") for name in _TABLES)
        ),
        "USE_PARTIQL_STATEMENTS",
        *_TABLES,
    ),
    _rule(
        "IDEMPOTENCY_KEY={IDEMPOTENCY_KEY!r}: needs MESSAGE_STATUS_TABLE and "
        "MESSAGE_COMPLETED_TABLE, which remember the keys",
        lambda v: v["IDEMPOTENCY_KEY"] and not v["MESSAGE_STATUS_TABLE"],
        "IDEMPOTENCY_KEY",
        "MESSAGE_STATUS_TABLE",
    ),
    _rule(
        "CRASH_AFTER_SIDE_EFFECT=1: needs MESSAGE_STATUS_TABLE and MESSAGE_COMPLETED_TABLE, "
        "without them there is no side effect to crash after",
        lambda v: v["CRASH_AFTER_SIDE_EFFECT"] and not v["MESSAGE_STATUS_TABLE"],
        "CRASH_AFTER_SIDE_EFFECT",
        "MESSAGE_STATUS_TABLE",
    ),
    _rule(
        "CRASH_AFTER_RECEIVE={CRASH_AFTER_RECEIVE:d}, "
        "CRASH_AFTER_SIDE_EFFECT={CRASH_AFTER_SIDE_EFFECT:d}, CRASH_AT={CRASH_AT!r}: "
        "set one of them, a consumer dies at one boundary only",
        lambda v: sum(bool(v[name]) for name in _CRASHES) > 1,
        *_CRASHES,
    ),
    _rule(
        "CRASH_AT={CRASH_AT!r}: there is that boundary only in plain mode, "
        "with the tables and USE_TRANSACTIONAL_WRITES=0",
        lambda v: (
            v["CRASH_AT"] == "between-writes"
            and (v["USE_TRANSACTIONAL_WRITES"] or not v["MESSAGE_STATUS_TABLE"])
        ),
        "CRASH_AT",
        "USE_TRANSACTIONAL_WRITES",
        "MESSAGE_STATUS_TABLE",
    ),
    _rule(
        "CRASH_AT='in-heartbeat': needs HEARTBEAT_SECONDS above 0",
        lambda v: v["CRASH_AT"] == "in-heartbeat" and not v["HEARTBEAT_SECONDS"],
        "CRASH_AT",
        "HEARTBEAT_SECONDS",
    ),
    _rule(
        "EFFECT_URL={EFFECT_URL!r}, EFFECT_MODE={EFFECT_MODE!r}: set both or neither",
        lambda v: bool(v["EFFECT_URL"]) != bool(v["EFFECT_MODE"]),
        "EFFECT_URL",
        "EFFECT_MODE",
    ),
    _rule(
        "EFFECT_MODE={EFFECT_MODE!r}: keeps its records in MESSAGE_STATUS_TABLE; set both tables",
        lambda v: v["EFFECT_MODE"] in {"outbox", "saga"} and not v["MESSAGE_STATUS_TABLE"],
        "EFFECT_MODE",
        "MESSAGE_STATUS_TABLE",
    ),
    _rule(
        "EFFECT_MODE='outbox': needs USE_TRANSACTIONAL_WRITES=1, "
        "the intent is part of the completion's transaction",
        lambda v: v["EFFECT_MODE"] == "outbox" and not v["USE_TRANSACTIONAL_WRITES"],
        "EFFECT_MODE",
        "USE_TRANSACTIONAL_WRITES",
    ),
    _rule(
        "EFFECT_MODE='outbox', COMMIT_BATCH={COMMIT_BATCH}: must be 1, "
        "two intents of one transaction could want the same row",
        lambda v: v["EFFECT_MODE"] == "outbox" and v["COMMIT_BATCH"] > 1,
        "EFFECT_MODE",
        "COMMIT_BATCH",
    ),
    _rule(
        "CRASH_AT={CRASH_AT!r}: EFFECT_MODE={EFFECT_MODE!r} makes no such call; "
        "saga makes all six, the other ways charge",
        lambda v: (
            v["CRASH_AT"] in CALL_POINTS
            and v["EFFECT_MODE"] != "saga"
            and not (v["EFFECT_MODE"] and v["CRASH_AT"].endswith("-charge"))
        ),
        "CRASH_AT",
        "EFFECT_MODE",
    ),
    _rule(
        "CRASH_MAX_RECEIVES={CRASH_MAX_RECEIVES}: needs CRASH_AT, CRASH_AFTER_RECEIVE or "
        "CRASH_AFTER_SIDE_EFFECT",
        lambda v: (
            v["CRASH_MAX_RECEIVES"]
            and not (v["CRASH_AT"] or v["CRASH_AFTER_RECEIVE"] or v["CRASH_AFTER_SIDE_EFFECT"])
        ),
        "CRASH_MAX_RECEIVES",
        "CRASH_AT",
        "CRASH_AFTER_RECEIVE",
        "CRASH_AFTER_SIDE_EFFECT",
    ),
    _rule(
        "SLEEP_MIN_SECONDS={SLEEP_MIN_SECONDS:g}, SLEEP_MAX_SECONDS={SLEEP_MAX_SECONDS:g}: "
        "the least must not be above the most",
        lambda v: v["SLEEP_MIN_SECONDS"] > v["SLEEP_MAX_SECONDS"],
        "SLEEP_MIN_SECONDS",
        "SLEEP_MAX_SECONDS",
    ),
    _rule(
        "LONG_SLEEP_SECONDS={LONG_SLEEP_SECONDS:g}, LONG_SLEEP_EVERY={LONG_SLEEP_EVERY}: "
        "set both above 0 or neither",
        lambda v: bool(v["LONG_SLEEP_SECONDS"]) != bool(v["LONG_SLEEP_EVERY"]),
        "LONG_SLEEP_SECONDS",
        "LONG_SLEEP_EVERY",
    ),
    _rule(
        "HEARTBEAT_SECONDS={HEARTBEAT_SECONDS:g}: must be 0 (off), or 0.1 or more; no visibility "
        "timeout is below 1 s, and each beat is a call to SQS",
        lambda v: 0 < v["HEARTBEAT_SECONDS"] < SHORTEST_BEAT,
        "HEARTBEAT_SECONDS",
    ),
    _rule(
        "HEARTBEAT_SECONDS={HEARTBEAT_SECONDS:g}: must be below "
        "VISIBILITY_TIMEOUT_SECONDS={VISIBILITY_TIMEOUT_SECONDS}, or messages expire between beats",
        lambda v: (
            v["VISIBILITY_TIMEOUT_SECONDS"] is not None
            and 0 < v["HEARTBEAT_SECONDS"] >= v["VISIBILITY_TIMEOUT_SECONDS"]
        ),
        "HEARTBEAT_SECONDS",
        "VISIBILITY_TIMEOUT_SECONDS",
    ),
    _rule(
        "HEARTBEAT_SECONDS={HEARTBEAT_SECONDS:g}: must not be above "
        "HEARTBEAT_LIMIT_SECONDS={HEARTBEAT_LIMIT_SECONDS:g}, or no beat extends anything",
        lambda v: v["HEARTBEAT_SECONDS"] > v["HEARTBEAT_LIMIT_SECONDS"],
        "HEARTBEAT_SECONDS",
        "HEARTBEAT_LIMIT_SECONDS",
    ),
    _rule(
        "SHUTDOWN_GRACE_SECONDS={SHUTDOWN_GRACE_SECONDS:g}: must be above "
        "WAIT_TIME_SECONDS={WAIT_TIME_SECONDS}, or a stop may forget what an open long poll brings",
        lambda v: v["SHUTDOWN_GRACE_SECONDS"] <= v["WAIT_TIME_SECONDS"],
        "SHUTDOWN_GRACE_SECONDS",
        "WAIT_TIME_SECONDS",
    ),
)


NAMES = frozenset(variable.name for variable in VARIABLES)
_CLOSE = 0.9
_UNIT = re.compile("_(S|SECS?|SECOND|MS|MILLISECONDS|MINUTES)$")
"""What may stand in place of `_SECONDS`; nothing may as well: HEARTBEAT=1."""
"""How alike two names are, of 1, when one is taken for a slip of the pen."""


class BadSettings(Exception):
    """One or more settings were refused; the text has a line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """Typed settings, a field for each of `VARIABLES`, which say what each means and its unit."""

    queue_url: str
    aws_region: str
    start_timeout_seconds: float
    wait_time_seconds: int
    max_messages: int
    concurrency: int
    commit_batch: int
    visibility_timeout_seconds: int | None
    heartbeat_seconds: float
    heartbeat_limit_seconds: float
    shutdown_grace_seconds: float
    sleep_min_seconds: float
    sleep_max_seconds: float
    long_sleep_seconds: float
    long_sleep_every: int
    crash_rate: float
    crash_after_receive: bool
    crash_after_side_effect: bool
    crash_at: str
    crash_max_receives: int
    idempotency_key: str
    idempotency_cache_size: int
    message_limit: int
    idle_timeout_seconds: float
    reject_payload_marker: str
    message_status_table: str
    message_completed_table: str
    use_transactional_writes: bool
    use_partiql_statements: bool
    effect_url: str
    effect_mode: str
    effect_timeout_seconds: float
    log_level: str
    log_format: str
    journal_path: str
    env_file: str

    @property
    def has_tables(self) -> bool:
        """Whether claims and completions are recorded at all."""
        return bool(self.message_status_table)

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that are not at their default, by variable name."""
        values = {variable.name: getattr(self, variable.name.lower()) for variable in VARIABLES}
        return {
            variable.name: values[variable.name]
            for variable in VARIABLES
            if values[variable.name] != _value(variable, variable.default)
        }


def read(environ: Mapping[str, str]) -> Settings:
    """Settings from an environment; a variable set to the empty string counts as not set.

    Raises BadSettings with one line for every problem: name, value, what is allowed.
    """
    values: dict[str, Any] = {}
    problems = _misspelt(environ)
    for variable in VARIABLES:
        text = environ.get(variable.name) or variable.default
        try:
            values[variable.name] = _value(variable, text)
        except (ValueError, KeyError):
            problems.append(
                f"{variable.name}={_shown(variable, text)!r}: must be {variable.allowed}"
            )
    problems += [
        rule.problem.format(**values)
        for rule in RULES
        if values.keys() >= rule.names and rule.broken(values)
    ]
    if problems:
        raise BadSettings(problems)
    return Settings(**{name.lower(): value for name, value in values.items()})


def usage() -> str:
    """What `--help` says: every variable with its default, its meaning and what is allowed."""
    lines = ["usage: [NAME=VALUE ...] python consume.py", "", "Every setting is a variable:"]
    for variable in VARIABLES:
        lines.append(f"  {variable.name}={variable.default}")
        lines.append(f"      {variable.help} ({variable.allowed})")
    return "\n".join(lines)


def _value(variable: Variable, text: str) -> Any:
    if text:
        return variable.parse(text)
    return None if variable.kind in {"integer", "number"} else ""


def _shown(variable: Variable, text: str) -> str:
    """A refused value as it may be printed: of an address, no user and no password."""
    if variable.kind not in {"address", "url"}:
        return text
    return re.sub(r"^(https?:/*)?.*@", r"\1***@", text, flags=re.DOTALL)


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    """Names that are almost one of ours: a typo must not silently leave a default in force."""
    problems = []
    for name in sorted(environ.keys() - NAMES):
        in_seconds = _UNIT.sub("", name.upper()) + "_SECONDS"
        close = difflib.get_close_matches(name.upper(), NAMES, n=1, cutoff=_CLOSE)
        close = close or [one for one in NAMES if one == in_seconds]
        if close and (close[0] == name.upper() or not name.upper().startswith("AWS_")):
            shown = name if name.isprintable() else repr(name)
            text = _shown(next(v for v in VARIABLES if v.name == close[0]), environ[name])
            problems.append(f"{shown}={text!r}: no such setting; did you mean {close[0]}?")
    return problems
