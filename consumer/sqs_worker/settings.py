"""Turns an environment into frozen `Settings`, or into one error that names every problem.

It reads nothing but the mapping that it is given.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .rules import RULES
from .variables import VARIABLES, Variable

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
