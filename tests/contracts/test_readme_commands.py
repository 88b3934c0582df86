"""Every command of the README, in order, in a fresh clone, as somebody would type them.

One bash runs the blocks marked `sh`, in the README's order. A second one, in a clone of its own,
runs those marked `sh aws`, led by its environment to an empty local stack. `docker` marks what
cannot run here.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import skip_or_fail
from local_aws import Stack, start, stop
from support.children import ROOT
from support.environment import base_environment
from support.queues import REGION
from support.terraform import cli_configuration

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```([a-z ]*)\n(.*?)^```", README, re.M | re.S)
CANNOT_RUN = [
    "ECR_REPO=123456789012.dkr.ecr.us-west-1.amazonaws.com/sqs-consumer scripts/build_and_push.sh\n"
]
# This test is part of a run that has just done it, and would otherwise not end.
DONE_BESIDE = {"make test": ":"}
PASSED_ON = ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "PIP_CONFIG_FILE", "LANG")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The last commit, in a folder with a space in its name."""
    folder = tmp_path / "a clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    (folder / "README.md").write_text(README, encoding="utf-8")
    return folder


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**base_environment(), **kept, **cli_configuration(), **more}


def typed(blocks: list[str]) -> str:
    """One script of all blocks that stops at the first line that fails, and names its block."""
    lines = ["set -e"]
    for number, block in enumerate(blocks):
        title = block.splitlines()[0].replace("'", "")
        lines.append(f"echo \"== block {number} at $SECONDS s: \"'{title}' >&3")
        lines += [DONE_BESIDE.get(line, line) for line in block.splitlines()]
    return "\n".join(lines) + "\n"


def run(script: str, clone: Path, answering: str, env: dict[str, str]) -> tuple[int, str]:
    """Run to the end, in a group that is killed whole; `answering` writes what questions read.

    Gives exit code and output, with a mark before each block.
    """
    log = clone.parent / "log.txt"
    file = clone.parent / "typed.sh"
    file.write_text(script, encoding="utf-8")
    with log.open("w", encoding="utf-8") as output:
        child = subprocess.Popen(
            ["bash", "-c", f"exec 3>&1; source '{file}' < <({answering})"],
            cwd=clone,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            child.wait(timeout=840)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    return child.returncode, log.read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def local_port(clone: Path) -> Iterator[int]:
    """A free port for `make local-up`, and nothing left on it."""
    state = clone.parent / "probe"
    port = start(state, 0, REGION).port
    stop(state)
    yield port
    stop(clone / ".local")


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_local_commands(clone: Path, local_port: int) -> None:
    blocks = [body for language, body in BLOCKS if language == "sh"]
    env = environment(LOCAL_AWS_PORT=str(local_port))
    code, said = run(typed(blocks), clone, ":", env)
    assert code == 0, said[-5000:]
    experiments = said.partition("== block 4 ")[2]
    for seen in (
        "finished 0.",  # the work outlasts the visibility timeout
        "receipt handle is stale",
        "ChangeMessageVisibilityBatch",
        "exit code 86",
        "received 12, completed 6, already done 0, failed 6",
        "received 2, completed 1, already done 1",  # the same order twice
        "payload changed 2, no key 2",
        "stopped: signal",
        "in the DLQ: ",
        "3  FAILED: rejected",  # bringing them back
        "has rows under key#",
        "moved 3, kept",
        "already done 1, failed 0",
        "\n2 messages\n",
        "1  COMPLETED: another payload",
        "action is missing, null or empty",
        "no tables",
        "PASS    happy",
        "PASS    crash",
        "DANGER   work-outlasts-visibility",
        "completed and yet in the DLQ",
        "not known: no journal",
    ):
        assert seen in experiments, f"no {seen!r} in:\n{said[-5000:]}"
    assert not (clone / ".env").exists()
    left = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert left.stdout in ("", " M README.md\n")


@pytest.fixture
def nowhere(clone: Path) -> Iterator[Stack]:
    """A stack without queues, which stands in for AWS."""
    state = clone.parent / "aws"
    yield start(state, 0, REGION)
    stop(state)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_commands_for_aws(clone: Path, nowhere: Stack) -> None:
    for tool in ("terraform", "aws"):
        if not shutil.which(tool):
            skip_or_fail(f"{tool} is not installed; the commands for AWS were NOT run")
    blocks = [body for language, body in BLOCKS if language == "sh aws"]
    env = environment(
        AWS_ENDPOINT_URL=nowhere.endpoint,
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    code, said = run(typed(blocks), clone, "yes yes", env)
    if "Failed to query available provider packages" in said:
        skip_or_fail("the AWS provider cannot be had; the commands for AWS were NOT run")
    assert code == 0, said[-5000:]
    assert "checks on 5 sets: all ok" in said
    assert "PASS    happy" in said
    assert "sent 5 (0 poison)" in said
    assert not (clone / ".env").exists()


def test_every_block_is_run_or_known_not_to() -> None:
    assert [body for language, body in BLOCKS if language == "docker"] == CANNOT_RUN
    assert {language for language, _ in BLOCKS} == {"sh", "sh aws", "docker", "text", "python"}
