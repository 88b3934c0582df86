"""Where names, endpoint and credentials come from, and that nothing decides by accident."""

from __future__ import annotations

import json
import os
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
    assert target.environment["AWS_CONFIG_FILE"] == os.devnull
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


def test_a_profile_is_resolved_by_the_runner_and_not_passed_on(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[work]\naws_access_key_id = theirs\naws_secret_access_key = s\n")
    environ = given(
        monkeypatch,
        AWS_SHARED_CREDENTIALS_FILE=str(credentials),
        AWS_PROFILE="work",
        AWS_ENDPOINT_URL="http://moto:1",
    )
    target = find_target(outputs, environ)
    assert target.environment["AWS_ACCESS_KEY_ID"] == "theirs"
    assert "AWS_PROFILE" not in target.environment


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
