"""make preflight on machines that lack things: each named, each with a way to get it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import preflight
from support.tools import Tools

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "preflight.py"


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """A machine with what the local parts need."""
    made = Tools(tmp_path / "bin")
    made.fake("make", "echo 'GNU Make 4.3'")
    made.fake("bash", "echo 'GNU bash, version 5.2.15(1)-release'")
    return made


def run(tools: Tools, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={"PATH": str(tools.path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_machine_with_everything(tools: Tools) -> None:
    tools.fake("terraform", "echo 'Terraform v1.9.0'")
    tools.fake("aws", "case $1 in sts) echo 123456789012 ;; *) echo 'aws-cli/2.15.0' ;; esac")
    done = run(tools)
    assert done.returncode == 0
    assert done.stdout.count("-- ready") == 2
    for part in ("python ", "venv ", "make ", "bash ", "terraform ", "aws ", "region ", "account "):
        assert f"ok  {part}" in done.stdout
    assert "AWS, account 123456789012, region us-west-1" in done.stdout


def test_without_aws_the_local_parts_are_ready(tools: Tools) -> None:
    done = run(tools)
    assert done.returncode == 0
    assert "On this machine: demo, local-up, scenarios, test -- ready" in done.stdout
    assert "On AWS: infra-up, infra-down, validate -- NOT ready, 2 missing" in done.stdout
    assert "get it from https://developer.hashicorp.com/terraform/install" in done.stdout
    assert "get it from https://docs.aws.amazon.com/cli/" in done.stdout


def test_a_missing_local_part_is_an_error(tools: Tools) -> None:
    (tools.path / "make").unlink()
    done = run(tools)
    assert done.returncode == 1
    assert "--  make         not found" in done.stdout


def test_region_as_terraform_will_take_it(tools: Tools) -> None:
    assert (
        "us-west-1                          default of terraform/variables.tf" in run(tools).stdout
    )
    done = run(tools, TF_VAR_aws_region="eu-north-1")
    assert "eu-north-1                         from TF_VAR_aws_region" in done.stdout


def test_python_too_old() -> None:
    row = preflight.python_row((3, 10, 9))
    assert (row.found, row.needed) == ("3.10.9", "needs 3.11")
    assert "PYTHON=" in row.advice
    assert preflight.python_row((3, 13, 0)).advice == ""


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (("python3.12", "python3.11"), "name a newer one: make PYTHON=python3.12 demo"),
        ((), "install one (https://www.python.org/downloads), then name a newer one: make PYTHON="),
    ],
)
def test_a_newer_python_of_this_machine_is_named(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], said: str
) -> None:
    for name in there:
        tools.fake(name, "echo Python")
    tools.fake("python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    monkeypatch.setenv("PATH", str(tools.path))
    assert said in preflight.python_row((3, 10, 9)).advice


UNREACHABLE = "echo 'Could not connect to the endpoint URL: \"x\"' >&2; exit 255"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
@pytest.mark.parametrize("said", [UNREACHABLE, "echo 'Invalid endpoint: nonsense' >&2; exit 255"])
def test_an_endpoint_that_does_not_answer_is_named_with_both_ways_out(
    tools: Tools, name: str, said: str
) -> None:
    tools.fake("aws", f"case $1 in sts) {said} ;; *) echo 'aws-cli/2.15.0' ;; esac")
    tools.fake("terraform", "echo 'Terraform v1.9.0'")
    told = run(tools, **{name: "http://127.0.0.1:4566"}).stdout
    assert f"nothing answers at {name}=http://127.0.0.1:4566: `make local-up` starts" in told
    assert f"unset {name}" in told
    assert "region's name" not in told
    tools.fake("aws", f"case $1 in sts) {UNREACHABLE} ;; *) echo 'aws-cli/2.15.0' ;; esac")
    assert "is the region's name right" in run(tools).stdout


def test_an_old_python_can_still_read_it() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize(
    ("version", "refused"),
    [((1, 28, 9), True), ((1, 29), False), ((2, 12, 9), True), ((2, 13), False), ((3, 0), False)],
)
def test_each_major_version_has_its_own_floor(version: tuple[int, ...], refused: bool) -> None:
    assert preflight.AWS.refuses(version) is refused
