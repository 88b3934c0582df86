"""Pieces of HTML in which every text is escaped; knows no scenario."""

from __future__ import annotations

import html
from collections.abc import Iterable


class Markup(str):
    """HTML that is safe to put into a page as it stands."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | bool) -> Markup:
    """An element; children that are not Markup are escaped, as are attributes.

    `class_` and `for_` lose their underscore, other underscores become dashes. True is an
    attribute without a value, False and "" leave it out.
    """
    parts = [name]
    for key, value in attributes.items():
        written = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(written)
        elif value:
            parts.append(f'{written}="{html.escape(str(value))}"')
    inside = "".join(safe(child) for child in children)
    return Markup(f"<{' '.join(parts)}>{inside}</{name}>")


def safe(text: str) -> Markup:
    return text if isinstance(text, Markup) else Markup(html.escape(text))


def joined(pieces: Iterable[str]) -> Markup:
    return Markup("".join(safe(piece) for piece in pieces))


def row(cell: str, *texts: str, **attributes: str | bool) -> Markup:
    """A table row of `th` or `td` cells."""
    return tag("tr", *(tag(cell, text) for text in texts), **attributes)
