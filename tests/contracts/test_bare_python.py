"""The doors in a Python that is too old, or without their packages: one line, no traceback."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
DOORS = ["consumer/consume.py", "producer/produce.py"]
TOO_OLD = [f"python3.{minor}" for minor in (8, 9, 10)]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    # QUEUE_URL and a region: as far as the SDK.
    queue = {"QUEUE_URL": "http://127.0.0.1:1/000000000000/q", "AWS_REGION": "us-west-1"}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **queue},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("door", DOORS)
def test_what_is_not_installed_is_named_with_what_installs_it(door: str) -> None:
    done = run(sys.executable, "-S", door)  # -S: no site-packages
    assert done.returncode == 1
    assert done.stderr.startswith(f"{Path(door).name}: botocore is not installed in ")
    assert done.stderr.endswith(f"pip install -r {ROOT / Path(door).parent}/requirements.txt\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("door", DOORS)
def test_an_env_file_without_its_reader_is_no_traceback_either(door: str, tmp_path: Path) -> None:
    file = tmp_path / "some.env"
    file.write_text("QUEUE_URL=http://127.0.0.1:1/000000000000/q\n")
    done = run("env", "-u", "QUEUE_URL", f"ENV_FILE={file}", sys.executable, "-S", door)
    assert ": dotenv is not installed in " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", TOO_OLD)
@pytest.mark.parametrize("door", DOORS)
def test_an_old_python_is_told_which_one_is_needed(door: str, name: str) -> None:
    installed = Path.home().glob(f".pyenv/versions/{name.removeprefix('python')}.*/bin/{name}")
    python = next((str(path) for path in installed), None) or shutil.which(name)
    if not python or run(python, "--version").returncode:
        pytest.skip(f"{name} is not installed")
    done = run(python, door)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{door}: needs Python 3.11 or newer; this is 3.")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "file", [*DOORS, "consumer/sqs_worker/__init__.py", "producer/sender/__init__.py"]
)
def test_an_old_python_can_read_as_far_as_that(file: str) -> None:
    ast.parse((ROOT / file).read_text(encoding="utf-8"), feature_version=(3, 8))
