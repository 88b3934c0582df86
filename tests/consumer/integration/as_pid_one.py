"""Becomes `unshare`, which runs the given command as PID 1 of a PID namespace, as a container does.

A PID 1 that has not asked for a signal does not get it: its SIGTERM would end in a kill.
"""

import os
import sys

os.execvp("unshare", ["unshare", "--pid", "--fork", "--kill-child", *sys.argv[1:]])  # noqa: S606
