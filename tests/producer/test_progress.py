"""What is shown: plain lines where nobody watches, a bar on a terminal."""

import io

import pytest

from sender.report import Bar, Lines, display


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_plain_lines_come_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("sender.report.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    lines = Lines(stream, 100)
    for tick in range(100):
        now[0] = tick / 20
        lines.update(tick)
    assert stream.getvalue().splitlines() == [f"sent {n} of 100" for n in (20, 40, 60, 80)]
    lines.note("not sent: x")
    assert stream.getvalue().endswith("not sent: x\n")


@pytest.mark.parametrize(
    ("stream", "term", "kind"),
    [
        (Terminal(), "xterm", Bar),
        (Terminal(), "dumb", Lines),
        (Terminal(), "", Lines),
        (io.StringIO(), "xterm", Lines),
    ],
)
def test_the_display_fits_the_stream(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, term: str, kind: type[Lines]
) -> None:
    monkeypatch.setenv("TERM", term)
    shown = display(stream, 10)
    shown.close()
    assert type(shown) is kind


@pytest.mark.parametrize("no_color", [False, True])
@pytest.mark.parametrize(("total", "reading"), [(10, "4/10"), (0, "4/?")])
def test_the_bar_counts_keeps_notes_as_they_are_and_heeds_no_color(
    monkeypatch: pytest.MonkeyPatch, total: int, reading: str, *, no_color: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    shown = display(stream, total)
    shown.update(4)
    shown.note("not sent: [red]literal[/red] " + "x" * 200)
    shown.close()
    text = stream.getvalue()
    assert reading in text
    assert "not sent: [red]literal[/red] " + "x" * 200 in text, "as it is, and on one line"
    assert ("\x1b[38;5" in text or "\x1b[3" in text) is not no_color
