"""A terminal of a given width that a test looks at: what a program writes to it, line by line."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from support.children import ROOT
from support.environment import base_environment

CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOURS = re.compile(r"\x1b\[[0-9;]*\b(?:3[0-7]|9[0-7])m")


@dataclass(frozen=True)
class Seen:
    """How a program ended and what it wrote, controls and all."""

    code: int
    raw: str

    @property
    def lines(self) -> list[str]:
        """Every line that was shown, also those that were drawn over, without their controls."""
        plain = CONTROLS.sub("", self.raw)
        return [line.rstrip() for line in re.split(r"\r\n|\r|\n", plain)]


def on_terminal(
    command: Sequence[str], environment: Mapping[str, str] | None = None, columns: int = 80
) -> Seen:
    """Run it at the root of the repository on a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {**base_environment(), "TERM": "xterm-256color", "LANG": "C.UTF-8", **(environment or {})}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        raw = _all_of(ours)
    os.close(ours)
    return Seen(child.returncode, raw.decode(errors="replace"))


def _all_of(end: int) -> bytes:
    """Everything until the other end is closed, which Linux tells as an error."""
    read = b""
    while True:
        try:
            part = os.read(end, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            part = b""
        if not part:
            return read
        read += part
