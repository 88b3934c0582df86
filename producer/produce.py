#!/usr/bin/env python3
"""Sends messages to an SQS queue: arguments -> client -> pace -> send -> exit code; no logic."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sender import access, output
from sender.exits import Exit, Stop
from sender.settings import BadSettingsError, Settings, read

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def connect(settings: Settings) -> SQSClient:
    """The client; raises RegionError, CredentialsError and the SDK's own errors."""
    from botocore.config import Config  # noqa: PLC0415  (--help and bad settings need not wait)

    from sender.send import CLIENT  # noqa: PLC0415

    config = Config(**CLIENT, max_pool_connections=settings.concurrency)
    session = access.opened(settings.queue_url, settings.region, settings.profile)
    client = session.client("sqs", config=config)
    access.check_region(settings.queue_url, client.meta.endpoint_url)
    return client


def main() -> int:
    """Run once; the exit code is an `Exit`."""
    stop = Stop()
    stop.install()
    try:
        settings = read(sys.argv[1:], os.environ)
    except BadSettingsError as refused:
        print(refused, file=sys.stderr)
        return Exit.SETTINGS
    if settings.source:
        print(settings.source, file=sys.stderr)

    from sender import journal, report, run, send  # noqa: PLC0415

    try:
        events = journal.Journal(settings.journal_path)
    except OSError as error:
        path = settings.journal_path
        problem = f"JOURNAL_PATH={path!r}: must be a file that can be written: {error.strerror}"
        print(f"{problem}; nothing was sent", file=sys.stderr)
        return Exit.SETTINGS
    try:
        client = connect(settings)
    except access.RegionError as error:
        print(f"{error}; nothing was sent", file=sys.stderr)
        return Exit.SETTINGS
    except (*send.AWS_ERRORS, access.CredentialsError, ValueError) as error:
        # ValueError: a malformed endpoint
        print(f"cannot use AWS; nothing was sent: {send.explain(error)}", file=sys.stderr)
        return Exit.AWS
    told = report.Report(
        settings,
        send.Meter(client).calls,
        events,
        report.display(sys.stderr, settings.n),
    )
    run.produce(settings, send.Sender(client, settings.queue_url).send, told, stop)
    return told.exit(stop)


if __name__ == "__main__":
    output.outlive_readers()
    try:
        sys.exit(main())
    except ModuleNotFoundError as missing:
        requirements = Path(__file__).resolve().with_name("requirements.txt")
        sys.exit(
            f"produce.py: {missing.name} is not installed in {sys.executable}; install into a "
            f"virtual environment: pip install -r {requirements}"
        )
