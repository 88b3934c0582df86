"""Terraform in a copy of terraform/: no test touches the state or the .env of the tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.environment import base_environment

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".terraform", "*.tfstate*", "*.tfvars", "*.tfplan")


class NoTerraform(RuntimeError):
    """Terraform or the provider cannot be had on this machine; says which."""


class Module:
    """A copy of terraform/ at ``root/terraform``; its .env would be ``root/.env``."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        if not shutil.which("terraform"):
            raise NoTerraform("terraform is not installed")
        self.root = root
        self.folder = root / "terraform"
        self._environment = {**base_environment(), **cli_configuration(), **environment}
        shutil.copytree(ROOT / "terraform", self.folder, ignore=LEFT_OUT)
        init = self.run("init", "-backend=false", "-input=false")
        if init.returncode:
            raise NoTerraform(f"terraform init: {init.stderr.strip()}")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["terraform", f"-chdir={self.folder}", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def plan(self, *arguments: str) -> dict[str, Any]:
        """The plan as ``terraform show -json`` gives it."""
        done = self.run("plan", "-input=false", "-no-color", "-out=test.tfplan", *arguments)
        assert done.returncode == 0, done.stderr
        shown: dict[str, Any] = json.loads(self.run("show", "-json", "test.tfplan").stdout)
        return shown


def cli_configuration() -> dict[str, str]:
    """Terraform's own way to name a provider mirror, where there is one."""
    named = os.environ.get("TF_CLI_CONFIG_FILE", "")
    return {"TF_CLI_CONFIG_FILE": named} if Path(named).is_file() else {}


def look_for_mirror(folder: Path) -> None:
    """Name a mirror of this machine in the environment, unless the caller has named one."""
    file = folder / "terraform.rc"
    if cli_configuration():
        return
    found = subprocess.run([ROOT / "scripts" / "provider_mirror.sh", file], check=False)
    if found.returncode == 0:
        os.environ["TF_CLI_CONFIG_FILE"] = str(file)
