#!/usr/bin/env python3
"""Says which tools, credentials and region are there, and how to get what is missing.

Uses the standard library only and no syntax newer than Python 3.8, because it must still run, and
say so, where Python is too old. Changes nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = (3, 11)
NEWER = ("python3.13", "python3.12", "python3.11")
SECONDS = 30


@dataclass(frozen=True)
class Tool:
    """A program: how to ask its version (a group in ``pattern``), what is needed, where it is."""

    name: str
    command: tuple[str, ...]
    pattern: str
    needed: tuple[tuple[int, ...], ...]  # the oldest of each major version that will do
    get: str

    def refuses(self, version: tuple[int, ...]) -> bool:
        floors = [floor for floor in self.needed if floor[0] <= version[0]]
        return not floors or version < floors[-1]

    @property
    def needs(self) -> str:
        return " or ".join(_dotted(floor) for floor in self.needed)


@dataclass(frozen=True)
class Row:
    """One line of the table; ``advice`` is empty when all is well."""

    name: str
    found: str
    needed: str
    advice: str = ""


MAKE = Tool("make", ("make", "--version"), r"Make (\d[\d.]*)", ((3, 81),), "your package manager")
BASH = Tool("bash", ("bash", "--version"), r"version (\d[\d.]*)", ((3, 2),), "your package manager")
TERRAFORM = Tool(
    "terraform",
    ("terraform", "version"),
    r"Terraform v(\d[\d.]*)",
    ((1, 5),),
    "https://developer.hashicorp.com/terraform/install",
)
# From these on it understands AWS_ENDPOINT_URL.
AWS = Tool(
    "aws",
    ("aws", "--version"),
    r"aws-cli/(\d[\d.]*)",
    ((1, 29), (2, 13)),
    "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
)


def main() -> int:
    """Exit code 1 when something is missing that the asked-for part needs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tools", action="store_true", help="only terraform and aws, silent if ok")
    parser.add_argument("--python", action="store_true", help="only this Python, silent if ok")
    parser.add_argument("--account", metavar="REGION", help="only: which account, in this region")
    options = parser.parse_args()
    if options.tools:
        return _first_problem([tool_row(TERRAFORM), tool_row(AWS)])
    if options.python:
        return _first_problem([python_row(sys.version_info[:3]), venv_row()])
    if options.account:
        row = account_row(options.account)
        if not row.advice:
            print(row.found)
        return _first_problem([row])
    return report(os.environ)


def _first_problem(rows: Sequence[Row]) -> int:
    for row in rows:
        if row.advice:
            print(f"{row.name}: {row.found}; {row.advice}", file=sys.stderr)
            return 1
    return 0


def report(environment: Mapping[str, str]) -> int:
    """Print both tables; the AWS part is never needed for the exit code."""
    local = [python_row(sys.version_info[:3]), venv_row(), tool_row(MAKE), tool_row(BASH)]
    aws = [tool_row(TERRAFORM), tool_row(AWS)]
    region, source = chosen_region(environment)
    aws.append(Row("region", region, source))
    if not aws[1].advice:
        aws.append(account_row(region))
    _print("On this machine: demo, local-up, scenarios, test", local)
    _print("On AWS: infra-up, infra-down, validate", aws)
    return 1 if any(row.advice for row in local) else 0


def _print(title: str, rows: Sequence[Row]) -> None:
    missing = sum(bool(row.advice) for row in rows)
    print(f"{title} -- " + (f"NOT ready, {missing} missing" if missing else "ready"))
    for row in rows:
        mark = "--" if row.advice else "ok"
        print(f"  {mark}  {row.name:12} {row.found:34} {row.needed}".rstrip())
        if row.advice:
            print(f"      {row.advice}")
    print()


def python_row(version: tuple[int, ...]) -> Row:
    """The interpreter that runs this; ``make`` uses the same (PYTHON=...)."""
    needed = _dotted(PYTHON)
    if version[:2] >= PYTHON:
        return Row("python", _dotted(version), f"needs {needed}")
    newer = next((name for name in NEWER if not _run((name, "--version"))[0]), "")
    advice = f"name a newer one: make PYTHON={newer or NEWER[0]} demo"
    if not newer:
        advice = f"install one (https://www.python.org/downloads), then {advice}"
    return Row("python", _dotted(version), f"needs {needed}", f"needs {needed} or newer; {advice}")


def venv_row() -> Row:
    """Debian ships venv apart from Python."""
    there = bool(importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"))
    advice = "" if there else "install it: apt install python3-venv"
    return Row("venv", "there" if there else "not found", "needs venv and ensurepip", advice)


def tool_row(tool: Tool) -> Row:
    """Find the program and compare its version."""
    needs = f"needs {tool.needs}"
    advice = f"{needs} or newer; get it from {tool.get}"
    if not shutil.which(tool.command[0]):
        return Row(tool.name, "not found", needs, advice)
    code, said = _run(tool.command)
    match = re.search(tool.pattern, said)
    if not match:
        found = f"no version, exit code {code}"
        return Row(tool.name, found, needs, f"see what it says: {' '.join(tool.command)}")
    version = tuple(int(part) for part in match.group(1).rstrip(".").split("."))
    if tool.refuses(version):
        return Row(tool.name, f"{_dotted(version)} is too old", needs, advice)
    return Row(tool.name, _dotted(version), needs)


def chosen_region(environment: Mapping[str, str]) -> tuple[str, str]:
    """Terraform's variable aws_region, as far as one can tell without Terraform; and from where."""
    if environment.get("TF_VAR_aws_region"):
        return environment["TF_VAR_aws_region"], "from TF_VAR_aws_region"
    text = (ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")
    match = re.search(r'variable "aws_region" \{.*?default\s*=\s*"([^"]+)"', text, re.DOTALL)
    return (match.group(1) if match else "unknown"), "default of terraform/variables.tf"


def account_row(region: str) -> Row:
    """Ask who we are; the aws CLI finds credentials, profile and endpoint as Terraform does."""
    command = ("aws", "sts", "get-caller-identity", "--query", "Account", "--output", "text")
    limits = ("--region", region, "--cli-connect-timeout", "5", "--cli-read-timeout", "10")
    code, said = _run(command + limits)
    if code == 0:
        where = os.environ.get("AWS_ENDPOINT_URL") or "AWS"
        return Row("account", f"{where}, account {said.strip()}, region {region}", "")
    return Row("account", f"no answer for region {region}", "needs credentials", _advice(said))


def _advice(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "aws sts get-caller-identity said nothing"
    if "locate credentials" in last:
        return "no credentials found: run `aws configure` or `aws sso login`, or set AWS_PROFILE"
    unreachable = "connect to the endpoint" in last.lower()
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"):
        endpoint = os.environ.get(name)
        if endpoint and (unreachable or "nvalid endpoint" in last):
            return (
                f"nothing answers at {name}={endpoint}: `make local-up` starts a local stack;"
                f" to go to AWS, unset {name}"
            )
    if unreachable:
        return f"{last} (is the region's name right, is the network up?)"
    return last


def _run(command: tuple[str, ...]) -> tuple[int, str]:
    environment: dict[str, str] = {"AWS_MAX_ATTEMPTS": "2", **os.environ, "AWS_PAGER": ""}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return 1, str(problem)
    return done.returncode, done.stdout + done.stderr


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


if __name__ == "__main__":
    sys.exit(main())
