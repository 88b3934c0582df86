"""Decides which `.env`, if any, adds to the environment; one source of settings at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .settings import BadSettings

if TYPE_CHECKING:
    from dotenv.parser import Binding

REPOSITORY_FILE = Path(__file__).resolve().parents[2] / ".env"


def merged(
    environ: Mapping[str, str], default: Path = REPOSITORY_FILE
) -> tuple[dict[str, str], str]:
    """The environment with what a `.env` adds to it, and a sentence that says what was read.

    A variable that the environment sets wins; one that it sets to the empty string counts as not
    set. Where the environment names the queue, no file is read at all: its tables would belong to
    another queue. ENV_FILE names the file; an empty one means none. Values are taken as they stand,
    `$` included, as in single quotes in a shell; a byte order mark, as editors on Windows
    write it, is skipped. Raises BadSettings where ENV_FILE names a file
    that cannot be read, and for each line of a file that sets nothing.
    """
    named = environ.get("ENV_FILE")
    path = default if named is None else Path(named)
    if named == "" or (named is None and not path.exists()):
        return dict(environ), "settings come from the environment"
    if environ.get("QUEUE_URL"):
        return dict(environ), f"QUEUE_URL is set in the environment, so {path} is not read"
    added = {name: value for name, value in _values(path).items() if not environ.get(name)}
    return {**environ, **added}, f"settings come from the environment and {path}"


def _values(path: Path) -> dict[str, str]:
    from dotenv.parser import parse_stream  # noqa: PLC0415 - without it --help can still be had

    try:
        with path.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings([f"ENV_FILE={str(path)!r}: cannot be read: {error}"]) from error
    # The line itself is not shown: it may hold a secret.
    wrong = [b for b in bindings if b.error or (b.key is not None and b.value is None)]
    if wrong:
        problem = "must be NAME=VALUE, with its quotes closed"
        raise BadSettings([f"{path}, line {_line(binding)}: {problem}" for binding in wrong])
    found = {b.key: b.value for b in bindings if b.key is not None and b.value is not None}
    unfit = [name for name, value in found.items() if not _fits(name, value)]
    if unfit:
        problem = "no environment can hold it: a NUL, no name, or a name with '='"
        raise BadSettings([f"{path}: {name!r}: {problem}" for name in unfit])
    return found


def _fits(name: str, value: str) -> bool:
    """Whether a process can have it in its environment, where the SDK looks for its own."""
    return bool(name) and "=" not in name and "\0" not in name + value


def _line(binding: "Binding") -> int:
    """Its own line: python-dotenv counts from the blank lines before it."""
    text = binding.original.string
    return binding.original.line + text[: -len(text.lstrip())].count("\n")
