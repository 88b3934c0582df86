"""The wrapper: installs once, finds the queue, passes everything on; in a folder with a space."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
SHOW = """import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}))
"""
# Stands in for python3: makes a venv whose python notes what pip was asked to do.
PYTHON = """#!/usr/bin/env bash
if [[ "$1 $2" == "-m venv" ]]; then
  shift
  mkdir -p "$3/bin"
  printf '#!/usr/bin/env bash\\nif [[ "$1 $2" == "-m pip" ]]; then echo "$*" >>"$INSTALLS"
exit "${PIP_EXIT:-0}"; fi\\nexec "$REAL_PYTHON" "$@"\\n' >"$3/bin/python"
  chmod +x "$3/bin/python"
else
  exec "$REAL_PYTHON" "$@"
fi
"""
TERRAFORM = """#!/usr/bin/env bash
case "${*: -1}" in
  queue_url) echo -n "$FAKE_QUEUE_URL" ;;
  aws_region) echo -n eu-west-3 ;;
esac
"""
URL = "http://host/0/from-terraform"
WARNING = "\nWarning: No outputs found\n"


class Tree:
    """A copy of what the wrapper needs, with stand-ins for what takes long."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        for folder in ("scripts", "producer", "terraform", "bin", "elsewhere"):
            (root / folder).mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "run_producer.sh", root / "scripts")
        shutil.copy(ROOT / "producer" / "requirements.txt", root / "producer")
        shutil.copy(ROOT / "constraints.txt", root)
        (root / "producer" / "produce.py").write_text(SHOW)
        self.program("python3", PYTHON)
        self.program("terraform", TERRAFORM)

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        fixed = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "REAL_PYTHON": sys.executable,
            "INSTALLS": str(self.root / "installs"),
            "FAKE_QUEUE_URL": URL,
        }
        return subprocess.run(
            [str(self.root / "scripts" / "run_producer.sh"), *arguments],
            env=fixed | env,
            cwd=self.root / "elsewhere",
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    def shown(self, *arguments: str, **env: str) -> Any:
        done = self.run(*arguments, **env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def installs(self) -> list[str]:
        path = self.root / "installs"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "a folder")


def test_arguments_and_folder_are_the_callers(tree: Tree) -> None:
    shown = tree.shown("--n", "3", "--profile", "two words", QUEUE_URL="http://host/0/mine")
    assert shown["arguments"] == ["--n", "3", "--profile", "two words"]
    assert shown["cwd"] == str(tree.root / "elsewhere")


def test_it_installs_once_and_again_only_after_a_change(tree: Tree) -> None:
    for _ in range(2):
        tree.shown(QUEUE_URL="http://host/0/mine")
    assert len(tree.installs) == 1
    assert tree.installs[0].endswith(f"-r {tree.root}/producer/requirements.txt")
    for count, changed in enumerate(("producer/requirements.txt", "constraints.txt"), start=2):
        stamp = (tree.root / "producer" / ".venv" / ".stamp").stat().st_mtime
        os.utime(tree.root / changed, (stamp + 5, stamp + 5))
        tree.shown(QUEUE_URL="http://host/0/mine")
        assert len(tree.installs) == count
        os.utime(tree.root / changed, (stamp - 5, stamp - 5))


def test_a_failed_install_is_not_taken_for_done(tree: Tree) -> None:
    assert tree.run(QUEUE_URL="http://host/0/mine", PIP_EXIT="1").returncode != 0
    tree.shown(QUEUE_URL="http://host/0/mine")
    assert len(tree.installs) == 2


def test_the_queue_of_the_environment_wins(tree: Tree) -> None:
    shown = tree.shown(QUEUE_URL="http://host/0/mine", AWS_REGION="us-west-1")
    assert shown["env"]["QUEUE_URL"] == "http://host/0/mine"
    assert shown["env"]["AWS_REGION"] == "us-west-1"


def test_an_env_file_is_left_to_the_producer(tree: Tree) -> None:
    (tree.root / ".env").write_text("QUEUE_URL=http://host/0/env\n")
    assert "QUEUE_URL" not in tree.shown()["env"]
    (tree.root / ".env").unlink()
    assert "QUEUE_URL" not in tree.shown(ENV_FILE="other.env")["env"]


def test_without_an_env_file_terraform_supplies_queue_and_region(tree: Tree) -> None:
    env = tree.shown()["env"]
    assert (env["QUEUE_URL"], env["AWS_REGION"]) == (URL, "eu-west-3")
    assert tree.shown(AWS_REGION="us-west-1")["env"]["AWS_REGION"] == "us-west-1"


@pytest.mark.parametrize("arguments", [("--queue-url", "x"), ("--queue-url=x",), ("--help",)])
def test_a_named_queue_or_a_question_needs_no_lookup(
    tree: Tree, arguments: tuple[str, ...]
) -> None:
    assert "QUEUE_URL" not in tree.shown(*arguments, FAKE_QUEUE_URL=WARNING)["env"]


@pytest.mark.parametrize("missing", ["outputs", "terraform"])
def test_what_is_missing_and_what_supplies_it_is_said(tree: Tree, missing: str) -> None:
    if missing == "terraform":
        tree.program("terraform", "#!/usr/bin/env bash\nexit 127\n")
    done = tree.run(FAKE_QUEUE_URL=WARNING)
    assert done.returncode == 2
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    for word in ("QUEUE_URL", ".env", "make infra-up", "make local-up"):
        assert word in last


def test_an_old_python_is_refused(tree: Tree) -> None:
    tree.program("python3", "#!/usr/bin/env bash\nexit 1\n")
    done = tree.run(QUEUE_URL="http://host/0/mine")
    assert done.returncode == 2
    assert "3.11" in done.stderr
    assert "make preflight" in done.stderr
