"""Reads the documents for tests: pages, fenced blocks, code in backticks, headings, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from support.children import ROOT

DOCS = ROOT / "docs"
USER_PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
"""What a user reads."""
PAGES = [*USER_PAGES, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "plans").glob("*.md"))]


def text_of(name: str | Path) -> str:
    """The text of a page, by its path below the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def label(page: Path) -> str:
    """How a page is called in the id of a test."""
    return str(page.relative_to(ROOT))


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and body of each fenced block."""
    return re.findall(r"^```([a-z ]*)\n(.*?)^```", text, re.M | re.S)


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def code(text: str) -> Iterator[str]:
    """Each text in backticks, and each line of a fenced block."""
    yield from re.findall(r"`([^`\n]+)`", prose(text))
    yield from (line for _, body in blocks(text) for line in body.splitlines())


def section(text: str, heading: str) -> str:
    """The part below a heading such as "## AWS quirks", up to the next one of its level."""
    level = heading.split(maxsplit=1)[0]
    below = text.split(f"\n{heading}\n")[1]
    return re.split(rf"^{level} ", below, maxsplit=1, flags=re.M)[0]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes for the headings of a page."""
    heads = re.findall(r"^#+ (.+)", prose(text), re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def generated(page: str, table: str) -> str:
    """The generated table of this name on a page."""
    found = re.search(rf"begin: {table}\b.*?end: {table}\b", text_of(page), re.S)
    assert found, f"{page} has no table {table}"
    return found[0]
