"""One source of settings at a time: which .env is read, what it adds, what it never touches."""

import os
from pathlib import Path

import pytest

from sender import env
from sender.env import EnvFileError, load
from sender.settings import BadSettingsError, read


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "with space" / ".env"
    path.parent.mkdir()
    path.write_text(
        "QUEUE_URL='http://host/0/from-file'\nAWS_REGION=\"eu-west-3\"\n"
        "export AWS_PROFILE='two words'\nJOURNAL_PATH=/tmp/a # comment\n"
        "AWS_SECRET_ACCESS_KEY='a${HOME}b#c'\n"
    )
    monkeypatch.setattr(env, "DEFAULT", path)
    return path


def test_the_repository_file_fills_what_the_environment_lacks(file: Path) -> None:
    environ = {"AWS_REGION": "us-west-1"}
    values, line = load(environ)
    assert values["QUEUE_URL"] == "http://host/0/from-file"
    assert values["AWS_REGION"] == "us-west-1"
    assert values["JOURNAL_PATH"] == "/tmp/a"  # noqa: S108
    assert str(file) in line
    assert "QUEUE_URL" in line
    assert "AWS_REGION" not in line


def test_only_what_the_sdk_reads_goes_into_the_environment(file: Path) -> None:
    environ: dict[str, str] = {}
    load(environ)
    assert environ == {
        "AWS_REGION": "eu-west-3",
        "AWS_PROFILE": "two words",
        "AWS_SECRET_ACCESS_KEY": "a${HOME}b#c",
    }


def test_a_queue_in_the_environment_means_that_no_file_is_read(file: Path) -> None:
    file.write_bytes(b"\xff\xfe not text at all")
    environ = {"QUEUE_URL": "http://host/0/mine"}
    values, line = load(environ)
    assert values == environ == {"QUEUE_URL": "http://host/0/mine"}
    assert "QUEUE_URL" in line
    assert "not read" in line


def test_what_the_environment_sets_to_nothing_counts_as_not_set(file: Path) -> None:
    environ = {"QUEUE_URL": "", "AWS_REGION": "", "OTHER": ""}
    values, line = load(environ)
    assert values["QUEUE_URL"] == "http://host/0/from-file"
    assert values["AWS_REGION"] == environ["AWS_REGION"] == "eu-west-3"
    assert values["OTHER"] == ""  # the file does not have it
    assert environ["QUEUE_URL"] == ""
    assert "QUEUE_URL" in line
    assert "AWS_REGION" in line


@pytest.mark.parametrize("named", ["", "/dev/null"])
def test_no_file_on_request(file: Path, named: str) -> None:
    environ = {"ENV_FILE": named}
    assert load(environ) == (environ, "")
    assert environ == {"ENV_FILE": named}


def test_no_repository_file_is_no_problem(file: Path) -> None:
    file.unlink()
    assert load({}) == ({}, "")


def test_another_file_by_name(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.env"
    other.write_text("QUEUE_URL=http://host/0/other\n")
    assert load({"ENV_FILE": str(other)})[0]["QUEUE_URL"] == "http://host/0/other"


def test_a_named_file_that_is_missing_or_unreadable_is_refused(file: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.env", tmp_path):
        with pytest.raises(EnvFileError, match="ENV_FILE"):
            load({"ENV_FILE": str(path)})
    file.write_bytes(b"A=\xff")
    with pytest.raises(EnvFileError, match=os.path.basename(file)):  # noqa: PTH119
        load({})


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("AWS_REGION", 1),
        ("export AWS_REGION", 1),
        ("AWS_REGION us-west-1", 1),
        ("=us-west-1", 1),
        ("AWS_SECRET_ACCESS_KEY='s3cret", 1),
        ('AWS_SECRET_ACCESS_KEY="s3cret', 1),
        ("s3cret", 1),
        ("one\nTWO=2\n\nthree", 2),
    ],
)
def test_a_line_that_sets_nothing_is_refused_by_its_number(
    file: Path, line: str, wrong: int
) -> None:
    file.write_text(f"# comment\nQUEUE_URL=http://host/0/q\n\n\n{line}\n  # the end\n")
    environ: dict[str, str] = {}
    with pytest.raises(EnvFileError) as caught:
        load(environ)
    first, *rest = caught.value.problems
    assert first.startswith(f"{file}, line 5: ")
    assert [problem.startswith(f"{file}, line 8: ") for problem in rest] == [True] * (wrong - 1)
    assert "s3cret" not in str(caught.value)
    assert environ == {}


def test_each_such_line_is_a_problem_of_its_own_among_the_others(file: Path) -> None:
    file.write_text("QUEUE_URL\nAWS_REGION\n")
    with pytest.raises(BadSettingsError) as caught:
        read(["--n", "many", "--queue-url", "http://host/0/q"], {})
    assert str(caught.value).startswith("3 bad settings")
