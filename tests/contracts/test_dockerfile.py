"""The image, without Docker: what it copies is in the context, and the copy runs as CMD says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.children import ROOT
from support.queues import QueueSets
from support.waiting import wait_for

HERE = "/app/consumer"  # where the image keeps the consumer


@dataclass(frozen=True)
class Line:
    """One instruction of the Dockerfile."""

    word: str
    rest: str


def lines() -> list[Line]:
    text = (ROOT / "consumer" / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", text)
    parts = [line.split(maxsplit=1) for line in joined.splitlines() if line and line[0] != "#"]
    return [Line(word, rest) for word, rest in parts]


def all_of(word: str) -> list[str]:
    return [line.rest for line in lines() if line.word == word]


def in_context(path: str) -> bool:
    """Whether .dockerignore lets this path in; the last pattern that fits decides."""
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    included = True
    for pattern in (line for line in patterns if line and not line.startswith("#")):
        glob = pattern.removeprefix("!")
        body = re.escape(glob).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.match(rf"{body}(/|$)", path):
            included = pattern.startswith("!")
    return included


def copied_to(folder: Path) -> Path:
    """What the COPY lines put into the image, under `folder` in place of /."""
    workdir = all_of("WORKDIR")[-1]
    for copy in all_of("COPY"):
        source, target = copy.split()
        into = folder / str(Path(workdir, target)).lstrip("/")
        if target.endswith("/"):
            into = into / Path(source).name
        into.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, into, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, into)
    return folder / workdir.lstrip("/")


def test_the_base_is_slim_and_pinned_to_a_version() -> None:
    (base,) = all_of("FROM")
    assert re.fullmatch(r"python:3\.1[123]\.\d+-slim-\w+", base), base


def test_it_does_not_run_as_root() -> None:
    (user,) = all_of("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, so that a host can check it"
    words = [line.word for line in lines()]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in ("COPY", "RUN"))


def test_signals_reach_python_and_not_a_shell() -> None:
    (command,) = all_of("CMD")
    assert json.loads(command) == ["python", "consume.py"]
    assert not all_of("ENTRYPOINT")
    assert all_of("STOPSIGNAL") == ["SIGTERM"]


def test_it_needs_no_build_tools() -> None:
    (install,) = all_of("RUN")
    assert "--only-binary=:all:" in install
    assert "apt" not in install


def test_the_context_holds_what_is_copied() -> None:
    for copy in all_of("COPY"):
        source = copy.split()[0]
        assert (ROOT / source).exists(), f"COPY {copy}: not in the repository"
        files = [ROOT / source] if (ROOT / source).is_file() else (ROOT / source).rglob("*.py")
        for file in files:
            assert in_context(str(file.relative_to(ROOT))), f"COPY {copy}: {file} is ignored"


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        "consumer/.venv/bin/python",
        "terraform/terraform.tfstate",
        "consumer/.env",
        ".local/ministack.json",
        "consumer/sqs_worker/__pycache__/loop.pyc",
        "README.md",
        "reports/x",
    ],
)
def test_nothing_else_is_in_the_context(path: str) -> None:
    assert not in_context(path)


def test_everything_that_the_consumer_imports_is_copied(tmp_path: Path) -> None:
    image = copied_to(tmp_path)
    assert str(image).endswith(HERE)
    done = subprocess.run(
        [sys.executable, "consume.py", "--help"],
        cwd=image,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    worker = {path.name for path in (ROOT / "consumer" / "sqs_worker").glob("*.py")}
    assert {path.name for path in (image / "sqs_worker").glob("*.py")} == worker


@pytest.mark.slow
@pytest.mark.integration
def test_the_same_install_and_command_consume_and_stop_on_sigterm(
    tmp_path: Path, queue_set: QueueSets
) -> None:
    image = copied_to(tmp_path / "root")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    bin_ = tmp_path / "venv" / "bin"
    pip = all_of("RUN")[0].split()
    assert pip[:2] == ["pip", "install"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    installed = subprocess.run(
        [str(bin_ / "python"), "-m", *pip],
        cwd=image,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr
    made = queue_set()
    made.send({"id": "one", "work": 1})
    command = json.loads(all_of("CMD")[0])
    child = subprocess.Popen(
        [str(bin_ / command[0]), *command[1:]],
        cwd=image,
        env={"PATH": f"{bin_}:/usr/bin:/bin", "WAIT_TIME_SECONDS": "1", **made.env},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: not made.depth() and made.completed_rows(), 20, "the message to complete")
        child.send_signal(signal.SIGTERM)
        said = child.communicate(timeout=20)[1]
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0, said
    assert "stopped: signal" in said
