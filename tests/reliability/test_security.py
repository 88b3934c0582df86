"""What leaks, what can be forged, who can listen, and what a hostile value can make a shell do."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from consumer.integration.support import QUICK
from local_stack.env_file import write as write_env_file
from reliability.soaking.run import private
from support.children import ROOT
from support.waiting import wait_for

SECRET = "4111-1111-1111-1111"
KEY = "wJalrXUtnFEMI-made-up-key"
HOSTILE_ID = 'x\r\n12:00:00 ERROR forged\n{"level":"ERROR","text":"forged"}\x1b[2J\x85 \u2028'
FORGED = re.compile(r'^(12:00:00|\{"level":"ERROR","text":"forged")', re.MULTILINE)


@pytest.mark.integration
@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_payload_nor_key_is_written_down_and_no_line_can_be_forged(
    run_consumer, queue_set, journal, form
) -> None:
    """One message completes, one is rejected, one is no JSON, one has an id that forges lines."""
    made = queue_set(visibility=1)
    made.send({"id": "good", "card": SECRET}, {"id": "bad", "card": SECRET, "poison": True})
    made.send(f"not JSON {SECRET}", {"id": HOSTILE_ID, "poison": True})
    env = {**made.env, **QUICK, **journal.env, "REJECT_PAYLOAD_MARKER": "poison"}
    secrets = {"AWS_SECRET_ACCESS_KEY": KEY, "LOG_FORMAT": form, "LOG_LEVEL": "INFO"}
    ended = run_consumer({**env, **secrets, "IDLE_TIMEOUT_SECONDS": "2"})
    assert ended.code == 0, ended.output
    written = ended.output + journal.path.read_text()
    rows = json.dumps([made.status_rows(), made.completed_rows()])
    for text in (written, rows):
        assert SECRET not in text
        assert KEY not in text
    for line in ended.stderr.splitlines():
        assert line.isprintable()
        assert form == "text" or json.loads(line)["text"]
    assert "forged" in ended.stderr
    assert not FORGED.search(ended.stderr)
    for line in journal.path.read_text().splitlines():
        assert json.loads(line)["who"].startswith("consumer-")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.integration
def test_journals_are_the_owners_only(
    run_consumer, run_producer, queue_set, journal, tmp_path
) -> None:
    """Whatever the umask allows."""
    made, old = queue_set(), os.umask(0)
    sent = tmp_path / "sent.jsonl"
    try:
        run_producer(["--n", "1"], {**made.env, "JOURNAL_PATH": str(sent)})
        run_consumer({**made.env, **QUICK, **journal.env})
    finally:
        os.umask(old)
    assert (_mode(sent), _mode(journal.path)) == (0o600, 0o600)


def test_env_file_and_evidence_are_the_owners_only(tmp_path) -> None:
    old = os.umask(0)
    try:
        private(tmp_path / "reports" / "soak")
        write_env_file(tmp_path / ".env", {"QUEUE_URL": "http://x/y"})
    finally:
        os.umask(old)
    assert _mode(tmp_path / "reports" / "soak") == 0o700
    assert _mode(tmp_path / "reports") == 0o700
    assert _mode(tmp_path / ".env") == 0o600


def _listens(port: int) -> set[str]:
    """Local addresses, in the kernel's notation, of sockets that listen on a port."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux to look from outside")
def test_stack_and_proxy_listen_on_loopback_only(stack, network) -> None:
    ports = [stack.port, int(network.env("x")["AWS_ENDPOINT_URL"].rpartition(":")[2])]
    for port in ports:
        wait_for(lambda port=port: _listens(port), what=f"a listener on {port}")
        assert _listens(port) == {"0100007F"}


HOSTILE = [
    "a b;touch pwned;$(touch pwned)`touch pwned`|touch pwned&touch pwned\n*?~ -x",
    "'; touch pwned; '",
    '"; touch pwned; "',
]
FAKES = ("docker", "aws", "git", "terraform", "python3", "pip")


@pytest.mark.parametrize("hostile", HOSTILE, ids=["bare", "single", "double"])
@pytest.mark.parametrize(
    ("script", "before"),
    [
        ("build_and_push.sh", []),
        ("run_producer.sh", ["--queue-url"]),
        ("infra.sh", ["plan", "-var"]),
        ("infra.sh", []),
    ],
)
@pytest.mark.integration
def test_a_hostile_value_stays_a_value(tmp_path, script, before, hostile) -> None:
    """As an argument and in every variable that the scripts read; the tools only note their own."""
    root, tools, calls = tmp_path / "a tree", tmp_path / "tools", tmp_path / "calls"
    ignore = shutil.ignore_patterns("__pycache__", ".terraform", "*.tfstate*", ".venv")
    for room in ("scripts", "terraform", "producer", "consumer"):
        shutil.copytree(ROOT / room, root / room, ignore=ignore)
    shutil.copy(ROOT / "constraints.txt", root)
    tools.mkdir()
    for name in FAKES:
        fake = tools / name
        fake.write_text(f'#!/bin/sh\nprintf "%s\\0" {name} "$@" >>"$CALLS"\nexit 0\n')
        fake.chmod(0o755)
    python = root / "producer" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    shutil.copy(tools / "python3", python)
    (root / "producer" / ".venv" / ".stamp").touch()
    names = ("ECR_REPO", "QUEUE_URL", "AWS_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "ENV_FILE")
    values = dict.fromkeys((*names, "JOURNAL_PATH", "TF_CLI_CONFIG_FILE"), hostile)
    values["ECR_REPO"] = f"host/{hostile}"
    done = subprocess.run(
        ["bash", str(root / "scripts" / script), *before, hostile],
        cwd=tmp_path,
        env={"PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(calls), **values},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert not list(tmp_path.rglob("pwned")), done
    assert "syntax error" not in done.stderr
    assert "unexpected EOF" not in done.stderr
    if script == "run_producer.sh":
        assert hostile in calls.read_text().split("\0")
