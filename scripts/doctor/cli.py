"""Door of the doctor: settings -> journals and AWS -> rules -> report -> exit code; no logic."""

from __future__ import annotations

import argparse
import io
import os
import sys
from enum import IntEnum
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from doctor import live, report
from doctor.findings import Diagnosis, Severity, examine
from doctor.rules import RULES
from doctor.runs import evidence
from sqs_worker import envfile, settings
from sqs_worker.access import CredentialsError, RegionError, shown
from sqs_worker.logs import printable


class Exit(IntEnum):
    """What the exit code of the doctor says."""

    HEALTHY = 0
    """Every question was answered, and no finding is as severe as --fail-on."""
    FINDINGS = 1
    """At least one finding is as severe as --fail-on."""
    SETTINGS = 2
    """A setting of the consumer or an argument was refused; nothing was read."""
    AWS = 3
    """The queue, the credentials or the endpoint cannot be used."""
    NOT_KNOWN = 4
    """No finding is that severe, but some questions are open; --allow-unknown makes it 0."""


def main(arguments: list[str] | None = None) -> int:
    """Look at what the consumer's settings name, and say what will hurt."""
    options = _parser().parse_args(arguments)
    try:
        environ, source = envfile.merged(os.environ)
        chosen = settings.read(environ)
    except settings.BadSettings as error:
        print(error, file=sys.stderr)
        return Exit.SETTINGS
    os.environ.update(environ)  # for boto3, as the consumer does
    paths = options.journal or ([Path(chosen.journal_path)] if chosen.journal_path else [])
    journals = evidence(paths, chosen.queue_url)
    try:
        facts = live.facts(live.connect(chosen), chosen, journals, opening=options.peek)
    except RegionError as error:
        print(f"doctor: {error}", file=sys.stderr)
        return Exit.SETTINGS
    except (live.Unusable, CredentialsError, BotoCoreError, ClientError, ValueError) as error:
        told = printable(" ".join(shown(str(error)).split()))
        print(f"doctor: {chosen.queue_url} cannot be looked at: {told}", file=sys.stderr)
        return Exit.AWS
    diagnosis = examine(facts, RULES)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may be in any script
    if options.json:
        print(report.as_json(facts, diagnosis, source))
    else:
        report.as_text(sys.stdout, facts, diagnosis, source)
    return verdict(diagnosis, Severity[options.fail_on.upper()], allow=options.allow_unknown)


def verdict(diagnosis: Diagnosis, fail_on: Severity, *, allow: bool) -> Exit:
    """Findings first; what is not known is no health."""
    if diagnosis.at_least(fail_on):
        return Exit.FINDINGS
    return Exit.NOT_KNOWN if diagnosis.unanswered and not allow else Exit.HEALTHY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Look at the queue, DLQ and tables that the consumer's settings name, and at "
        "its journal, and say what will hurt. It changes nothing."
    )
    parser.add_argument(
        "--journal",
        type=_file,
        action="append",
        metavar="FILE",
        help="a journal of a consumer on this queue, once for each; default: JOURNAL_PATH",
    )
    parser.add_argument(
        "--peek",
        action="store_true",
        help="open up to 100 messages of the DLQ for a moment, to see which were completed; counts "
        "as a receive of each",
    )
    parser.add_argument(
        "--fail-on",
        choices=[severity.name.lower() for severity in Severity],
        default="warning",
        help="the least severity that makes the exit code 1; default: warning",
    )
    parser.add_argument(
        "--allow-unknown", action="store_true", help="exit 0 also where something is not known"
    )
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    return parser


def _file(text: str) -> Path:
    path = Path(text)
    if "\0" in text or not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r}: no such file")
    return path
