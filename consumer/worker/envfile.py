"""Decides which `.env`, if any, adds to the environment; one source of settings at a time."""

from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from .settings import BadSettings

REPOSITORY_FILE = Path(__file__).resolve().parents[2] / ".env"


def merged(
    environ: Mapping[str, str], default: Path = REPOSITORY_FILE
) -> tuple[dict[str, str], str]:
    """The environment with what a `.env` adds to it, and a sentence that says what was read.

    A variable that the environment sets wins. Where the environment names the queue, no file is
    read at all: its tables would belong to another queue. ENV_FILE names the file; an empty one
    means none. Values are taken as they stand, `$` included, as in single quotes in a shell.
    Raises BadSettings where ENV_FILE names a file that cannot be read.
    """
    named = environ.get("ENV_FILE")
    path = default if named is None else Path(named)
    if named == "" or (named is None and not path.exists()):
        return dict(environ), "settings come from the environment"
    if environ.get("QUEUE_URL"):
        return dict(environ), f"QUEUE_URL is set in the environment, so {path} is not read"
    return {**_values(path), **environ}, f"settings come from the environment and {path}"


def _values(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8") as stream:
            found = dotenv_values(stream=stream, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings([f"ENV_FILE={str(path)!r}: cannot be read: {error}"]) from error
    return {name: value for name, value in found.items() if value is not None}
