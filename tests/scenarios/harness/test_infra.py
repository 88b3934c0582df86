"""Where names, endpoint and credentials come from, and that nothing decides by accident."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from harness import infra
from harness.infra import SetupError, adopt, connect, find_target
from local_aws import Stack, provision

SET = {
    "queue_url": "http://q/000000000000/happy-queue",
    "dlq_arn": "arn:aws:sqs:us-west-1:000000000000:happy-queue-dlq",
    "message_status_table": "happy-status",
    "message_completed_table": "happy-completed",
}
OUTPUTS = {"aws_region": {"value": "us-west-1"}, "scenarios": {"value": {"happy": SET}}}
KEYS = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of outputs; no local stack is up."""
    monkeypatch.setattr(infra, "LOCAL", tmp_path / "no-stack")
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(OUTPUTS))
    return path


def given(monkeypatch: pytest.MonkeyPatch, **values: str) -> dict[str, str]:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


def test_an_endpoint_from_the_environment(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = given(monkeypatch, AWS_ENDPOINT_URL="http://moto:1", QUEUE_URL="x", **KEYS)
    target = find_target(outputs, environ)
    assert not target.local
    assert "http://moto:1" in target.described
    assert target.environment["AWS_ENDPOINT_URL"] == "http://moto:1"
    assert target.environment["AWS_ACCESS_KEY_ID"] == "mine"
    assert "QUEUE_URL" not in target.environment
    assert target.resources["happy"].queue_arn.endswith(":happy-queue")


def test_outputs_named_by_the_environment(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = given(
        monkeypatch, SCENARIO_OUTPUTS=str(outputs), AWS_ENDPOINT_URL="http://moto:1", **KEYS
    )
    assert find_target(None, environ).region == "us-west-1"


def test_aws_says_its_account(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mock_aws():
        target = find_target(outputs, given(monkeypatch, **KEYS))
    assert target.described == "AWS, account 123456789012, region us-west-1"
    assert "AWS_ENDPOINT_URL" not in target.environment


def asked(target: infra.Target, code: str, folder: Path) -> list[str]:
    """The words that a child with the target's environment prints, in a folder of its own."""
    answer = subprocess.run(
        [sys.executable, "-c", f"import boto3\nsession = boto3.Session()\n{code}"],
        env=dict(target.environment),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()


KEY = "print(session.get_credentials().get_frozen_credentials().access_key)\n"


def by_process(tmp_path: Path, needs: str = "") -> Path:
    """A config file with a credential_process that has other keys each time, for a minute."""
    script = tmp_path / "keys.py"
    script.write_text(
        "import datetime, json, os, pathlib, sys\n"
        f"if {needs!r} and {needs!r} not in os.environ: sys.exit('nobody to ask')\n"
        "count = pathlib.Path(sys.argv[1])\n"
        "number = int(count.read_text()) + 1 if count.exists() else 1\n"
        "count.write_text(str(number))\n"
        "end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'key-{number}', 'SecretAccessKey': 's',\n"
        "    'SessionToken': 't', 'Expiration': end.isoformat()}))\n"
    )
    config = tmp_path / "config"
    process = f"{sys.executable} {script} {tmp_path / 'count'}"
    config.write_text(f"[profile work]\ncredential_process = {process}\n")
    return config


@pytest.mark.integration
def test_credentials_are_not_frozen_at_the_start(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each child asks the process itself, and again when its keys end; so does the runner."""
    config = by_process(tmp_path)
    environ = given(
        monkeypatch,
        AWS_CONFIG_FILE=str(config),
        AWS_PROFILE="work",
        AWS_ENDPOINT_URL="http://moto:1",
    )
    target = find_target(outputs, environ)
    assert "AWS_ACCESS_KEY_ID" not in target.environment
    assert "not renewed" not in target.described
    first, later = asked(target, KEY + KEY, tmp_path)
    (other,) = asked(target, KEY, tmp_path)
    assert len({first, later, other}) == 3, "three answers of the process"


@pytest.mark.integration
def test_what_a_child_cannot_ask_for_is_passed_on_and_said(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As with an MFA code: the user's shell has what the process needs, a child has it not."""
    environ = given(
        monkeypatch,
        AWS_CONFIG_FILE=str(by_process(tmp_path, needs="SOMEBODY")),
        AWS_PROFILE="work",
        AWS_ENDPOINT_URL="http://moto:1",
        SOMEBODY="is here",
    )
    target = find_target(outputs, environ)
    assert target.environment["AWS_ACCESS_KEY_ID"].startswith("key-")
    assert target.environment["AWS_SESSION_TOKEN"] == "t"
    assert "keys that were read once" in target.described
    assert "key-" not in target.described
    assert asked(target, KEY, tmp_path) == [target.environment["AWS_ACCESS_KEY_ID"]]


@pytest.mark.integration
def test_a_profile_is_left_to_the_children(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where its file is named from here: children run in other folders."""
    credentials = tmp_path / "credentials"
    credentials.write_text("[work]\naws_access_key_id = theirs\naws_secret_access_key = s\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    environ = given(
        monkeypatch,
        AWS_SHARED_CREDENTIALS_FILE="credentials",
        AWS_PROFILE="work",
        AWS_ENDPOINT_URL="http://moto:1",
    )
    target = find_target(outputs, environ)
    assert "AWS_ACCESS_KEY_ID" not in target.environment
    assert asked(target, KEY, elsewhere) == ["theirs"]


FIPS, DUAL = "use_fips_endpoint", "use_dualstack_endpoint"
ENDPOINT = "print(session.client('sqs').meta.endpoint_url, session.client('sts').meta.endpoint_url)"


@pytest.mark.parametrize("by", ["environment", "config file"])
@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({FIPS: "true"}, "sqs-fips.us-west-1.amazonaws.com"),
        ({DUAL: "true"}, "sqs.us-west-1.api.aws"),
        ({FIPS: "true", DUAL: "true"}, "sqs-fips.us-west-1.api.aws"),
        ({"endpoint_url": "http://moto:2"}, "moto:2"),
    ],
)
@pytest.mark.integration
def test_children_talk_to_the_endpoint_that_the_user_chose(
    outputs: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stack: Stack,
    by: str,
    settings: dict[str, str],
    host: str,
) -> None:
    """The account is asked of an STS of the user's own choice, too: here the local stack's."""
    if by == "environment":
        given(monkeypatch, **{f"AWS_{name.upper()}": value for name, value in settings.items()})
    else:
        config = tmp_path / "config"
        lines = [f"{name} = {value}" for name, value in settings.items()]
        config.write_text("\n".join(["[default]", *lines]) + "\n")
        given(monkeypatch, AWS_CONFIG_FILE=str(config))
    environ = given(monkeypatch, AWS_ENDPOINT_URL_STS=stack.endpoint, **KEYS)
    target = find_target(outputs, environ)
    assert not target.local
    sqs, sts = asked(target, ENDPOINT, tmp_path)
    assert (sqs.partition("://")[2], sts) == (host, stack.endpoint)
    aws = "AWS, account 000000000000, region us-west-1"
    assert target.described.startswith("http://moto:2 (" if host == "moto:2" else aws)


@pytest.mark.integration
def test_the_region_is_that_of_the_outputs(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environ = given(monkeypatch, AWS_REGION="eu-west-3", AWS_ENDPOINT_URL="http://moto:1", **KEYS)
    target = find_target(outputs, environ)
    assert asked(target, "print(session.region_name)", tmp_path) == ["us-west-1"]
    assert target.environment["AWS_REGION"] == "us-west-1"


@pytest.mark.parametrize(
    ("values", "said"),
    [({}, "no AWS credentials"), ({"AWS_PROFILE": "nobody"}, r"profile .*nobody")],
)
def test_no_credentials_is_a_setup_error(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], said: str
) -> None:
    environ = given(monkeypatch, AWS_ENDPOINT_URL="http://moto:1", **values)
    with pytest.raises(SetupError, match=said):
        find_target(outputs, environ)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scenarios": {"value": {"happy": {}}}}'])
def test_unreadable_outputs_are_a_setup_error(outputs: Path, text: str) -> None:
    outputs.write_text(text)
    with pytest.raises(SetupError):
        find_target(outputs, {})


def test_without_stack_and_terraform_it_says_what_to_do(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SetupError, match="make local-up"):
        find_target(None, {})


@pytest.mark.integration
def test_the_local_stack_is_taken_whatever_the_environment_says(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"pid": stack.pid, "port": stack.port, "started": 0}
    (tmp_path / "ministack.json").write_text(json.dumps(record))
    (tmp_path / "outputs.json").write_text(json.dumps(provision(stack.endpoint)))
    monkeypatch.setattr(infra, "LOCAL", tmp_path)
    environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_PROFILE": "nobody", "PATH": "/bin"}
    target = find_target(None, environ)
    assert target.local
    assert target.environment["AWS_ENDPOINT_URL"] == stack.endpoint
    seen: dict[str, Any] = {"AWS_PROFILE": "nobody", "PATH": "/bin"}
    adopt(target, seen)
    assert "AWS_PROFILE" not in seen
    for name, value in seen.items():
        monkeypatch.setenv(name, value)
    queues = connect(target).queues(target.resources["happy"])
    assert queues.sample().backlog == 0
    assert queues.visibility() == 10
