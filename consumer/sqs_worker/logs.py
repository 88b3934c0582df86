"""Log lines, as text or JSON, that no message body or id can forge a line of."""

import json
import logging
import sys

from .access import shown

_LONGEST_LINE = 2000


class _Text(logging.Formatter):
    """One line a record: control characters that came with an id or an error are made visible."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname:<7} {_clean(record)}"
        if not record.exc_info:
            return line
        trace = shown(self.formatException(record.exc_info)).splitlines()
        return "\n".join([line, *(f"  | {printable(part)}" for part in trace)])


class _Json(logging.Formatter):
    """One JSON object a record, with the closing figures as fields of their own."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"t": round(record.created, 3), "level": record.levelname, "text": _clean(record)}
        if hasattr(record, "figures"):
            fields["figures"] = record.figures
        if record.exc_info:
            fields["traceback"] = shown(self.formatException(record.exc_info))
        return json.dumps(fields)


def _clean(record: logging.LogRecord) -> str:
    text = printable(shown(record.getMessage()))
    return (
        text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}… ({len(text)} characters)"
    )


def printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def set_up(level: str, form: str) -> None:
    """Log to standard error from now on: our own at `level`, the SDK's own at WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("sqs_worker").setLevel(level)
