"""Arguments and environment in, typed settings or one complete refusal out."""

import json
import uuid
from pathlib import Path

import pytest

from sender import env
from sender.flags import FLAGS
from sender.payloads import BYTES_MAX
from sender.settings import BadSettingsError, Settings, read

URL = "http://127.0.0.1:4566/000000000000/sqs-demo-happy-queue"


@pytest.fixture(autouse=True)
def no_file_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(env, "DEFAULT", tmp_path / "none.env")


def refusal(*arguments: str, **environ: str) -> list[str]:
    with pytest.raises(BadSettingsError) as refused:
        read(arguments, {"QUEUE_URL": URL} | environ)
    return str(refused.value).splitlines()[1:]


def accepted(*arguments: str, **environ: str) -> Settings:
    return read(arguments, {"QUEUE_URL": URL} | environ)


def test_defaults_are_those_of_the_specification() -> None:
    found = accepted()
    assert (found.n, found.rate, found.batch_size, found.concurrency) == (10, 0, 10, 4)
    assert (found.poison_count, found.poison_every) == (0, 0)
    assert (found.queue_url, found.region, found.profile) == (URL, None, None)
    assert found.journal_path == ""


def test_every_flag_reaches_its_field() -> None:
    given = {
        "n": 25,
        "rate": 0.5,
        "batch_size": 3,
        "poison_count": 4,
        "poison_every": 6,
        "seed": 7,
        "fields": '{"order_id": "A17"}',
        "concurrency": 2,
        "queue_url": URL + "-2",
        "region": "eu-west-3",
        "profile": "me",
    }
    found = accepted(*[f"--{name.replace('_', '-')}={value}" for name, value in given.items()])
    assert {name: getattr(found, name) for name in given} == given | {
        "fields": ({"order_id": "A17"},)
    }
    assert len(given) == len(FLAGS)


def test_flags_outrank_the_environment() -> None:
    found = accepted("--queue-url", URL + "-2", "--region", "eu-west-3", AWS_REGION="us-west-1")
    assert (found.queue_url, found.region) == (URL + "-2", "eu-west-3")
    assert accepted(AWS_REGION="us-west-1").region == "us-west-1"


def test_the_profile_of_the_environment_is_left_to_the_sdk() -> None:
    """As an argument it would outrank the keys in the environment; the SDK wants it otherwise."""
    assert accepted(AWS_PROFILE="me").profile is None


def test_without_a_seed_each_run_has_its_own() -> None:
    assert accepted().seed != accepted().seed


def test_each_bad_setting_is_named_in_one_message() -> None:
    bad = {
        "n": "ten",
        "rate": "-1",
        "batch-size": "11",
        "poison-count": "1.5",
        "poison-every": "-3",
        "seed": "x",
        "fields": '["A17"]',
        "concurrency": "0",
        "queue-url": "nowhere",
        "region": "us west 1",
        "profile": " ",
    }
    lines = refusal(*[f"--{name}={value}" for name, value in bad.items()])
    assert len(lines) == len(bad) == len(FLAGS)
    for name, value in bad.items():
        line = next(line for line in lines if line.strip().startswith(f"--{name}="))
        assert repr(value) in line
        assert "must be " in line


@pytest.mark.parametrize(
    ("arguments", "named", "allowed"),
    [
        (["--n", "-1"], "--n='-1'", "0 or more"),
        (["--n", "1e3"], "--n='1e3'", "whole number"),
        (["--n", "1_000"], "--n='1_000'", "whole number"),
        (["--n", ""], "--n=''", "whole number"),
        (["--n"], "--n=''", "whole number"),
        (["--fields", "A17"], "--fields='A17'", "a JSON object"),
        (["--fields", "7"], "--fields='7'", "a JSON object"),
        (["--fields", "[]"], "--fields='[]'", "a list of such"),
        (["--fields", '[{"a": 1}, 2]'], "--fields='[{\"a\": 1}, 2]'", "a list of such"),
        (["--fields", '{"id": "m-1"}'], '--fields=\'{"id": "m-1"}\'', "without id or poison"),
        (["--fields", '{"poison": 1}'], "--fields='{\"poison\": 1}'", "without id or poison"),
        (["--fields", '{"a": NaN}'], "--fields='{\"a\": NaN}'", "a JSON object"),
        (["--rate", "nan"], "--rate='nan'", "0 or more"),
        (["--rate", "inf"], "--rate='inf'", "0 or more"),
        (["--rate", "1_0"], "--rate='1_0'", "0 or more"),
        (["--rate", ""], "--rate=''", "0 or more"),
        (["--batch-size", "0"], "--batch-size='0'", "1 to 10"),
        (["--concurrency", "65"], "--concurrency='65'", "1 to 64"),
        (["--seed", "-1"], "--seed='-1'", "whole number"),
        (["--poison-count", "11"], "--poison-count='11'", "0 to 10 (--n)"),
        (["--poison-count", "1", "--n", "0"], "--poison-count='1'", "use --poison-every"),
        (["--queue-url", ""], "--queue-url=''", "a queue URL such as"),
        (["--queue-url", "sqs-demo-happy-queue"], "--queue-url", "URL"),
        (["--queue-url", "https://host/123/name.fifo"], "--queue-url", "standard queue"),
        (["--queue-url", "https://host/"], "--queue-url", "URL"),
        (["--queue-url", "ftp://host/123/name"], "--queue-url", "URL"),
        (["--nn", "3"], "--nn", "unknown argument"),
        (["--batch", "3"], "--batch", "unknown argument"),
        (["surplus"], "surplus", "unknown argument"),
    ],
)
def test_each_bad_setting_is_named_with_what_is_allowed(
    arguments: list[str], named: str, allowed: str
) -> None:
    line = refusal(*arguments)[0]
    assert named in line
    assert allowed in line


@pytest.mark.parametrize("poison", [[], ["--poison-count", "1"], ["--poison-every", "1"]])
def test_a_body_larger_than_sqs_takes_is_refused_without_its_text(poison: list[str]) -> None:
    body = json.dumps({"id": str(uuid.uuid4()), "work": 1000, "note": ""} | {"poison": True})
    room = BYTES_MAX - len(body) + (0 if poison else len(', "poison": true'))
    assert accepted("--fields", json.dumps({"note": "x" * room}), *poison).fields
    too_large = json.dumps([{}, {"note": "x" * (room + 1)}])
    lines = refusal("--fields", too_large, *poison)
    assert len(lines) == 1
    assert "--fields, object 2 of 2: makes a body of 1048577 bytes" in lines[0]
    assert len(lines[0]) < 200


def test_poison_every_overrides_a_count_that_would_not_fit() -> None:
    assert accepted("--n", "5", "--poison-count", "9", "--poison-every", "2").poison_every == 2


def test_no_queue_at_all_is_one_problem() -> None:
    with pytest.raises(BadSettingsError, match=r"1 bad setting; .*\n.*QUEUE_URL: neither is set"):
        read([], {})
    assert refusal(QUEUE_URL="")[0].strip().startswith("--queue-url, QUEUE_URL")


def test_a_bad_variable_goes_by_its_own_name() -> None:
    lines = refusal(QUEUE_URL="x", AWS_REGION="us west")
    assert [line.split("=")[0].strip() for line in lines] == ["QUEUE_URL", "AWS_REGION"]


def test_a_journal_that_cannot_be_written_is_a_bad_setting(tmp_path: Path) -> None:
    assert "JOURNAL_PATH" in refusal(JOURNAL_PATH=str(tmp_path))[0]
    assert "JOURNAL_PATH" in refusal(JOURNAL_PATH=str(tmp_path / "no" / "journal"))[0]
    assert accepted(JOURNAL_PATH=str(tmp_path / "journal")).journal_path


def test_help_names_every_flag_variable_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(["--help"], {})
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    for flag in FLAGS:
        assert f"--{flag.name} " in shown
    for word in ("QUEUE_URL", "AWS_ENDPOINT_URL", "ENV_FILE", "JOURNAL_PATH", "130", "143"):
        assert word in shown
