"""Names the consumer's exit codes, so that no other file compares bare numbers."""

from enum import IntEnum


class Exit(IntEnum):
    """What the exit code of the consumer says; a second signal exits with 128 + its number."""

    OK = 0
    """Stopped as asked: a limit, an idle time-out or a signal."""
    FAILED = 1
    """Stopped by an error that nobody foresaw; the traceback is in the log."""
    SETTINGS = 2
    """A setting was refused; no call to AWS was made."""
    AWS = 3
    """At the start the queue, a table, the credentials or the endpoint could not be used."""
    JOURNAL = 4
    """The journal could not be written; the consumer stopped as for a signal, and lost nothing."""
    CRASHED = 86
    """Died on purpose, as a crash setting asked: nothing flushed, nothing given back."""
