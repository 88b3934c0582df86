"""A value written to .env is the same value to bash, to zsh and to python-dotenv."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from local_stack import env_file

VALUES = [
    "plain",
    "",
    "two words",
    "  edges  ",
    'say "hi"',
    "it's",
    "it's #1",
    "$HOME and `id`",
    "wow!",
    "a#b",
    "a=b",
    "*?[x]~",
    "größe",
    "line one\nline two",
]


@pytest.mark.parametrize("value", VALUES)
def test_dotenv_reads_it_back(tmp_path: Path, value: str) -> None:
    file = tmp_path / ".env"
    assert env_file.write(file, {"A": value, "B": "next"})
    assert dotenv_values(file) == {"A": value, "B": "next"}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.integration
def test_shells_read_it_back(tmp_path: Path, shell: str, value: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    file = tmp_path / ".env"
    env_file.write(file, {"A": value})
    script = f"source '{file}'; printf %s \"$A\""
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == value


@pytest.mark.parametrize("value", ["back\\slash", "${HOME}", "it's $5", "it's `id`", "it's !"])
def test_what_they_read_differently_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        env_file.quoted(value)


def test_foreign_file_is_neither_written_nor_removed(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=mine\n")
    assert env_file.write(file, {"A": "ours"}) is False
    assert env_file.remove(file) is False
    assert file.read_text() == "A=mine\n"


def test_own_file_is_replaced_kept_private_and_removed(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    env_file.write(file, {"A": "1"})
    file.chmod(0o644)
    env_file.write(file, {"A": "2"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert dotenv_values(file) == {"A": "2"}
    assert env_file.remove(file) is True
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    env_file.write(file, {"A": "1"})

    def full(_self: Path, _target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        env_file.write(file, {"A": "2"})
    assert [entry.name for entry in tmp_path.iterdir()] == [".env"]
    assert dotenv_values(file) == {"A": "1"}
