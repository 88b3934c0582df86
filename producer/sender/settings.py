"""Turns arguments and environment into frozen `Settings`, or one refusal of every problem."""

import argparse
import os
import random
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .access import shown
from .env import EnvFileError, load
from .flags import EPILOG, FLAGS, Flag
from .payloads import BYTES_MAX, largest_body


class BadSettingsError(Exception):
    """Settings were refused; the text has a line for each: name, value, what is allowed."""


@dataclass(frozen=True)
class Settings:
    """What one run is to do: a field for each of `FLAGS`, which say its meaning and unit."""

    n: int
    rate: float
    batch_size: int
    poison_count: int
    poison_every: int
    seed: int
    fields: tuple[dict[str, Any], ...] | None
    concurrency: int
    queue_url: str
    region: str | None
    profile: str | None
    journal_path: str
    source: str


def read(arguments: Sequence[str], environ: MutableMapping[str, str]) -> Settings:
    """Settings of this run; a variable set to the empty string counts as not set.

    Raises BadSettingsError, and SystemExit 0 after --help. Puts the AWS_* of a .env into `environ`.
    """
    given, unknown = _parser().parse_known_args(arguments)
    problems = [f"{argument}: unknown argument; see --help" for argument in unknown]
    variables: Mapping[str, str] = environ
    source = ""
    try:
        variables, source = load(environ)
    except EnvFileError as error:
        problems += error.problems
    values: dict[str, Any] = {}
    for flag in FLAGS:
        name, text = _text(flag, getattr(given, flag.name.replace("-", "_")), variables)
        try:
            values[flag.name.replace("-", "_")] = None if text is None else flag.kind.parse(text)
        except ValueError:
            problems.append(f"{name}={shown(text or '')!r}: must be {flag.kind.allowed}")
    journal = variables.get("JOURNAL_PATH", "")
    problems += _disagreements(values, journal)
    if problems:
        count = f"{len(problems)} bad setting{'s' * (len(problems) > 1)}"
        origin = f" ({source})" if source else ""
        raise BadSettingsError("\n  ".join([f"{count}; nothing was sent{origin}:", *problems]))
    if values["seed"] is None:
        values["seed"] = random.SystemRandom().randrange(2**63)
    return Settings(**values, journal_path=journal, source=source)


def _text(flag: Flag, given: str | None, variables: Mapping[str, str]) -> tuple[str, str | None]:
    """The name under which a value was given, and its text; None = nowhere."""
    if given is not None:
        return f"--{flag.name}", given
    return flag.variable, variables.get(flag.variable, "") or flag.default or None


def _disagreements(values: Mapping[str, Any], journal: str) -> list[str]:
    """What several settings, each well formed, must agree on."""
    problems = []
    if values.get("queue_url", "") is None:
        problems.append(
            "--queue-url, QUEUE_URL: neither is set; give the URL of a queue"
            " (`make infra-up` or `make local-up` write one to .env)"
        )
    if (values.get("queue_url") or "").endswith(".fifo"):
        problems.append(
            f"--queue-url, QUEUE_URL={values['queue_url']!r}: a FIFO queue; this producer sends no"
            " MessageGroupId, without which a FIFO queue takes nothing; give a standard queue"
        )
    n, count = values.get("n"), values.get("poison_count", 0)
    if n is not None and count > n and values.get("poison_every") == 0:
        limit = f"0 to {n} (--n)" if n else "0 where --n is 0: use --poison-every"
        problems.append(f"--poison-count='{count}': must be {limit}")
    problems += _too_large(values)
    path = Path(journal)
    if journal and (
        path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)
    ):
        problems.append(f"JOURNAL_PATH={journal!r}: must be a file that can be written")
    return problems


def _too_large(values: Mapping[str, Any]) -> list[str]:
    """Names each object of --fields that makes a body too large, without its long text."""
    poison = bool(values.get("poison_count") or values.get("poison_every"))
    sizes = [largest_body(fields, poison=poison) for fields in values.get("fields") or ()]
    return [
        f"--fields, object {place} of {len(sizes)}: makes a body of {size} bytes: must be"
        f" {BYTES_MAX} (1 MiB) at most, the limit of SQS for one message"
        for place, size in enumerate(sizes, 1)
        if size > BYTES_MAX
    ]


class _Help(argparse.RawDescriptionHelpFormatter):
    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return action.metavar if isinstance(action.metavar, str) else default_metavar


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Send messages to an SQS queue: good ones, and poison ones on request.",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=_Help,
        usage="produce.py [flags]",
    )
    groups = {flag.group: parser.add_argument_group(flag.group) for flag in FLAGS}
    for flag in FLAGS:
        default = flag.variable or flag.default
        # A flag without its value becomes '', so that it is named with the other bad ones.
        groups[flag.group].add_argument(
            f"--{flag.name}",
            nargs="?",
            const="",
            metavar=flag.name.upper().replace("-", "_"),
            help=flag.help + (f" (default: {default})" if default else ""),
        )
    return parser
