"""Every Python snippet of the documentation runs alone, and its own assertions hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.documents import USER_PAGES, blocks, text_of

SNIPPETS = [
    body for page in USER_PAGES for language, body in blocks(text_of(page)) if language == "python"
]


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 4  # key, outbox, saga, business key


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.split("\n")[0][:30])
def test_a_snippet_runs_and_proves_something(snippet: str, tmp_path: Path) -> None:
    assert "assert " in snippet
    done = subprocess.run(
        [sys.executable, "-I", "-c", snippet],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout
