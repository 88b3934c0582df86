#!/usr/bin/env python3
"""Door of the demo: a local stack of its own, the fast scenarios on it, and everything stopped.

It touches neither .env nor AWS: what it starts gets a clean environment, whatever the user's holds.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETUP = 2
INTERRUPTED = 128 + signal.SIGINT
STOP_SECONDS = 60  # run.py reaps and saves first
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "TERM", "COLUMNS", "NO_COLOR")


try:
    import local_aws
    from harness.processes import Watchdog
except ModuleNotFoundError as missing:
    sys.exit(f"demo: {missing.name} is not installed in this Python; run: make venv")


def main(arguments: list[str]) -> int:
    """The exit code of run.py, or 2 where the local stack does not come up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with Watchdog() as watchdog, _stack(watchdog) as outputs:
            return _run(watchdog, outputs, arguments or ["--fast"])
    except (local_aws.LocalStackError, OSError) as error:  # OSError: .local, its log
        print(f"demo: {error}", file=sys.stderr)
        return SETUP
    except KeyboardInterrupt:
        return INTERRUPTED


def _interrupt(number: int, _frame: object) -> None:
    """The first signal stops in order; a second one at once, and the watchdog kills the rest."""
    signal.signal(number, lambda *_: os._exit(INTERRUPTED))
    raise KeyboardInterrupt


@contextmanager
def _stack(watchdog: Watchdog) -> Iterator[Path]:
    """A MiniStack on a free port with the five sets; gives the file of their names."""
    state = ROOT / ".local" / f"demo-{os.getpid()}"
    _sweep(state.parent)
    try:
        print(local_aws.up(state, 0), flush=True)
        watchdog.guard(local_aws.start(state, 0).pid)
        yield state / "outputs.json"
    finally:
        local_aws.stop(state)
        shutil.rmtree(state, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what demos that were killed have left; their processes the watchdog has ended."""
    for old in parent.glob("demo-[0-9]*"):
        try:
            os.kill(int(old.name.removeprefix("demo-")), 0)
        except ProcessLookupError:
            local_aws.stop(old)
            shutil.rmtree(old, ignore_errors=True)
        except PermissionError:  # a process of somebody else: it lives
            continue


def _run(watchdog: Watchdog, outputs: Path, arguments: list[str]) -> int:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    child = subprocess.Popen(
        [sys.executable, str(ROOT / "scenarios" / "run.py"), *arguments],
        env={**environment, "SCENARIO_OUTPUTS": str(outputs)},
        start_new_session=True,  # a Ctrl-C comes to it once, from here
    )
    watchdog.guard(child.pid)
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        return child.wait(STOP_SECONDS)
    finally:
        child.kill()
        child.wait()
        watchdog.release(child.pid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
