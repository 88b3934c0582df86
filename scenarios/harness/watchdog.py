"""A process that outlives its parent by a moment, to kill the children that the parent left.

It reads "+<pid>" and "-<pid>" lines from its standard input. The end of that input means that the
parent is gone, however it went; then it kills the process group of each pid still in the list.
It is run as a script and imports nothing of ours.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    alive: set[int] = set()
    for line in sys.stdin:
        (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
    for pid in alive:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
