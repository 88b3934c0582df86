"""What a terminal shows after a program has written to it, as SVG; it runs nothing.

It knows the few controls that rich uses: the start of the line, a line up, and a line erased.
"""

from __future__ import annotations

import io
import re

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

CONTROL = re.compile(r"(\x1b\[[0-9;?]*[A-Za-z]|\r\n|\n|\r)")
ERASE, UP, COLOUR = "\x1b[2K", re.compile(r"\x1b\[(\d*)A"), re.compile(r"\x1b\[[0-9;]*m")
FONT_FACES = re.compile(r"@font-face \{\{.*?\}\}\s*", re.S)


class Screen:
    """The lines of a terminal, with their colours, and the one that is written to."""

    def __init__(self) -> None:
        self.lines, self._at = [""], 0

    def write(self, raw: str) -> None:
        for part in CONTROL.split(raw):
            if part.endswith("\n"):
                self._down()
            elif part == ERASE:
                self.lines[self._at] = ""
            elif found := UP.fullmatch(part):
                self._at = max(0, self._at - int(found[1] or 1))
            elif COLOUR.fullmatch(part) or not CONTROL.fullmatch(part):
                self.lines[self._at] += part

    def _down(self) -> None:
        self._at += 1
        if self._at == len(self.lines):
            self.lines.append("")


def rest_of(raw: str) -> list[str]:
    """The lines that stay on the screen; what follows a carriage return has erased its line."""
    screen = Screen()
    screen.write(raw)
    lines = screen.lines
    while len(lines) > 1 and not COLOUR.sub("", lines[-1]).strip():
        lines.pop()
    return lines


def as_svg(raw: str, command: str, columns: int) -> str:
    """A picture of the terminal after this command; no font is fetched from anywhere."""
    console = Console(
        record=True, width=columns, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(Text(f"$ {command}", style="bold"))
    for line in rest_of(raw):
        text = Text.from_ansi(line)
        for start in range(0, max(1, len(text)), columns):
            console.print(text[start : start + columns], soft_wrap=True)
    console.print()  # or the picture would cut the last line's descenders off
    code_format = FONT_FACES.sub("", CONSOLE_SVG_FORMAT)
    return console.export_svg(
        title=command, theme=DIMMED_MONOKAI, code_format=code_format, unique_id="terminal"
    )
