"""make where it cannot work: one line that says what to type."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("folder", ["consumer", "producer"])
def test_the_folders_of_the_doors_name_the_one_above(folder: str) -> None:
    done = make(ROOT / folder, "doctor")
    assert done.returncode == 2
    said = "make: 'doctor' is a target of the folder above; type: make -C .. doctor\n"
    assert done.stderr.startswith(said)
    assert make(ROOT / folder).stdout == make(ROOT, "help").stdout


def test_a_makefile_used_from_elsewhere_names_its_folder(tmp_path: Path) -> None:
    done = make(tmp_path, "-f", str(ROOT / "Makefile"), "demo")
    assert done.returncode == 2
    assert f"run make in the folder of this Makefile: make -C {ROOT}/ demo" in done.stderr
    assert not list(tmp_path.iterdir())
