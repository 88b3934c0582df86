"""A .env gives the same values, whether a shell sources it, exports it or a door loads it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_stack import env_file
from support.environment import base_environment
from support.queues import QueueSet, QueueSets
from support.tree import copied_tree

pytestmark = pytest.mark.integration

MARKER = 'two words, "quotes", $HOME, `id` and #1'
SOURCES = {
    "sourced": "source .env",
    "exported": "set -a; source .env; set +a",
    "not sourced": ":",
}


@pytest.fixture
def made(queue_set: QueueSets) -> QueueSet:
    return queue_set()


@pytest.fixture
def tree(tmp_path: Path, made: QueueSet) -> Path:
    """A copy of the doors with a .env as local_aws.py quotes it."""
    root = copied_tree(tmp_path / "with space")
    values = {
        **made.env,
        "REJECT_PAYLOAD_MARKER": MARKER,
        "JOURNAL_PATH": str(tmp_path / 'journal "of" $x it.jsonl'),
        "WAIT_TIME_SECONDS": "1",
        "MESSAGE_LIMIT": "2",
        "SLEEP_MIN_SECONDS": "0",
        "SLEEP_MAX_SECONDS": "0",
    }
    assert env_file.write(root / ".env", values)
    return root


def run(shell: str, script: str, tree: Path) -> subprocess.CompletedProcess[str]:
    flags = ["--norc", "--noprofile"] if shell == "bash" else ["-f"]
    return subprocess.run(
        [shell, *flags, "-c", script],
        cwd=tree,
        env=base_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def events(tree: Path, name: str) -> list[dict[str, Any]]:
    (journal,) = tree.parents[1].glob("journal*")
    found = [json.loads(line) for line in journal.read_text().splitlines()]
    return [event for event in found if event["event"] == name]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("source", SOURCES)
def test_the_consumer_sees_the_same_values(
    shell: str, source: str, tree: Path, made: QueueSet
) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    made.send(f"no JSON: {MARKER}", {"id": "two"})
    done = run(shell, f"{SOURCES[source]}; cd consumer; {sys.executable} consume.py", tree)
    assert done.returncode == 0, done.stderr
    (start,) = events(tree, "start")
    assert start["queue"] == made.queue_url
    settings = start["settings"]
    assert settings["REJECT_PAYLOAD_MARKER"] == MARKER
    assert settings["MESSAGE_STATUS_TABLE"] == made.status_table
    assert settings["MESSAGE_COMPLETED_TABLE"] == made.completed_table
    assert set(made.completed_rows()) == {"two"}
    if source == "exported":
        assert "is not read" in done.stderr


@pytest.mark.parametrize("source", SOURCES)
def test_the_producer_sees_the_same_values(source: str, tree: Path, made: QueueSet) -> None:
    script = f"{SOURCES[source]}; cd producer; {sys.executable} produce.py --n 1"
    done = run("bash", script, tree)
    assert done.returncode == 0, done.stderr
    (start,) = events(tree, "start")
    assert start["queue"] == made.queue_url
    assert made.depth() == 1
