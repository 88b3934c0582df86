"""Opening a report: the newest, another, one that was never written, and none."""

from __future__ import annotations

from pathlib import Path

import pytest

import open_report
from support.saved_runs import crash


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was asked for."""
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", asked.append)
    monkeypatch.setattr("report.write.get_plotlyjs", lambda: "")
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return asked


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    for name in ("20260101-000000-aa", "20260102-000000-bb"):
        crash().save(tmp_path / name)
    (tmp_path / "20260103-000000-cc").mkdir()  # interrupted before anything was there
    return tmp_path


def test_the_newest_is_written_and_its_path_printed(
    opened: list[str], reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_report.main(["--reports", str(reports)]) == 0
    page = reports / "20260102-000000-bb" / "index.html"
    assert capsys.readouterr().out.strip() == str(page)
    assert page.exists()
    assert opened == []


def test_a_page_that_is_there_is_left_alone(opened: list[str], reports: Path) -> None:
    page = reports / "20260101-000000-aa" / "index.html"
    page.write_text("mine")
    assert open_report.main([str(page.parent)]) == 0
    assert page.read_text() == "mine"


def test_a_page_that_cannot_be_written_is_one_line(
    opened: list[str], reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (reports / "20260102-000000-bb" / ".index.html.tmp").mkdir()
    assert open_report.main(["--reports", str(reports)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("report: ")
    assert said.count("\n") == 1
    assert opened == []


def test_where_there_is_a_screen_a_browser_opens_it(
    opened: list[str], reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_report.main(["--reports", str(reports)]) == 0
    assert opened == [(reports / "20260102-000000-bb" / "index.html").as_uri()]


@pytest.mark.parametrize(
    ("environment", "platform", "screen"),
    [
        ({}, "linux", False),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"BROWSER": "firefox"}, "linux", True),
        ({"DISPLAY": ""}, "linux", False),
        ({}, "darwin", True),
    ],
)
def test_has_browser(environment: dict[str, str], platform: str, screen: bool) -> None:
    assert open_report.has_browser(environment, platform) is screen


def test_no_run_says_what_makes_one(
    opened: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_report.main(["--reports", str(tmp_path)]) == 2
    assert "holds no run; run: make demo" in capsys.readouterr().err
