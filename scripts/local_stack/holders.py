"""Says who a process is and who holds a port, on Linux and macOS; changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

LISTEN = "0A"  # TCP state in /proc/net/tcp, proc(5)


def command_line(pid: int) -> str:
    """The words of a process's command line joined by spaces; empty when it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        if Path("/proc/self").exists():
            return ""
        return _ask("ps", "-ww", "-o", "command=", "-p", str(pid))


def port_holder(port: int) -> str:
    """``held by pid 7 (python server.py)``, or why that cannot be said."""
    pid = _listener_from_proc(port) if Path("/proc/net/tcp").exists() else _listener_from_lsof(port)
    if not pid:
        return "holder unknown: it may belong to another user or a container"
    return f"held by pid {pid} ({command_line(pid) or 'command line hidden'})"


def _listener_from_lsof(port: int) -> int:
    first = _ask("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t").split()
    return int(first[0]) if first else 0


def _listener_from_proc(port: int) -> int:
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for descriptors in Path("/proc").glob("[0-9]*/fd"):
        try:
            links = {os.readlink(link) for link in descriptors.iterdir()}  # noqa: PTH115
        except OSError:
            continue
        if wanted & links:
            return int(descriptors.parent.name)
    return 0


def _listening_inodes(port: int) -> list[str]:
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if Path(table).exists():
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    found.append(fields[9])
    return found


def _ask(*command: str) -> str:
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
