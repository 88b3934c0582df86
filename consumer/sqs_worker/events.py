"""Records what the process does: events as JSON lines in a file, and counts of calls and outcomes.

It knows no meaning of an event. Calls are counted where botocore sends them, retries included.
"""

import json
import logging
import os
import stat
import time
from collections import Counter
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

log = logging.getLogger(__name__)


class Named(Protocol):
    """What an event can be about: a delivery, or a request to a service outside."""

    @property
    def names(self) -> dict[str, str]: ...


class Journal:
    """Events as JSON lines, each on disk when `event` returns: even `os._exit` loses none.

    The file is opened for append and each line is one `write`, so lines of several processes stay
    apart. The file is readable by its owner only. `lost` is True from the first line that could not
    be written; nothing is written after it, because a journal with a gap is not evidence.
    """

    def __init__(self, path: Path, who: str) -> None:
        self._path = path
        self._who = who
        self._lock = Lock()  # the rest of a short write must follow its beginning
        self.lost = False
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        # A device that takes no data refuses even zero bytes.
        os.write(self._file, b"\n" if _ends_torn(self._file, path) else b"")

    def event(self, event: str, about: Named | None = None, **fields: Any) -> None:
        """Append one event, with the names of what it is about, if anything. Never raises."""
        names = about.names if about else {}
        line = {"t": round(time.time(), 6), "who": self._who, "event": event, **names, **fields}
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                while data and not self.lost:
                    data = data[os.write(self._file, data) :]
            except OSError as error:
                self.lost = True
                log.error(
                    "cannot write the journal %s: %s; the consumer stops: it receives nothing "
                    "more, finishes and deletes the messages in work, and ends with exit code 4; "
                    "free the disk or set another JOURNAL_PATH, then start it again",
                    self._path,
                    error.strerror,
                )


def _ends_torn(file: int, path: Path) -> bool:
    """Whether the process before was stopped within a line, which would swallow the next."""
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return False
    with path.open("rb") as lines:
        lines.seek(-1, os.SEEK_END)
        return lines.read() != b"\n"


class NoJournal:
    """What stands in for a journal where none was asked for."""

    lost = False

    def event(self, event: str, about: Named | None = None, **fields: Any) -> None:
        """Do nothing."""


def open_journal(path: str) -> Journal | NoJournal:
    """The journal at `path`, or one that keeps nothing for an empty path.

    Raises OSError where the file cannot be written.
    """
    return Journal(Path(path), f"consumer-{os.getpid()}") if path else NoJournal()


Events = Journal | NoJournal


# Prices of us-east-1 in dollars per million, an assumption (quirk 13); a request is up to 64 KB.
SQS_REQUESTS = 0.40
WRITE_UNITS = 0.625
READ_UNITS = 0.125

_READS = ("BatchGetItem", "GetItem")


class Tally:
    """Thread-safe counters by name."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += amount  # type: ignore[assignment]

    def __getitem__(self, name: str) -> float:
        with self._lock:
            return self._counts[name]

    def items(self) -> dict[str, float]:
        """All counters as they stand."""
        with self._lock:
            return dict(self._counts)


class Meter:
    """API calls by operation and capacity units, of all clients that it is attached to."""

    def __init__(self) -> None:
        self.calls = Tally()
        self.units = Tally()

    def attach(self, client: Any) -> None:
        """Count the calls of a boto3 client from now on."""
        client.meta.events.register_first("before-send.*.*", self._sent)
        client.meta.events.register_last("after-call.dynamodb.*", self._answered)

    def _sent(self, event_name: str, **_: Any) -> None:
        self.calls.count(event_name.removeprefix("before-send."))

    def _answered(self, event_name: str, parsed: dict[str, Any], **_: Any) -> None:
        kind = "read" if event_name.endswith(_READS) else "write"
        self.units.count(kind, _consumed(parsed) + _refused(parsed))


def _consumed(parsed: dict[str, Any]) -> float:
    reported = parsed.get("ConsumedCapacity", [])
    tables = reported if isinstance(reported, list) else [reported]
    return sum(float(table.get("CapacityUnits", 0)) for table in tables)


def _refused(parsed: dict[str, Any]) -> float:
    """Units that a refused write costs and no answer reports; rows under 1 KB (quirks 9, 10)."""
    code = parsed.get("Error", {}).get("Code")
    if code == "ConditionalCheckFailedException":
        return 1
    if code == "TransactionCanceledException":
        return 2 * len(parsed.get("CancellationReasons", ()))
    return 0


def summary(tally: Tally, meter: Meter, started: float) -> dict[str, Any]:
    """The closing figures, as they go into journal and log; `started` is monotonic."""
    counts = tally.items()
    calls = meter.calls.items()
    units = meter.units.items()
    finished = counts.get("completed", 0) + counts.get("already_done", 0)
    dollars = (
        sum(n for name, n in calls.items() if name.startswith("sqs.")) * SQS_REQUESTS
        + units.get("write", 0) * WRITE_UNITS
        + units.get("read", 0) * READ_UNITS
    )
    return {
        **{name: int(counts.get(name, 0)) for name in COUNTERS},
        "calls": {name: int(n) for name, n in sorted(calls.items())},
        "write_units": units.get("write", 0),
        "read_units": units.get("read", 0),
        "usd_per_million": round(dollars / finished, 4) if finished else None,
        "seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(time.process_time(), 3),
    }


COUNTERS = (
    "received",
    "completed",
    "already_done",
    "failed",
    "unknown",
    "payload_changed",
    "no_key",
    "released",
    "abandoned",
    "empty_receives",
    "stale_deletes",
    "late_finishes",
    "extend_refused",
    "extend_ended",
    "errors",
)
"""Every counter of the summary, in the order in which it is shown."""


def spoken(figures: dict[str, Any]) -> str:
    """The closing figures in a few lines for a person."""
    counts = ", ".join(f"{name.replace('_', ' ')} {figures[name]}" for name in COUNTERS)
    calls = ", ".join(f"{name} {n}" for name, n in figures["calls"].items()) or "none"
    cost = figures["usd_per_million"]
    price = "no message finished" if cost is None else f"about ${cost:.2f} per million messages"
    return (
        f"{counts}; API calls: {calls}; capacity units: {figures['write_units']:g} write, "
        f"{figures['read_units']:g} read; {price}; {figures['seconds']:.1f} s, "
        f"{figures['cpu_seconds']:.1f} s of CPU"
    )
