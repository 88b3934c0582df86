"""A copy of the doors that a test may break."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.children import ROOT

ROOMS = ("consumer", "producer", "scenarios", "scripts", "terraform")
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".venv", ".terraform", "*.tfstate*")


def copied_tree(folder: Path) -> Path:
    """The rooms under `folder`/tree."""
    tree = folder / "tree"
    for room in ROOMS:
        shutil.copytree(ROOT / room, tree / room, ignore=LEFT_OUT)
    return tree


def patch(path: Path, old: str, new: str) -> None:
    """Replace the one place where `old` stands; AssertionError where it is not exactly one."""
    text = path.read_text()
    assert text.count(old) == 1, f"{path} holds {text.count(old)} times: {old}"
    path.write_text(text.replace(old, new))
