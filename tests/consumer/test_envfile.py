"""One source of settings at a time, and the user is told which."""

from pathlib import Path

import pytest

from sqs_worker.envfile import REPOSITORY_FILE, merged
from sqs_worker.settings import BadSettings

FILE = """\
# written by hand
QUEUE_URL=https://host/1/from-file
export AWS_REGION=us-west-1
MESSAGE_STATUS_TABLE="with spaces"
MESSAGE_COMPLETED_TABLE='single $quoted'
REJECT_PAYLOAD_MARKER=$HOME/x
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text(FILE)
    return path


def test_the_default_is_the_env_of_the_repository() -> None:
    root = Path(__file__).resolve().parents[2]
    assert root / ".env" == REPOSITORY_FILE


def test_the_default_file_is_read_and_said(file: Path) -> None:
    environ, source = merged({"PATH": "/bin"}, file)
    assert environ == {
        "PATH": "/bin",
        "QUEUE_URL": "https://host/1/from-file",
        "AWS_REGION": "us-west-1",
        "MESSAGE_STATUS_TABLE": "with spaces",
        "MESSAGE_COMPLETED_TABLE": "single $quoted",
        "REJECT_PAYLOAD_MARKER": "$HOME/x",
    }
    assert str(file) in source


def test_no_default_file_is_no_error(tmp_path: Path) -> None:
    environ, source = merged({"A": "1"}, tmp_path / "missing")
    assert environ == {"A": "1"}
    assert source == "settings come from the environment"


def test_what_the_environment_sets_wins(file: Path) -> None:
    environ, _ = merged({"AWS_REGION": "eu-north-1"}, file)
    assert environ["AWS_REGION"] == "eu-north-1"
    assert environ["MESSAGE_STATUS_TABLE"] == "with spaces"


def test_what_the_environment_sets_to_nothing_counts_as_not_set(file: Path) -> None:
    given = {"QUEUE_URL": "", "AWS_REGION": "", "LOG_LEVEL": ""}
    environ, source = merged(given, file)
    assert environ["QUEUE_URL"] == "https://host/1/from-file"
    assert environ["AWS_REGION"] == "us-west-1"
    assert environ["LOG_LEVEL"] == ""  # the file does not have it
    assert str(file) in source


def test_a_queue_in_the_environment_takes_nothing_from_a_file_and_says_so(file: Path) -> None:
    given = {"QUEUE_URL": "https://host/1/mine"}
    for environ in (given, {**given, "ENV_FILE": str(file)}):
        found, source = merged(environ, file)
        assert found == environ
        assert "QUEUE_URL" in source
        assert str(file) in source
        assert "not read" in source


def test_env_file_names_the_file(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.env"
    other.write_text("QUEUE_URL=https://host/1/other\n")
    environ, source = merged({"ENV_FILE": str(other)}, file)
    assert environ["QUEUE_URL"] == "https://host/1/other"
    assert "AWS_REGION" not in environ
    assert str(other) in source


@pytest.mark.parametrize("none", ["", "/dev/null"])
def test_env_file_can_be_none_at_all(file: Path, none: str) -> None:
    environ, _ = merged({"ENV_FILE": none}, file)
    assert environ == {"ENV_FILE": none}


def test_a_named_file_that_cannot_be_read_is_refused(file: Path, tmp_path: Path) -> None:
    garbled = tmp_path / "garbled"
    garbled.write_bytes(b"A=\xff\xfe")
    for path in (tmp_path / "missing", tmp_path, garbled):
        with pytest.raises(BadSettings, match="ENV_FILE=") as caught:
            merged({"ENV_FILE": str(path)}, file)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("AWS_REGION", 1),
        ("export AWS_REGION", 1),
        ("AWS_REGION us-west-1", 1),
        ("=us-west-1", 1),
        ("AWS_SECRET_ACCESS_KEY='s3cret", 1),
        ('AWS_SECRET_ACCESS_KEY="s3cret', 1),
        ("AWS_SECRET_ACCESS_KEY='s3cret'more", 1),
        ("s3cret", 1),
        ("A B=C", 1),
        ("one\nTWO=2\n\nthree", 2),
    ],
)
def test_a_line_that_sets_nothing_is_refused_by_its_number(
    file: Path, line: str, wrong: int
) -> None:
    file.write_text(f"# comment\nQUEUE_URL=https://host/1/q\n\n\n{line}\n  # the end\n")
    with pytest.raises(BadSettings) as caught:
        merged({}, file)
    first, *rest = caught.value.problems
    assert first.startswith(f"{file}, line 5: ")
    assert [problem.startswith(f"{file}, line 8: ") for problem in rest] == [True] * (wrong - 1)
    assert "s3cret" not in str(caught.value)


def test_every_line_that_sets_something_or_nothing_on_purpose_passes(file: Path) -> None:
    file.write_text(
        "A=\nB=''\n\n  \n  # comment\nexport C = 'c' # why\nD=a=b\nE=\"two\nlines\"\nF=#f\nG=1"
    )
    environ, _ = merged({}, file)
    assert environ == {
        "A": "",
        "B": "",
        "C": "c",
        "D": "a=b",
        "E": "two\nlines",
        "F": "#f",
        "G": "1",
    }


def test_a_file_that_is_not_read_may_hold_anything(file: Path) -> None:
    file.write_text("no setting at all\n")
    for environ in ({"QUEUE_URL": "https://host/1/q"}, {"ENV_FILE": ""}):
        assert merged(environ, file)[0] == environ


def test_the_mapping_that_was_given_stays_as_it_was(file: Path) -> None:
    given = {"A": "1"}
    merged(given, file)
    assert given == {"A": "1"}
