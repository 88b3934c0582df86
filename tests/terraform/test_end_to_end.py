"""Runs end_to_end.sh: Terraform applied for real, on a local stack of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import skip_or_fail
from support.environment import base_environment
from support.terraform import cli_configuration

SCRIPT = Path(__file__).with_name("end_to_end.sh")


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_end_to_end() -> None:
    for tool in ("terraform", "aws", "make"):
        if not shutil.which(tool):
            skip_or_fail(f"{tool} is not installed; Terraform was NOT applied to anything")
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env={**base_environment(), **cli_configuration()},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    if "terraform init failed" in said:
        skip_or_fail(f"{said}; Terraform was NOT applied to anything")
    assert done.returncode == 0, said
