"""The .env rule: settings have one source at a time; knows the file, not what its values mean."""

from collections.abc import Mapping, MutableMapping
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[2] / ".env"


class EnvFileError(ValueError):
    """The file that ENV_FILE names cannot be read; the text names it."""


def load(environ: MutableMapping[str, str]) -> tuple[Mapping[str, str], str]:
    """The settings in force and a line that says where they came from ("" = the environment).

    ENV_FILE names the file (default: the repository's .env; empty or /dev/null: none). With
    QUEUE_URL in `environ` it is not read at all: the rest of it may belong to another queue.
    Otherwise it fills what `environ` lacks; its AWS_* go into `environ` for the SDK to read.
    Raises EnvFileError where the file is named but cannot be read.
    """
    named = environ.get("ENV_FILE")
    path = DEFAULT if named is None else Path(named)
    if named in ("", "/dev/null") or (named is None and not path.exists()):
        return environ, ""
    if environ.get("QUEUE_URL"):
        return environ, f"QUEUE_URL is set in the environment, so {path} is not read"
    values = _values(path)
    added = {name: value for name, value in values.items() if name not in environ}
    environ.update({name: value for name, value in added.items() if name.startswith("AWS_")})
    return {**values, **environ}, f"settings from {path}: {', '.join(added) or 'none'}"


def _values(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # noqa: PLC0415  (--help need not wait for it)

    try:
        with path.open(encoding="utf-8") as stream:
            found = dotenv_values(stream=stream, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"ENV_FILE={str(path)!r}: must be a readable file: {error}") from error
    return {name: value for name, value in found.items() if value is not None}
