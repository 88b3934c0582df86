"""Turns arguments and environment into frozen `Settings`, or one refusal of every problem."""

from __future__ import annotations

import argparse
import hashlib
import secrets
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redrive.flags import EPILOG, FLAGS, NATIVE_RATE, Flag, Verb
from redrive.rules import Filter
from sender.access import shown
from sender.env import EnvFileError, load
from sqs_worker.business import BusinessKey

JOURNALS = Path(__file__).resolve().parents[2] / ".local" / "redrive"


NONE_WHERE_EMPTY = frozenset({"region", "profile", "filter", "idempotency-key"})


class BadSettingsError(Exception):
    """Settings were refused; the text has a line for each: name, value, what is allowed."""


@dataclass(frozen=True)
class Settings:
    """What one run is to do: a field for each of `FLAGS`, which say its meaning and unit.

    `insist`: --dlq-arn was given, so it need not be the one of the redrive policy.
    """

    verb: Verb
    queue_url: str
    dlq_arn: str
    insist: bool
    status_table: str
    idempotency_key: BusinessKey | None
    region: str | None
    profile: str | None
    filter: Filter | None
    limit: int
    visibility_timeout: int
    bodies: bool
    json: bool
    rate: float
    dry_run: bool
    max_replays: int
    run: str
    drop_completed: bool
    allow_new_ids: bool
    allow_untagged: bool
    journal_path: str
    source: str

    def journal(self, dlq_arn: str) -> Path:
        """The journal of this DLQ: every run finds that of the runs before."""
        if self.journal_path:
            return Path(self.journal_path)
        name, digest = dlq_arn.rpartition(":")[2], hashlib.sha256(dlq_arn.encode()).hexdigest()
        return JOURNALS / f"{name}-{digest[:8]}.jsonl"


def read(arguments: Sequence[str], environ: MutableMapping[str, str]) -> Settings:
    """Settings of this run; a variable set to the empty string counts as not set.

    Raises BadSettingsError, and SystemExit 0 after --help. Puts the AWS_* of a .env into `environ`.
    """
    given, unknown = parser().parse_known_args(arguments)
    problems = [f"{argument}: unknown argument; see --help" for argument in unknown]
    variables: Mapping[str, str] = environ
    source = ""
    try:
        variables, source = load(environ)
    except EnvFileError as error:
        problems += error.problems
    verb = _verb(given, problems)
    texts = {flag: getattr(given, flag.field) for flag in FLAGS}
    problems += _useless(verb, texts)
    values = _values(texts, _of_this_queue(texts, variables), problems)
    problems += _disagreements(verb, values)
    journal = variables.get("JOURNAL_PATH", "")
    if journal and Path(journal).exists() and not Path(journal).is_file():
        problems.append(f"JOURNAL_PATH={journal!r}: must be a regular file, which can be read back")
    if problems:
        count = f"{len(problems)} bad setting{'s' * (len(problems) > 1)}"
        raise BadSettingsError("\n  ".join([f"{count}; nothing was called:", *problems]))
    values.pop("native")
    values["run"] = values["run"] or time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)
    insist = given.dlq_arn is not None
    return Settings(verb, insist=insist, journal_path=journal, source=source, **values)


def _verb(given: argparse.Namespace, problems: list[str]) -> Verb:
    if given.verb not in ("inspect", "move"):
        problems.append(f"{given.verb!r}: must be inspect or move")
    if given.native and given.verb != "move":
        problems.append("--native: it is a way to move; say: move --native")
    return Verb.NATIVE if given.native else Verb.MOVE if given.verb == "move" else Verb.INSPECT


def _useless(verb: Verb, texts: Mapping[Flag, Any]) -> list[str]:
    """Flags that the verb has no use for: a filter that is not heeded moves what it must not."""
    reason = ": AWS moves everything, unseen" if verb is Verb.NATIVE else ""
    return [
        f"--{flag.name}: no use with {verb}{reason}"
        for flag, text in texts.items()
        if text not in (None, False) and verb not in flag.counts_for and flag.name != "native"
    ]


def _of_this_queue(texts: Mapping[Flag, Any], variables: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, without what belongs to its queue where --queue-url names another one."""
    url = next(text for flag, text in texts.items() if flag.name == "queue-url")
    if url is None or url == variables.get("QUEUE_URL"):
        return variables
    others = ("DLQ_ARN", "MESSAGE_STATUS_TABLE", "IDEMPOTENCY_KEY")
    return {name: value for name, value in variables.items() if name not in others}


def _values(
    texts: Mapping[Flag, Any], variables: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for flag, given in texts.items():
        if flag.kind is None:
            values[flag.field] = given
            continue
        name = flag.variable if given is None else f"--{flag.name}"
        text = variables.get(flag.variable, "") or flag.default if given is None else given
        empty = None if flag.name in NONE_WHERE_EMPTY else ""
        try:
            values[flag.field] = flag.kind.parse(text) if text or given == "" else empty
        except ValueError:
            problems.append(f"{name}={shown(text)!r}: must be {flag.kind.allowed}")
    return values


def _disagreements(verb: Verb, values: Mapping[str, Any]) -> list[str]:
    """What several settings, each well formed, must agree on."""
    problems = []
    if values.get("queue_url") == "":
        problems.append(
            "--queue-url, QUEUE_URL: neither is set; give the URL of a queue"
            " (`make infra-up` or `make local-up` write one to .env)"
        )
    if verb is Verb.NATIVE:
        rate = f"{values.get('rate', 0):.12g}"
        try:
            NATIVE_RATE.parse(rate)
        except ValueError:
            problems.append(f"--rate='{rate}': with --native it must be {NATIVE_RATE.allowed}")
        if not values["allow_new_ids"]:
            problems.append(
                "--native: AWS gives every message a new MessageId and cannot leave out those that"
                " have no other id; say --allow-new-ids if that is meant"
            )
    if values.get("drop_completed") and values.get("status_table") == "":
        problems.append("--drop-completed: no table to ask; set MESSAGE_STATUS_TABLE")
    return problems


class _Help(argparse.RawDescriptionHelpFormatter):
    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return action.metavar if isinstance(action.metavar, str) else default_metavar


def parser() -> argparse.ArgumentParser:
    """Values stay texts, so that all that are bad can be named at once."""
    found = argparse.ArgumentParser(
        description="Look into a dead-letter queue, or move its messages back to their queue.",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=_Help,
        usage="redrive.py [inspect|move] [flags]",
    )
    found.add_argument("verb", nargs="?", default="inspect", help="inspect (default) or move")
    for flag in FLAGS:
        if flag.kind is None:
            found.add_argument(f"--{flag.name}", action="store_true", help=flag.help)
            continue
        default = flag.variable or flag.default
        # A flag without its value becomes '', so that it is named with the other bad ones.
        found.add_argument(
            f"--{flag.name}",
            nargs="?",
            const="",
            metavar=flag.field.upper(),
            help=flag.help + (f" (default: {default})" if default else ""),
        )
    return found
