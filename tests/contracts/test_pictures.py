"""The pictures of the pages: there, small, described, of known scenarios; how they are made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pictures
import run
from screenshots.screen import as_svg, rest_of
from screenshots.shots import SCHEMES
from support.children import ROOT, Nursery
from support.documents import USER_PAGES, text_of

FOLDER = ROOT / "docs" / "pictures"
MOST_BYTES = 200_000
LEAST_WORDS = 8
SHOTS = (*pictures.FAST, *pictures.FLOOD)
MADE = {"terminal.svg"} | {f"{shot.name}-{scheme}.webp" for shot in SHOTS for scheme in SCHEMES}


def test_what_is_made_is_there_and_shown() -> None:
    there = {path.name for path in FOLDER.iterdir()}
    shown = [
        (page.parent / path).resolve()
        for page in USER_PAGES
        for path in re.findall(r'(?:src|srcset)="([^"]+)"', text_of(page))
    ]
    assert there == MADE
    assert sorted(shown) == sorted(FOLDER / name for name in MADE), "each picture once"


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_picture_is_a_picture_and_light(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    assert 2_000 < len(data) < MOST_BYTES
    start = b"<svg" if name.endswith(".svg") else b"RIFF"
    assert data.startswith(start)


def test_every_picture_is_described() -> None:
    images = [image for page in USER_PAGES for image in re.findall(r"<img\b[^>]*>", text_of(page))]
    assert len(images) == len(SHOTS) + 1
    for image in images:
        found = re.search(r'alt="([^"]+)"', image)
        assert found, image
        assert len(found[1].split()) >= LEAST_WORDS, image


def test_a_shot_is_of_a_scenario_that_exists() -> None:
    cases = run.cases()
    assert all(shot.scenario in cases for shot in SHOTS)
    assert not any(cases[shot.scenario].slow for shot in pictures.FAST)


def test_the_terminal_shows_every_fast_scenario_and_names_no_machine() -> None:
    text = (FOLDER / "terminal.svg").read_text(encoding="utf-8")
    words = re.sub(r"<[^>]+>", "\n", text).replace("&#160;", " ")
    fast = [name for name, case in run.cases().items() if not case.slow]
    assert not [name for name in fast if f" {name} " not in words]
    assert f"{len(fast)} PASS" in words
    assert not re.findall(r"(?<![\w./])/(?:\w+/)+", words), "a path of the machine that made it"
    assert not re.findall(r"url\((?!#)|@import|href|<image", text), "it must fetch nothing"


def test_what_was_drawn_over_is_gone() -> None:
    board = "\x1b[?25la 1\r\nb 2\x1b[2K\x1b[1A\x1b[2Ka 3\r\nb 4\r\n\x1b[?25h"
    assert rest_of(board) == ["a 3", "b 4"]
    assert rest_of("\rone\r\n\x1b[32mtwo\x1b[0m\r\n\r\n") == ["one", "\x1b[32mtwo\x1b[0m"]


def test_a_terminal_keeps_colours_and_hostile_text_stays_text() -> None:
    svg = as_svg("\x1b[32mPASS\x1b[0m <script>\r\n", "make demo", 80)
    assert "&lt;script&gt;" in svg
    assert "<script" not in svg
    assert "font-face" not in svg
    assert len(set(re.findall(r"fill: (#\w+)", svg))) > 1


def test_a_line_longer_than_the_terminal_goes_on_below() -> None:
    svg = as_svg("x" * 80 + "tail\r\n", "make demo", 80)
    assert ">tail<" in svg


def test_a_run_without_a_page_is_named() -> None:
    with pytest.raises(ValueError, match="no page was written: nothing"):
        pictures.page_of("nothing")
    assert pictures.page_of("the page of this run: reports/x/index.html\r\n").parts[-3:] == (
        "reports",
        "x",
        "index.html",
    )


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(300)
def test_they_can_be_made_again(nursery: Nursery, tmp_path: Path) -> None:
    answer = nursery.start((ROOT, "scripts/pictures.py"), ["--to", str(tmp_path)], {}).wait(280)
    assert answer.code == 0, answer.output
    assert {path.name for path in tmp_path.iterdir()} >= MADE
    assert all((tmp_path / name).stat().st_size < MOST_BYTES for name in MADE)
