"""What a program shows on a terminal of 80 columns, line by line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from screenshots import terminal
from support.children import ROOT
from support.environment import base_environment

COLUMNS = 80
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


def on_terminal(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Seen:
    """Run it at the root of the repository."""
    env = {**base_environment(), "LANG": "C.UTF-8", **(environment or {})}
    return Seen(*terminal.on_terminal(command, ROOT, env, COLUMNS))
