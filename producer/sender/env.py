"""Reads the .env file: only one configuration source is used, the environment or the file."""

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotenv.parser import Binding

DEFAULT = Path(__file__).resolve().parents[2] / ".env"


class EnvFileError(ValueError):
    """The file cannot be read, or has lines that set nothing; `problems` names it and each line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(environ: MutableMapping[str, str]) -> tuple[Mapping[str, str], str]:
    """The settings in force and a line that says where they came from ("" = the environment).

    ENV_FILE names the file (default: the repository's .env; empty or /dev/null: none). With
    QUEUE_URL in `environ` it is not read at all: the rest of it may belong to another queue.
    Otherwise it fills what `environ` lacks or sets to the empty string; its AWS_* go into `environ`
    for the SDK to read. Raises EnvFileError where the file is named but cannot be read, and for
    each line of a file that sets nothing.
    """
    named = environ.get("ENV_FILE")
    path = DEFAULT if named is None else Path(named)
    if named in ("", "/dev/null") or (named is None and not path.exists()):
        return environ, ""
    if environ.get("QUEUE_URL"):
        return environ, f"QUEUE_URL is set in the environment, so {path} is not read"
    values = _values(path)
    added = {name: value for name, value in values.items() if not environ.get(name)}
    environ.update({name: value for name, value in added.items() if name.startswith("AWS_")})
    return {**environ, **added}, f"settings from {path}: {', '.join(added) or 'none'}"


def _values(path: Path) -> dict[str, str]:
    from dotenv.parser import parse_stream  # noqa: PLC0415  (--help need not wait for it)

    try:
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        problem = f"ENV_FILE={str(path)!r}: must be a readable file: {error}"
        raise EnvFileError([problem]) from error
    # The line itself is not shown: it may hold a secret.
    wrong = [b for b in bindings if b.error or (b.key is not None and b.value is None)]
    if wrong:
        problem = "must be NAME=VALUE, with its quotes closed"
        raise EnvFileError([f"{path}, line {_line(binding)}: {problem}" for binding in wrong])
    return {b.key: b.value for b in bindings if b.key is not None and b.value is not None}


def _line(binding: "Binding") -> int:
    """Its own line: python-dotenv counts from the blank lines before it."""
    text = binding.original.string
    return binding.original.line + text[: -len(text.lstrip())].count("\n")
