"""One record is one line, whatever text an id, a body or an error brings."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from sqs_worker import logs

HOSTILE = "a\nb\r\x1b[31mred\x00\u2028\ud800"


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The root logger without handlers, put back as it was."""
    names = ("", "sqs_worker")
    levels = {name: logging.getLogger(name).level for name in names}
    monkeypatch.setattr(logging.root, "handlers", [])
    yield logging.root
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def log(form: str, text: str, *arguments: object, level: str = "INFO") -> None:
    logs.set_up(level, form)
    logging.getLogger("sqs_worker.test").info(text, *arguments)


def failing(form: str, text: str) -> None:
    logs.set_up("INFO", form)
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("sqs_worker.test").exception("it failed")


@pytest.mark.usefixtures("root")
class TestText:
    def test_a_line_has_time_level_and_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        log("text", "message %s", "m-1")
        line = capsys.readouterr().err
        assert line.endswith(" INFO    message m-1\n")
        assert line[2] == line[5] == ":"

    def test_no_text_can_forge_a_line_or_colour(self, capsys: pytest.CaptureFixture[str]) -> None:
        log("text", "message %s", HOSTILE)
        line = capsys.readouterr().err
        assert len(line.splitlines()) == 1
        assert r"a\nb\r\x1b[31mred\x00\u2028\ud800" in line

    def test_what_is_printable_stays(self, capsys: pytest.CaptureFixture[str]) -> None:
        log("text", "%s", "é ✓ 漢 \\n")
        assert "é ✓ 漢 \\n" in capsys.readouterr().err

    def test_a_long_line_is_cut_and_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        log("text", "%s", "x" * 5000)
        line = capsys.readouterr().err
        assert len(line) < 2100
        assert "(5000 characters)" in line

    def test_a_traceback_follows_indented(self, capsys: pytest.CaptureFixture[str]) -> None:
        failing("text", "bad\x1b")
        first, *rest = capsys.readouterr().err.splitlines()
        assert "ERROR   it failed" in first
        assert rest[-1] == r"  | ValueError: bad\x1b"
        assert all(line.startswith("  | ") for line in rest)


@pytest.mark.usefixtures("root")
class TestJson:
    def test_a_record_is_one_object_on_a_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        log("json", "message %s", HOSTILE)
        (line,) = capsys.readouterr().err.splitlines()
        fields = json.loads(line)
        assert fields.pop("t") > 1_600_000_000
        assert fields == {
            "level": "INFO",
            "text": r"message a\nb\r\x1b[31mred\x00\u2028\ud800",
        }

    def test_the_closing_figures_are_fields(self, capsys: pytest.CaptureFixture[str]) -> None:
        logs.set_up("INFO", "json")
        figures = {"calls": {"sqs.ReceiveMessage": 2}, "seconds": 0.5}
        logging.getLogger("sqs_worker.test").info("stopped", extra={"figures": figures})
        (line,) = capsys.readouterr().err.splitlines()
        assert json.loads(line)["figures"] == figures

    def test_a_traceback_is_a_field(self, capsys: pytest.CaptureFixture[str]) -> None:
        failing("json", "bad\nworse")
        (line,) = capsys.readouterr().err.splitlines()
        assert json.loads(line)["traceback"].endswith("ValueError: bad\nworse")


@pytest.mark.usefixtures("root")
def test_the_level_is_ours_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("DEBUG", "text")
    logging.getLogger("sqs_worker.loop").debug("ours")
    logging.getLogger("botocore").info("not ours")
    logging.getLogger("botocore").warning("a warning")
    text = capsys.readouterr().err
    assert "ours" in text
    assert "not ours" not in text
    assert "a warning" in text


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_header_that_an_error_quotes_is_not_shown(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    failing(form, "Invalid header value b'AWS4-HMAC-SHA256 Credential=SECRET'")
    log(form, "%s", "Invalid header value b'SECRET'")
    text = capsys.readouterr().err
    assert text.count("Invalid header value (the rest is not shown") == 2
    assert "SECRET" not in text


@pytest.mark.usefixtures("root")
def test_what_is_below_the_level_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    log("text", "hello", level="ERROR")
    assert capsys.readouterr().err == ""


def test_setting_up_twice_does_not_double_lines(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up("INFO", "text")
    log("text", "once")
    assert len(root.handlers) == 1
    assert root.handlers[0].stream is sys.stderr  # type: ignore[attr-defined]
    assert capsys.readouterr().err.count("once") == 1
