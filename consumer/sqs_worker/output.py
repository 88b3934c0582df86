"""Writes to standard output and error on, where nobody reads them any more.

The consumer and the producer share no package, so each has this file; a test compares them.
"""

import io
import sys
from typing import Any


class _Pipe(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)
        except OSError:
            if self.fileno() == 1:  # results that are lost are an error, lost log lines are not
                raise
            return len(data)


def outlive_readers() -> None:
    """From now on a reader that is gone is no error: it must not change the exit code.

    Without this the interpreter ends with 120, and a `print` raises in the middle of the work.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            pipe = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
            buffering = stream.line_buffering
            new = io.TextIOWrapper(pipe, stream.encoding, stream.errors, line_buffering=buffering)
            setattr(sys, name, new)
