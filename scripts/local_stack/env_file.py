"""Writes and removes the repository's .env, only where that file is its own; knows no AWS.

A value must mean the same to ``source`` in bash and zsh and to python-dotenv, which unescape
differently; what they read differently is refused rather than guessed at.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MARKER = "# Written by make local-up, removed by make local-down; without this line it is yours."


def is_own(path: Path) -> bool:
    """True when the first line says that write() made the file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline().rstrip("\n") == MARKER
    except FileNotFoundError:
        return False


def write(path: Path, values: dict[str, str]) -> bool:
    """Write atomically with mode 600; False, and nothing done, when the file is somebody else's."""
    if path.exists() and not is_own(path):
        return False
    lines = [MARKER, *(f"{name}={quoted(value)}" for name, value in values.items())]
    text = "\n".join(lines) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        path.chmod(0o600)
        return True
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".env.")  # mkstemp makes it mode 600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return True


def remove(path: Path) -> bool:
    """Remove the file if it is our own; say whether it was."""
    own = is_own(path)
    if own:
        path.unlink(missing_ok=True)
    return own


def quoted(value: str) -> str:
    """Quote for shells and python-dotenv alike; raise ValueError where no spelling suits both."""
    # python-dotenv expands ${NAME} in every kind of quotes and unescapes \\ in single quotes;
    # shells expand $, `, \\ and, in zsh and interactive bash, ! in double quotes.
    if "'" not in value and "\\" not in value and "${" not in value:
        return f"'{value}'"
    if not set('"$`\\!') & set(value):
        return f'"{value}"'
    raise ValueError(f"cannot be written to .env so that shell and python-dotenv agree: {value!r}")
