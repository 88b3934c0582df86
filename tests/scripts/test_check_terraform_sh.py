"""check_terraform.sh: what is missing is said loudly and fails in CI; what is wrong fails."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.tools import Tools

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
GOOD = "case $1 in version) echo 'Terraform v1.9.0' ;; esac"
NO_PROVIDER = "case $2 in init) echo 'Failed to query available provider packages'; exit 1 ;; esac"


class Check:
    def __init__(self, root: Path) -> None:
        for folder in ("scripts", "terraform"):
            ignore = shutil.ignore_patterns("__pycache__", ".terraform", "*.tfstate*")
            shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
        self.root = root
        self.tools = Tools(root / "bin")
        for name in ("cp", "mktemp", "sed", "sort"):
            self.tools.real(name)
        self.tools.fake("terraform", GOOD)

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.root / "scripts" / "check_terraform.sh")],
            env={"PATH": str(self.tools.path), "TMPDIR": str(self.root), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def commands(self) -> list[str]:
        return [
            next(word for word in call.split() if not word.startswith("-chdir"))
            for call in self.tools.calls("terraform")
        ]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return Check(tmp_path)


def assert_said_loudly(check: Check, reason: str, what: str) -> None:
    laptop = check.run()
    assert (laptop.returncode, laptop.stdout) == (0, "")
    assert reason in laptop.stderr
    assert f"NOT CHECKED: {what}\n" in laptop.stderr
    assert check.run(CI="true").returncode == 1


def test_everything_is_run_on_a_copy(check: Check) -> None:
    done = check.run()
    assert done.returncode == 0, done.stderr
    assert check.commands() == ["fmt", "init", "validate", "version", "test"]
    for call in check.tools.calls("terraform"):
        assert "-chdir=terraform" not in call
    assert not list(check.root.glob("tmp.*"))


def test_terraform_missing(check: Check) -> None:
    (check.tools.path / "terraform").unlink()
    assert_said_loudly(check, "terraform is not installed (https://", "terraform/")


def test_provider_missing(check: Check) -> None:
    check.tools.fake("terraform", f"{GOOD}\n{NO_PROVIDER}")
    assert_said_loudly(check, "the AWS provider cannot be had", "terraform/")


def test_too_old_for_mock_providers(check: Check) -> None:
    check.tools.fake("terraform", "case $1 in version) echo 'Terraform v1.6.9' ;; esac")
    assert_said_loudly(check, "terraform 1.6.9 has no mock providers", "terraform/tests/")
    assert "validate" in check.commands()


@pytest.mark.parametrize("command", ["fmt", "init", "validate", "test"])
def test_what_is_wrong_fails_everywhere(check: Check, command: str) -> None:
    wrong = f'for word; do if [ "$word" = {command} ]; then echo no; exit 3; fi; done'
    check.tools.fake("terraform", f"{GOOD}\n{wrong}")
    assert check.run().returncode != 0


def test_a_configuration_that_is_not_there_is_not_named_to_terraform(check: Check) -> None:
    check.tools.fake("terraform", f'{GOOD}\necho "[$TF_CLI_CONFIG_FILE]" >>"$0.rc"')
    check.run(TF_CLI_CONFIG_FILE="/nowhere/terraform.rc")
    assert set((check.tools.path / "terraform.rc").read_text().split()) == {"[]"}
    (check.root / "there.rc").touch()
    check.run(TF_CLI_CONFIG_FILE=str(check.root / "there.rc"))
    assert "there.rc" in (check.tools.path / "terraform.rc").read_text()
