"""Every command of the pages, in order, in a fresh clone, as somebody would type them.

One bash runs the blocks marked `sh`, page by page; a page starts at the root of the repository
with no local stack running. A second bash, in a clone of its own, runs those marked `sh aws`, with
an empty local stack in place of AWS. `docker` marks what cannot run here.
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
from support.documents import USER_PAGES, blocks, code, text_of
from support.environment import base_environment
from support.queues import REGION
from support.terraform import cli_configuration

# The tutorial ends by removing what was installed, so it comes last.
ORDER = [
    "README.md",
    "docs/scenarios.md",
    "docs/doctor-and-redrive.md",
    "docs/reference.md",
    "docs/tutorial.md",
]
CANNOT_RUN = [
    "ECR_REPO=123456789012.dkr.ecr.us-west-1.amazonaws.com/sqs-consumer scripts/build_and_push.sh\n"
]
TOO_LONG = ["make bench ARGS=--help", "make soak ARGS=--help"]
"""The README only names these two: they take minutes, and tests of their own run what they do."""
PASSED_ON = ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "PIP_CONFIG_FILE", "LANG")


def blocks_of(page: str | Path, language: str) -> list[str]:
    return [body for one, body in blocks(text_of(page)) if one == language]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The last commit, in a folder with a space in its name."""
    folder = tmp_path / "a clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    for page in USER_PAGES:  # as they are now, committed or not
        shutil.copy(page, folder / page.relative_to(ROOT))
    return folder


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**base_environment(), **kept, **cli_configuration(), **more}


def typed(pages: dict[str, list[str]]) -> str:
    """One script of all blocks that stops at the first line that fails, and names its block.

    Each page has a shell of its own; after it the local stack is stopped.
    """
    lines = ["set -e"]
    for page, bodies in pages.items():
        lines.append("(")
        for number, body in enumerate(bodies):
            title = body.splitlines()[0].replace("'", "")
            lines.append(f"echo \"== {page} {number} at $SECONDS s: \"'{title}' >&3")
            lines.append(body)
        lines += [")", "test ! -e .env || make local-down"]
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
            child.wait(timeout=1140)
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
@pytest.mark.timeout(1200)
def test_the_local_commands(clone: Path, local_port: int) -> None:
    pages = {page: blocks_of(page, "sh") for page in ORDER}
    pages["README.md"] += TOO_LONG
    env = environment(LOCAL_AWS_PORT=str(local_port))
    code, said = run(typed(pages), clone, ":", env)
    assert code == 0, said[-5000:]
    for seen in (
        "finished 0.",  # the work outlasts the visibility timeout
        "the receipt handle has expired",
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
        assert seen in said, f"no {seen!r} in:\n{said[-5000:]}"
    assert not (clone / ".env").exists()
    left = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    )
    pages_only = {f" M {page.relative_to(ROOT)}" for page in USER_PAGES}
    assert set(left.stdout.splitlines()) <= pages_only


@pytest.fixture
def nowhere(clone: Path) -> Iterator[Stack]:
    """A stack without queues, which stands in for AWS."""
    state = clone.parent / "aws"
    yield start(state, 0, REGION)
    stop(state)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(1200)
def test_the_commands_for_aws(clone: Path, nowhere: Stack) -> None:
    for tool in ("terraform", "aws"):
        if not shutil.which(tool):
            skip_or_fail(f"{tool} is not installed; the commands for AWS were NOT run")
    pages = {"docs/aws.md": blocks_of("docs/aws.md", "sh aws")}
    env = environment(
        AWS_ENDPOINT_URL=nowhere.endpoint,
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    code, said = run(typed(pages), clone, "yes yes", env)
    if "Failed to query available provider packages" in said:
        skip_or_fail("the AWS provider cannot be had; the commands for AWS were NOT run")
    assert code == 0, said[-5000:]
    assert "checks on 5 sets: all ok" in said
    assert "PASS    happy" in said
    assert "sent 5 (0 poison)" in said
    assert not (clone / ".env").exists()


def test_every_block_is_run_or_known_not_to() -> None:
    with_commands = {page for page in USER_PAGES if blocks_of(page, "sh")}
    assert with_commands == {ROOT / page for page in ORDER}
    languages = {language for page in USER_PAGES for language, _ in blocks(text_of(page))}
    assert languages == {"sh", "sh aws", "docker", "text", "python"}
    assert blocks_of("docs/aws.md", "docker") == CANNOT_RUN
    assert blocks_of("docs/aws.md", "sh aws")


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_every_make_command_that_a_first_page_names_is_run(page: str) -> None:
    bodies = [body for one in ORDER for body in blocks_of(one, "sh")]
    typed_somewhere = "\n".join([*bodies, *blocks_of("docs/aws.md", "sh aws"), *TOO_LONG])
    named = {name for part in code(text_of(page)) for name in re.findall(r"\bmake [a-z-]+", part)}
    assert named
    assert not {name for name in named if name not in typed_somewhere}
