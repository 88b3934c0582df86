""".env as Terraform writes it: private, read alike by shells and dotenv, never over a user's."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from support.environment import base_environment
from support.tools import ENV_MARKER

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
TEXT = "QUEUE_URL='https://sqs/1/q'\nAWS_REGION='us-west-1'\n"


class EnvFile:
    def __init__(self, root: Path) -> None:
        (root / "terraform").mkdir()
        self.script = shutil.copy(ROOT / "terraform" / "env_file.sh", root / "terraform")
        self.root = root
        self.file = root / ".env"

    def call(self, verb: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", self.script, verb],
            env={**base_environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def write(self, **environment: str) -> str:
        done = self.call("write", ENV_TEXT=TEXT, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def backups(self) -> list[str]:
        return [file.read_text() for file in self.root.glob(".env.backup-*")]


@pytest.fixture
def env_file(tmp_path: Path) -> EnvFile:
    return EnvFile(tmp_path)


def test_written_private_and_readable(env_file: EnvFile) -> None:
    assert env_file.write() == ""
    assert stat.S_IMODE(env_file.file.stat().st_mode) == 0o600
    assert dotenv_values(env_file.file) == {
        "QUEUE_URL": "https://sqs/1/q",
        "AWS_REGION": "us-west-1",
    }
    script = f"source '{env_file.file}'; printf %s \"$QUEUE_URL\""
    shells = [shell for shell in ("bash", "zsh") if shutil.which(shell)]
    for shell in shells:
        done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "https://sqs/1/q"


def test_endpoint_goes_along_and_credentials_only_when_no_secret(env_file: EnvFile) -> None:
    env_file.write(
        AWS_ENDPOINT_URL="http://x:1", AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="s"
    )
    found = dotenv_values(env_file.file)
    assert found["AWS_ENDPOINT_URL"] == "http://x:1"
    assert "AWS_ACCESS_KEY_ID" not in found
    env_file.write(AWS_ENDPOINT_URL="http://x:1", AWS_ACCESS_KEY_ID="local")
    assert dotenv_values(env_file.file)["AWS_SECRET_ACCESS_KEY"] == "local"


@pytest.mark.parametrize(
    "first", ["# Written by make local-up, removed by make local-down", ENV_MARKER, ""]
)
def test_our_own_is_overwritten(env_file: EnvFile, first: str) -> None:
    env_file.file.write_text(f"{first}\nOLD='1'\n" if first else "")
    env_file.write()
    assert "OLD" not in dotenv_values(env_file.file)
    assert env_file.backups() == []


@pytest.mark.parametrize("text", ["MINE=1\n", "\nMINE=1\n", "# Written by me\n"])
def test_the_users_own_is_kept_beside_it(env_file: EnvFile, text: str) -> None:
    env_file.file.write_text(text)
    assert env_file.write().startswith("your own .env is now .env.backup-")
    assert env_file.backups() == [text]
    assert env_file.file.read_text().startswith(ENV_MARKER)


def test_only_our_own_is_removed(env_file: EnvFile) -> None:
    assert env_file.call("remove").returncode == 0
    env_file.file.write_text("MINE=1\n")
    assert env_file.call("remove").returncode == 0
    assert env_file.file.read_text() == "MINE=1\n"
    env_file.file.unlink()
    env_file.write()
    env_file.call("remove")
    assert not env_file.file.exists()


def test_current_means_ours_and_led_to_the_same_place(env_file: EnvFile) -> None:
    here, there = {"AWS_ENDPOINT_URL": "http://x:1"}, {"AWS_ENDPOINT_URL": "http://x:2"}
    assert env_file.call("current").returncode == 1
    env_file.write(**here)
    assert env_file.call("current", **here).returncode == 0
    assert env_file.call("current", **there).returncode == 1
    assert env_file.call("current").returncode == 1
    env_file.write()
    assert env_file.call("current").returncode == 0
    assert env_file.call("current", **here).returncode == 1
    env_file.file.write_text(TEXT)
    assert env_file.call("current").returncode == 1


def test_unknown_verb(env_file: EnvFile) -> None:
    done = env_file.call("delete")
    assert done.returncode == 2
    assert done.stderr == "usage: env_file.sh write|remove|current\n"
