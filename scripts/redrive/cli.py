"""Door of the redrive: arguments -> clients -> inspect, move or native -> exit code; no logic."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TextIO

from redrive import runs
from redrive.exits import AWS_ERRORS, Exit, RedriveError, explain
from redrive.flags import Verb
from redrive.runlog import BusyError
from redrive.settings import BadSettingsError, read
from sender.access import CredentialsError, RegionError
from sender.exits import Stop


def main() -> int:
    """Run once; the exit code is an `Exit`."""
    stop = Stop()
    stop.install()
    try:
        settings = read(sys.argv[1:], os.environ)
    except BadSettingsError as refused:
        _complain(str(refused))
        return Exit.SETTINGS
    if settings.source:
        _complain(settings.source)
    verbs = {Verb.INSPECT: runs.inspect, Verb.MOVE: runs.move, Verb.NATIVE: runs.native}
    verb = runs.inspect if settings.dry_run else verbs[settings.verb]
    try:
        return verb(runs.Run(settings, runs.clients(settings), stop, _say, _complain))
    except BusyError as busy:
        _complain(f"redrive: {busy}")
        return Exit.BUSY
    except RegionError as error:
        _complain(f"{error}; nothing was called")
        return Exit.SETTINGS
    except (*AWS_ERRORS, CredentialsError, RedriveError, OSError, ValueError) as error:
        # ValueError: a malformed endpoint
        _complain(f"redrive: {explain(error)}")
    return Exit.AWS


def _say(line: str) -> None:
    print(_fitted(line, sys.stdout))


def _complain(line: str) -> None:
    print(_fitted(line, sys.stderr), file=sys.stderr, flush=True)


def _fitted(line: str, stream: TextIO) -> str:
    """Broken between words on a terminal; one line in a file, since a log is searched."""
    width = shutil.get_terminal_size().columns
    if not stream.isatty() or len(line) <= width:
        return line
    words = textwrap.TextWrapper(
        width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(words.fill(part) for part in line.splitlines())
