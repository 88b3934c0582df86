"""set_env.sh exports .env into bash and zsh, from anywhere, and leaves the shell as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.children import ROOT

pytestmark = pytest.mark.integration

ENV = """\
# comment
QUEUE_URL='http://127.0.0.1:4566/000000000000/q'
AWS_REGION=us-west-1
MESSAGE_STATUS_TABLE="two words"
MESSAGE_COMPLETED_TABLE='it is $5 "net" #1'
export EXTRA='x'
"""
SHELLS = ["bash", "zsh"]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository whose path holds a space and a quote, with a .env."""
    root = tmp_path / "it's a repo"
    (root / "scripts").mkdir(parents=True)
    for name in ("set_env.sh", "export_env.sh"):
        shutil.copy(ROOT / "scripts" / name, root / "scripts")
    (root / ".env").write_text(ENV)
    return root


def run(shell: str, script: str, cwd: Path, tree: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in which $SCRIPT is set_env.sh, without the user's start-up files."""
    flags = ["--norc", "--noprofile"] if shell == "bash" else ["-f"]
    env = {"PATH": os.environ["PATH"], "SCRIPT": str(tree / "scripts" / "set_env.sh")}
    command = [shell, *flags, "-c", script]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_children_see_every_value(shell: str, tree: Path, tmp_path: Path) -> None:
    done = run(shell, 'source "$SCRIPT" && env', tmp_path, tree)
    assert done.returncode == 0, done.stderr
    seen = dict(line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)
    assert seen["QUEUE_URL"] == "http://127.0.0.1:4566/000000000000/q"
    assert seen["AWS_REGION"] == "us-west-1"
    assert seen["MESSAGE_STATUS_TABLE"] == "two words"
    assert seen["MESSAGE_COMPLETED_TABLE"] == 'it is $5 "net" #1'
    assert seen["EXTRA"] == "x"
    assert "exported QUEUE_URL AWS_REGION" in done.stdout


def test_a_relative_path_works_too(shell: str, tree: Path) -> None:
    for cwd, path in ((tree, "scripts/set_env.sh"), (tree / "scripts", "./set_env.sh")):
        done = run(shell, f'source {path} && echo "at $QUEUE_URL"', cwd, tree)
        assert "at http://127.0.0.1:4566/000000000000/q" in done.stdout, done.stderr


def test_nothing_is_left_behind(shell: str, tree: Path, tmp_path: Path) -> None:
    names = "typeset -f | grep _sqs_set_env; set | grep -E '^_(env|names|name|missing|sqs)='"
    state = '{ echo "options $-"; pwd; }'
    script = (
        f'{state} >before; source "$SCRIPT" >/dev/null; {state} >after; diff before after; {names}'
    )
    done = run(shell, script, tmp_path, tree)
    assert done.stdout == "", done.stdout


def test_a_failing_command_afterwards_does_not_end_the_shell(
    shell: str, tree: Path, tmp_path: Path
) -> None:
    done = run(shell, 'source "$SCRIPT"; false; echo alive', tmp_path, tree)
    assert done.stdout.endswith("alive\n")


def test_allexport_stays_on_where_it_was_on(shell: str, tree: Path, tmp_path: Path) -> None:
    done = run(shell, 'set -a; source "$SCRIPT"; LATER=1; env', tmp_path, tree)
    assert "\nLATER=1\n" in done.stdout
    done = run(shell, 'source "$SCRIPT"; LATER=1; env', tmp_path, tree)
    assert "LATER" not in done.stdout


def test_it_works_under_strict_options(shell: str, tree: Path, tmp_path: Path) -> None:
    done = run(shell, 'set -euo pipefail; source "$SCRIPT"; echo alive', tmp_path, tree)
    assert done.stdout.endswith("alive\n"), done.stderr


def test_no_env_file_says_what_writes_one(shell: str, tree: Path, tmp_path: Path) -> None:
    (tree / ".env").unlink()
    done = run(shell, 'source "$SCRIPT"; echo "code $?"', tmp_path, tree)
    assert done.stdout == "code 1\n"
    assert done.stderr.startswith(f"set_env: no .env in {tree}; make infra-up")


def test_a_file_that_is_no_shell_is_said_and_allexport_is_off_again(
    shell: str, tree: Path, tmp_path: Path
) -> None:
    (tree / ".env").write_text("QUEUE_URL=q\nnosuchcommand\n")
    done = run(shell, 'source "$SCRIPT"; echo "code $?"; LATER=1; env', tmp_path, tree)
    assert "code 1\n" in done.stdout
    assert "LATER" not in done.stdout
    assert "is not as a shell can read it" in done.stderr


def test_what_the_file_lacks_is_named(shell: str, tree: Path, tmp_path: Path) -> None:
    (tree / ".env").write_text("QUEUE_URL=q\nAWS_REGION=r\n")
    done = run(shell, 'source "$SCRIPT"; echo "code $?"', tmp_path, tree)
    assert done.stdout.endswith("code 1\n")
    assert "does not set MESSAGE_STATUS_TABLE MESSAGE_COMPLETED_TABLE;" in done.stderr


def test_run_instead_of_sourced_says_so(tree: Path, tmp_path: Path) -> None:
    done = run("bash", 'bash "$SCRIPT"', tmp_path, tree)
    assert done.returncode == 2
    assert "source scripts/set_env.sh" in done.stderr


@pytest.mark.parametrize("other", ["fish", "dash"])
def test_another_shell_is_told_in_one_line_what_to_type(
    other: str, tree: Path, tmp_path: Path
) -> None:
    """It parses the whole file before it runs a line, so no line may be wrong to it."""
    if not shutil.which(other):
        pytest.skip(f"{other} is not installed")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    asked = subprocess.run(
        [other, "-c", ". scripts/set_env.sh"],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.stderr.startswith("set_env: only bash and zsh can do this; from fish: bash -c ")
    assert asked.stderr.count("\n") == 1
    advice = asked.stderr.strip().partition("from fish: ")[2]
    done = subprocess.run(
        [other, "-c", advice.replace("exec fish", "exec env")],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "AWS_REGION=us-west-1\n" in done.stdout, done.stderr
