"""Starts and stops the one MiniStack process of a state directory; knows nothing of queues.

The record ``ministack.json`` is written before the process answers, so that whoever comes next
finds it. A pid alone proves nothing (the system gives it to others later): a process is ours only
if its command line carries the mark that start() put there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from local_stack.holders import command_line, port_holder

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
FREE_PORT_ATTEMPTS = 3
LOG_LINES = 5


class LocalStackError(RuntimeError):
    """One clear line for the user."""


@dataclass(frozen=True)
class Stack:
    """A MiniStack that answers. ``fresh``: this call started it."""

    endpoint: str
    port: int
    pid: int
    fresh: bool = False


def start(state: Path, port: int, region: str = "us-east-1") -> Stack:
    """Start MiniStack, or find the one that ``state`` records; port 0 takes a free one.

    Raise LocalStackError when the port is taken, another port runs already, or it does not answer;
    nothing started here is left running then.
    """
    state.mkdir(parents=True, exist_ok=True)
    with _locked(state):
        running = running_stack(state)
        if running and port not in (0, running.port):
            raise LocalStackError(
                f"the local stack runs on port {running.port} already (pid {running.pid}); "
                f"stop it first (make local-down), or leave the port at {running.port}"
            )
        return running or _start_fresh(state, port, region)


def stop(state: Path) -> bool:
    """Stop the recorded process and wait until it is gone; False when there was none of ours."""
    if not state.is_dir():
        return False
    with _locked(state):
        pid = _recorded(state).get("pid", 0)
        ours = _is_ours(state, pid)
        if ours:
            _end(state, pid)
        _record_file(state).unlink(missing_ok=True)
        return ours


def running_stack(state: Path) -> Stack | None:
    """The stack that ``state`` records if it lives; a stale record is not one."""
    record = _recorded(state)
    pid, port = record.get("pid", 0), record.get("port", 0)
    if not _is_ours(state, pid):
        return None
    stack = Stack(f"http://{HOST}:{port}", port, pid)
    if not _answers(port):
        raise LocalStackError(
            f"MiniStack (pid {pid}) runs but does not answer on port {port}; "
            f"stop it (make local-down) and look at {state / 'ministack.log'}"
        )
    return stack


def _start_fresh(state: Path, port: int, region: str) -> Stack:
    for attempt in range(1, FREE_PORT_ATTEMPTS + 1):
        chosen = port or _free_port()
        _refuse_taken(chosen)
        try:
            return _launch(state, chosen, region)
        except LocalStackError:
            # Between finding a free port and binding it, somebody else may have taken it.
            if port or attempt == FREE_PORT_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _launch(state: Path, port: int, region: str) -> Stack:
    log = state / "ministack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-X", _mark(state), "-m", "ministack"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=state,
            env=_environment(state, port, region),
            start_new_session=True,  # Ctrl-C in the user's terminal is not meant for it
        )
    try:
        _record(state, process.pid, port)
        _await_answer(process, port, log)
    except BaseException:
        process.kill()
        process.wait()
        _record_file(state).unlink(missing_ok=True)
        raise
    return Stack(f"http://{HOST}:{port}", port, process.pid, fresh=True)


def _environment(state: Path, port: int, region: str) -> dict[str, str]:
    """Nothing of the caller's but PATH and HOME: MiniStack reads LOG_LEVEL and much more."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", str(state)),
        "TMPDIR": str(state.resolve()),  # its own pid file
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "MINISTACK_REGION": region,
        "SERVICES": "sqs,dynamodb,sts,s3",
        "IOT_MTLS_ENABLED": "0",  # it would listen on every interface, port 8883
        "DOCKER_HOST": "unix:///nonexistent",  # it would remove containers that it thinks its own
    }


def _await_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            reason = f"ended with exit code {process.returncode}"
            break
        if _answers(port):
            return
        time.sleep(0.05)
    else:
        reason = f"did not answer on port {port} within {START_SECONDS:.0f} s"
    raise LocalStackError(f"MiniStack {reason}; its log ({log}) ends: {_tail(log)}")


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return " | ".join([line for line in lines if line][-LOG_LINES:]) or "(empty)"


def _answers(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{HOST}:{port}/_ministack/health", timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except (OSError, HTTPException):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        # As servers do: connections of an earlier server that still linger do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as refused:
            raise LocalStackError(
                f"port {port} cannot be used ({refused.strerror}; {port_holder(port)}); "
                "stop that process, or choose another port: LOCAL_AWS_PORT=4567 make local-up"
            ) from None


def _end(state: Path, pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # when we are its parent, it stays a zombie until then
            if not _is_ours(state, pid):
                return
            time.sleep(0.05)
    raise LocalStackError(f"MiniStack (pid {pid}) does not end, not even on SIGKILL")


def _mark(state: Path) -> str:
    # Python keeps unknown -X options and does nothing about them, so they can carry a mark.
    return f"local_aws={state.resolve()}"


def _is_ours(state: Path, pid: int) -> bool:
    return pid > 0 and f"-X {_mark(state)} -m ministack" in command_line(pid)


def _record_file(state: Path) -> Path:
    return state / "ministack.json"


def _record(state: Path, pid: int, port: int) -> None:
    target = _record_file(state)
    draft = target.with_suffix(".tmp")
    draft.write_text(json.dumps({"pid": pid, "port": port, "started": time.time()}) + "\n")
    draft.replace(target)


def _recorded(state: Path) -> dict[str, int]:
    try:
        record = json.loads(_record_file(state).read_text())
        return {"pid": int(record["pid"]), "port": int(record["port"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    with (state / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
