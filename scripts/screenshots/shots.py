"""Parts of a run's page as pictures, taken in a real browser; it runs no scenario."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRAWN = "body[data-drawn=yes]"
WIDTH, HEIGHT = 1000, 1400
SCALE = 2  # so that they are sharp where pixels are small
MARGIN = 16
QUALITY = 80
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# The smallest rectangle that holds these elements, in pixels of the whole page.
AROUND = """(selectors) => {
  const boxes = selectors.map((one) => document.querySelector(one).getBoundingClientRect());
  const top = Math.min(...boxes.map((box) => box.top)) + scrollY;
  const bottom = Math.max(...boxes.map((box) => box.bottom)) + scrollY;
  return { top, height: bottom - top };
}"""


class NoBrowserError(Exception):
    """There is no Chromium on this machine."""


@dataclass(frozen=True)
class Shot:
    """A picture: its name, and what of the page must be on it, from top to bottom."""

    name: str
    scenario: str
    parts: tuple[str, ...]


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - slow to load

    path = next((found for found in map(shutil.which, BROWSERS) if found), None)
    if path is None:
        raise NoBrowserError(f"no browser: install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def shoot(page_file: Path, shots: tuple[Shot, ...], folder: Path) -> None:
    """Write FOLDER/NAME-SCHEME.webp for each shot; NoBrowserError where none can be taken."""
    with _browser() as browser:
        for scheme in SCHEMES:
            page = browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT},
                color_scheme=scheme,
                device_scale_factor=SCALE,
            )
            page.goto(page_file.absolute().as_uri())
            page.wait_for_selector(DRAWN)
            for shot in shots:
                (folder / f"{shot.name}-{scheme}.webp").write_bytes(_taken(page, shot.parts))
            page.close()


def _taken(page: Any, parts: tuple[str, ...]) -> bytes:
    """A WebP, which Playwright itself cannot make."""
    page.locator(parts[0]).first.scroll_into_view_if_needed()
    found = page.evaluate(AROUND, list(parts))
    clip = {
        "x": 0,
        "y": max(0, found["top"] - MARGIN),
        "width": WIDTH,
        "height": found["height"] + 2 * MARGIN,
        "scale": 1,
    }
    asked = {
        "format": "webp",
        "quality": QUALITY,
        "clip": clip,
        "captureBeyondViewport": True,
    }
    watch = page.context.new_cdp_session(page)
    return base64.b64decode(watch.send("Page.captureScreenshot", asked)["data"])
