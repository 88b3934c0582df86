"""The consumer as it was before rows had a canonical digest and gates said with what they came."""

from __future__ import annotations

import tarfile
from pathlib import Path

from support.children import ROOT

FOLDER = ROOT / "tests" / "consumer" / "older"
ROWS = FOLDER / "rows.json"


def unpacked(folder: Path) -> tuple[Path, str]:
    """The door of that version in this folder, for a `Nursery` to start."""
    with tarfile.open(FOLDER / "consumer.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "consumer", "consume.py"
