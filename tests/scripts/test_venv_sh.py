"""venv.sh makes, repairs or refuses, with stand-ins for Python that only say what they are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.tools import Tools

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
# Makes a virtual environment whose Python does what the real one does, except to install.
NEW = f"""
case "$1 $2" in
"-m venv")
  for folder; do :; done
  [ "$3" = --clear ] && rm -rf "$folder"
  mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
  ;;
"-m pip") [ -z "${{PIP_FAILS:-}}" ] ;;
*) exec {sys.executable} "$@" ;;
esac
"""
OLD = "case $1 in -c) exit 1 ;; *) echo 'python: 3.10.13; needs 3.11' >&2; exit 1 ;; esac"


class Yard:
    """A folder with the scripts, and a PATH of fakes."""

    def __init__(self, root: Path) -> None:
        self.root = root / "a repo"
        (self.root / "scripts").mkdir(parents=True)
        for name in ("venv.sh", "preflight.py"):
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts")
        self.tools = Tools(root / "bin")
        for name in ("mkdir", "cp"):
            self.tools.real(name)
        self.tools.fake("python3", NEW)
        self.venv = self.root / ".venv"

    def run(self, *requirements: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.root / "scripts" / "venv.sh"), ".venv", *requirements],
            env={"PATH": str(self.tools.path), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def has(self, script: str) -> None:
        """A .venv whose Python is this script."""
        (self.venv / "bin").mkdir(parents=True)
        (self.venv / "kept").touch()
        python = self.venv / "bin" / "python"
        python.write_text(f"#!{shutil.which('bash')}\n{script}\n")
        python.chmod(0o755)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def test_it_makes_one_and_installs(yard: Yard) -> None:
    done = yard.run("a/requirements.txt", "b/requirements.txt")
    assert done.returncode == 0, done.stderr
    (installed,) = (yard.venv / "bin" / "python.calls").read_text().splitlines()[-1:]
    assert installed.startswith("-m pip install ")
    assert installed.endswith(
        " --requirement=a/requirements.txt --requirement=b/requirements.txt --editable ."
    )


def test_an_old_python_is_one_line_and_leaves_nothing(yard: Yard) -> None:
    yard.tools.fake("python3", OLD)
    done = yard.run("a/requirements.txt")
    assert done.returncode == 1
    assert done.stderr == "python: 3.10.13; needs 3.11\n"
    assert not yard.venv.exists()


def test_a_python_that_is_not_there_is_one_line(yard: Yard) -> None:
    done = yard.run(PYTHON="python3.99")
    assert done.returncode == 1
    assert done.stderr.startswith("venv: PYTHON=python3.99 is not there; name one of 3.11")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("left", [OLD, "exit 127", "echo no pip >&2; exit 1"])
def test_what_an_older_attempt_left_is_made_anew(yard: Yard, left: str) -> None:
    yard.has(left)
    done = yard.run("a/requirements.txt", PYTHON="python3")
    assert done.returncode == 0, done.stderr
    assert not (yard.venv / "kept").exists()


def test_a_good_one_is_kept_whatever_python_is_named(yard: Yard) -> None:
    yard.has(f'exec "{sys.executable}" "$@"')
    assert yard.run(PYTHON="python3.99").returncode == 0
    assert (yard.venv / "kept").exists()


def test_an_install_that_fails_is_no_success(yard: Yard) -> None:
    assert yard.run("a/requirements.txt", PIP_FAILS="1").returncode == 1
