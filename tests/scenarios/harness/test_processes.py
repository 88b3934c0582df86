"""Children: what they get, what they leave, and that none outlives the runner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import processes
from harness.processes import Children, Program, Watchdog
from support.waiting import wait_for

ENDLESS = "import time\nprint('up', flush=True)\nwhile True: time.sleep(1)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ENDLESS
# A child that starts a child: both must go.
PARENT = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', sys.argv[1]])\n" + ENDLESS


def python(tmp_path: Path, code: str, *arguments: str) -> Program:
    return Program([sys.executable, "-c", code, *arguments], tmp_path, {"ONLY": "this"})


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    with Watchdog() as one:
        yield one


def test_a_child_gets_the_declared_environment_and_nothing_else(
    tmp_path: Path, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    with Children(tmp_path, watchdog) as children:
        child = children.start("consumer-1", python(tmp_path, show), [0])
        child.process.wait()
    seen = json.loads(child.log.read_text())
    seen.pop("LC_CTYPE", None)  # Python sets it itself
    assert seen == {"ONLY": "this", "JOURNAL_PATH": str(tmp_path / "consumer-1.jsonl")}
    assert child.log.stat().st_mode & 0o077 == 0


def test_leaving_the_context_stops_and_reaps(tmp_path: Path, watchdog: Watchdog) -> None:
    with Children(tmp_path, watchdog) as children:
        child = children.start("consumer-1", python(tmp_path, ENDLESS), [0])
        wait_for(child.tail)
    assert child.code == -signal.SIGTERM
    assert not child.as_declared
    assert child.tail() == ("up",)


def test_a_stubborn_child_is_killed_with_its_children(
    tmp_path: Path, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    with Children(tmp_path, watchdog) as children:
        child = children.start("consumer-1", python(tmp_path, PARENT, STUBBORN), [0])
        wait_for(lambda: len(child.tail()) == 2)
        found = subprocess.run(
            ["pgrep", "-g", str(child.process.pid)], capture_output=True, text=True, check=False
        )
        pids = [int(pid) for pid in found.stdout.split()]
        assert len(pids) == 2
    wait_for(lambda: not any(map(alive, pids)))


def test_a_frozen_child_is_woken_to_hear_that_it_is_to_end(
    tmp_path: Path, watchdog: Watchdog
) -> None:
    polite = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n" + ENDLESS
    with Children(tmp_path, watchdog) as children:
        child = children.start("consumer-1", python(tmp_path, polite), [7])
        wait_for(child.tail)
        child.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
    assert child.code == 7
    assert time.monotonic() - began < processes.STOP_SECONDS / 2


def test_a_frozen_child_that_is_stubborn_is_killed(
    tmp_path: Path, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    with Children(tmp_path, watchdog) as children:
        child = children.start("consumer-1", python(tmp_path, STUBBORN), [0])
        wait_for(child.tail)
        child.process.send_signal(signal.SIGSTOP)
    assert child.code == -signal.SIGKILL
    assert not alive(child.process.pid)


def test_a_child_is_asked_once(tmp_path: Path, watchdog: Watchdog) -> None:
    polite = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))\n"
        "print('up', flush=True)\n"
        "while True: time.sleep(0.1)\n"
    )
    with Children(tmp_path, watchdog) as children:
        child = children.start("consumer-1", python(tmp_path, polite), [0])
        wait_for(child.tail)
        child.ask(signal.SIGTERM)
        child.ask(signal.SIGTERM)
        wait_for(lambda: "asked" in child.tail())
        child.process.kill()
    assert child.tail() == ("up", "asked")


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path, watchdog: Watchdog) -> None:
    with Children(tmp_path, watchdog) as children, pytest.raises(OSError, match="not-there"):
        children.start("consumer-1", Program(["/not-there"], tmp_path, {}), [0])


def test_no_child_outlives_a_killed_runner(tmp_path: Path) -> None:
    runner = (
        "import sys, time\nfrom pathlib import Path\n"
        "from harness.processes import Children, Program, Watchdog\n"
        "here = Path(sys.argv[1])\n"
        "children = Children(here, Watchdog())\n"
        "program = Program([sys.executable, '-c', sys.argv[2]], here, {})\n"
        "pids = [children.start(f'consumer-{n}', program, [0]).process.pid for n in range(3)]\n"
        "print(*pids, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", runner, str(tmp_path), STUBBORN], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert all(map(alive, pids))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(map(alive, pids)), what=f"the end of {pids}")
