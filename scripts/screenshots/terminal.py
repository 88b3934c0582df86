"""Runs a program on a terminal of a given width and reads what it writes; it judges nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

HEIGHT = 50


def on_terminal(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], columns: int
) -> tuple[int, str]:
    """Its exit code and everything that it wrote, controls and all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, columns, 0, 0))
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as child:
        os.close(theirs)
        written = _all_of(ours)
    os.close(ours)
    return child.returncode, written.decode(errors="replace")


def _all_of(end: int) -> bytes:
    """Everything until the other end is closed, which Linux tells as an error."""
    read = b""
    try:
        while part := os.read(end, 65536):
            read += part
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    return read
