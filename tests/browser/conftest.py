"""A headless Chromium that may speak to nobody, and pages opened in it with what they logged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from screenshots.shots import BROWSERS

NO_BROWSER = "no Chromium, so no page was looked at; install chromium"
DRAWN = "body[data-drawn=yes]"
PATIENCE = 30_000  # milliseconds


@dataclass
class Opened:
    """A page that has drawn itself, and everything that it complained of or asked for."""

    page: Page
    watch: CDPSession
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def chart(self, scenario: str, name: str = "timeline") -> Any:
        """The traces that plotly holds."""
        place = f"document.querySelector('#{scenario} [data-chart={name}]')"
        return self.page.evaluate(f"{place}.data")

    def busy(self) -> float:
        """Seconds of processor time that its main thread took; other load does not count."""
        found = self.watch.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in found if one["name"] == "TaskDuration"))

    def all_drawn(self) -> None:
        self.page.wait_for_selector(DRAWN, timeout=PATIENCE)


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Skips on a laptop without one, fails where CI is set."""
    path = next((found for found in map(shutil.which, BROWSERS) if found), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Factory: ``opened(path, width=1280, scheme="light", after="#crash")``."""
    pages: list[Page] = []

    def open_page(path: Path, width: int = 1280, scheme: Any = "light", after: str = "") -> Opened:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        one = Opened(page, page.context.new_cdp_session(page))
        one.watch.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.on("console", lambda message: one.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: one.said.append(str(error)))
        page.on("request", lambda request: one.asked.append(request.url))
        page.goto(path.absolute().as_uri() + after)
        one.all_drawn()
        return one

    yield open_page
    for page in pages:
        page.close()
