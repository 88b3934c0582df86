"""Each program has the same rule for region, queue URL and credentials, and shows no credential."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import boto3
import pytest
from botocore.config import Config

import produce
from doctor import live
from redrive import runs
from redrive import settings as redrive_settings
from sender import access as producing
from sender import settings as sending
from sqs_worker import access as consuming
from sqs_worker import app, settings
from sqs_worker.events import Meter, NoJournal
from support.children import ROOT
from support.environment import base_environment

ACCOUNT = "123456789012"
URL = f"https://sqs.us-west-1.amazonaws.com/{ACCOUNT}/q"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-example"}
QUIET = {"AWS_EC2_METADATA_DISABLED": "true", "ENV_FILE": ""}
DOORS = {
    "consumer": (ROOT / "consumer", ["consume.py"]),
    "producer": (ROOT / "producer", ["produce.py"]),
    "redrive": (ROOT, ["scripts/redrive.py"]),
    "doctor": (ROOT, ["scripts/doctor.py"]),
}


Program = Callable[[dict[str, str]], None]
Says = Callable[[Program, Mapping[str, str]], str]
Source = Callable[[Path, "Answering"], dict[str, str]]


def ran(door: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A door as a process, to its end."""
    folder, argv = DOORS[door]
    files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return subprocess.run(
        [sys.executable, *argv],
        cwd=folder,
        env={**base_environment(), **files, **QUIET, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def consumer(environ: dict[str, str]) -> None:
    chosen = settings.read(environ)
    session = consuming.opened(chosen.queue_url, chosen.aws_region or None)
    app._ports(chosen, session, Meter(), NoJournal())


def producer(environ: dict[str, str]) -> None:
    produce.connect(sending.read([], environ))


def redrive(environ: dict[str, str]) -> None:
    runs.clients(redrive_settings.read([], environ))


def doctor(environ: dict[str, str]) -> None:
    live.connect(settings.read(environ))


PROGRAMS = (consumer, producer, redrive, doctor)
REFUSALS = (
    settings.BadSettings,
    sending.BadSettingsError,
    redrive_settings.BadSettingsError,
    *(consuming.RegionError, consuming.CredentialsError),
    *(producing.RegionError, producing.CredentialsError),
)
programs = pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: str(one.__name__))


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """What a program says to an environment at its start; '' where it would go on."""

    def said(program: Program, environ: Mapping[str, str]) -> str:
        every = {**QUIET, **environ}
        for name, value in every.items():
            monkeypatch.setenv(name, value)
        try:
            program(every)
        except REFUSALS as refusal:
            return str(refusal)
        return ""

    return said


@pytest.mark.parametrize("name", ["access.py", "output.py"])
def test_what_both_packages_have_is_the_same(name: str) -> None:
    ours, theirs = (ROOT / folder / name for folder in ("consumer/sqs_worker", "producer/sender"))
    assert ours.read_text(encoding="utf-8") == theirs.read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [consuming, producing])
@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.us-west-1.amazonaws.com", "us-west-1"),
        ("SQS.US-WEST-1.amazonaws.com:443", "us-west-1"),
        ("sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("us-west-1.queue.amazonaws.com", "us-west-1"),
        ("queue.amazonaws.com", "us-east-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("cn-north-1.queue.amazonaws.com.cn", "cn-north-1"),
        ("sqs.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("sqs.eu-central-1.api.aws", "eu-central-1"),
        ("sqs.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"),
        ("sqs-fips.us-east-2.amazonaws.com", "us-east-2"),
        ("sqs-fips.us-east-2.api.aws", "us-east-2"),
        ("vpce-0a1b-2c3d.sqs.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("vpce-0a1b-2c3d-us-east-1a.sqs.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("localhost:4566", ""),
        ("127.0.0.1:4566", ""),
        ("sqs.us-east-1.localhost.localstack.cloud:4566", ""),
        ("sqs.us-east-1.amazonaws.com.example.com", ""),
        ("my-sqs.us-east-1.example.com", ""),
        ("queue.example.com", ""),
    ],
)
def test_the_host_of_a_url_names_its_region(module: ModuleType, host: str, region: str) -> None:
    assert module.region_of(f"https://{host}/{ACCOUNT}/q") == region


def test_every_endpoint_of_sqs_that_the_sdk_makes_names_its_region() -> None:
    session = boto3.Session("a", "b")
    for region in [*session.get_available_regions("sqs"), "cn-north-1", "us-gov-west-1"]:
        for fips, dual in ((False, False), (True, False), (False, True), (True, True)):
            if region.startswith("cn-") and fips:
                continue
            config = Config(use_fips_endpoint=fips, use_dualstack_endpoint=dual)
            endpoint = session.client("sqs", region, config=config).meta.endpoint_url
            assert consuming.region_of(endpoint) == region, endpoint


IN_FILE = """[default]
region = eu-central-1
[profile endpoint]
region = eu-central-1
endpoint_url = http://127.0.0.1:1
[profile service]
region = eu-central-1
services = here
[services here]
sqs =
  endpoint_url = http://127.0.0.1:1
"""
BOTH = "a queue in us-west-1, but the AWS SDK calls eu-central-1"
NO_URL = "must be a queue URL such as"
NO_REGION = "must be a region such as us-west-1"
OTHER = {"AWS_REGION": "eu-central-1"}


@programs
@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, ""),
        ({"AWS_REGION": "us-west-1", "AWS_DEFAULT_REGION": "eu-central-1"}, ""),
        ({"AWS_DEFAULT_REGION": "us-west-1", "AWS_USE_FIPS_ENDPOINT": "true"}, ""),
        (OTHER, BOTH),
        ({"AWS_DEFAULT_REGION": "eu-central-1"}, BOTH),
        ({"AWS_CONFIG_FILE": IN_FILE}, BOTH),
        ({"AWS_CONFIG_FILE": IN_FILE, "AWS_REGION": "us-west-1"}, ""),
        ({"AWS_CONFIG_FILE": IN_FILE, "AWS_PROFILE": "endpoint"}, ""),
        ({"AWS_CONFIG_FILE": IN_FILE, "AWS_PROFILE": "service"}, ""),
        ({**OTHER, "AWS_USE_DUALSTACK_ENDPOINT": "true"}, BOTH),
        ({**OTHER, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, ""),
        ({**OTHER, "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1"}, ""),
        ({**OTHER, "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}, BOTH),
        (
            {
                **OTHER,
                "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
                "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
            },
            BOTH,
        ),
        (
            {"QUEUE_URL": f"https://queue.amazonaws.com/{ACCOUNT}/q", "AWS_REGION": "us-west-1"},
            "a queue in us-east-1, but the AWS SDK calls us-west-1",
        ),
        ({**OTHER, "QUEUE_URL": f"http://localhost:4566/{ACCOUNT}/q"}, ""),
        ({"AWS_REGION": "us-west-1\n"}, NO_REGION),
        ({"AWS_REGION": "us west 1"}, NO_REGION),
        ({"AWS_DEFAULT_REGION": "us-west-1\n"}, NO_REGION),
        ({"QUEUE_URL": f"{URL}/"}, NO_URL),
        ({"QUEUE_URL": f"{URL}\n"}, NO_URL),
        ({"QUEUE_URL": f"{URL}?Action=x"}, NO_URL),
        ({"QUEUE_URL": "q"}, NO_URL),
    ],
)
def test_one_rule_for_region_and_queue_url(
    program: Program, environ: dict[str, str], said: str, says: Says, tmp_path: Path
) -> None:
    given = {"QUEUE_URL": URL, **KEYS, **environ}
    if "AWS_CONFIG_FILE" in given:
        (tmp_path / "config").write_text(given["AWS_CONFIG_FILE"])
        given["AWS_CONFIG_FILE"] = str(tmp_path / "config")
    found = says(program, given)
    assert said in found
    assert bool(said) == bool(found), found


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.integration
def test_a_region_that_is_not_the_queues_is_exit_code_2(door: str) -> None:
    done = ran(door, {"QUEUE_URL": URL, **KEYS, **OTHER})
    assert done.returncode == 2
    assert BOTH in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", [consumer, producer, doctor])
def test_a_fifo_queue_is_refused_with_what_is_missing(program: Program, says: Says) -> None:
    said = says(program, {"QUEUE_URL": f"{URL}.fifo", **KEYS})
    assert "a FIFO queue" in said
    assert "MessageGroupId" in said if program is producer else "order within a message" in said


@programs
def test_a_password_in_the_queue_url_is_refused_and_not_shown(program: Program, says: Says) -> None:
    said = says(program, {"QUEUE_URL": f"https://user:{SECRET}@host/{ACCOUNT}/q", **KEYS})
    assert NO_URL in said
    assert "QUEUE_URL=" in said
    assert SECRET not in said


# Credentials

SECRET = "TOPSECRETVALUE"
PRINTS = {
    "no JSON": f"#!/bin/sh\necho {SECRET}\n",
    "a list": f"#!/bin/sh\necho '[\"{SECRET}\"]'\n",
    "nothing": "#!/bin/sh\n",
    "its secret in an error": f"#!/bin/sh\necho {SECRET} >&2\nexit 1\n",
    "a line break": "#!/bin/sh\ncat <<END\n"
    f'{{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "{SECRET}\\n"}}\n'
    "END\n",
    "a number": "#!/bin/sh\ncat <<END\n"
    f'{{"Version": 1, "AccessKeyId": 7, "SecretAccessKey": "{SECRET}"}}\n'
    "END\n",
}
STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>%s
</SecretAccessKey><SessionToken>%s&#10;x</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult>"""
WHOLE_STS = STS + "</AssumeRoleWithWebIdentityResponse>"
CONTAINER = (
    '{"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "%s\\n", '
    '"Expiration": "2099-01-01T00:00:00Z"}'
)


class Answering:
    """An endpoint on loopback that answers every request with one status and body."""

    def __init__(self) -> None:
        self.status, self.body = 200, ""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                data = owner.body.encode()
                self.send_response(owner.status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def answering() -> Iterator[Answering]:
    one = Answering()
    yield one
    one.server.shutdown()


def from_environment(name: str, value: str) -> Source:
    return lambda _tmp, _answering: {**KEYS, name: value}


def from_file(line: str) -> Source:
    def source(tmp: Path, _answering: Answering) -> dict[str, str]:
        keys = "aws_access_key_id = a\naws_secret_access_key = b\n"
        (tmp / "credentials").write_text(f"[default]\n{keys}{line}\n")
        return {"AWS_SHARED_CREDENTIALS_FILE": str(tmp / "credentials")}

    return source


def from_process(prints: str) -> Source:
    def source(tmp: Path, _answering: Answering) -> dict[str, str]:
        script = tmp / "process"
        if prints:
            script.write_text(PRINTS[prints])
            script.chmod(0o700)
        (tmp / "config").write_text(f"[profile own]\ncredential_process = {script} {SECRET}\n")
        return {"AWS_CONFIG_FILE": str(tmp / "config"), "AWS_PROFILE": "own"}

    return source


def from_container(status: int, body: str, **more: str) -> Source:
    def source(_tmp: Path, answering: Answering) -> dict[str, str]:
        answering.status, answering.body = status, body
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": answering.url, **more}

    return source


def from_web_identity(status: int, body: str, *, token: bool = True) -> Source:
    def source(tmp: Path, answering: Answering) -> dict[str, str]:
        answering.status, answering.body = status, body
        if token:
            (tmp / "token").write_text(SECRET)
        return {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp / "token"),
            "AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/some-role",
            "AWS_ENDPOINT_URL_STS": answering.url,
        }

    return source


SOURCES = {
    "key": (from_environment("AWS_ACCESS_KEY_ID", f"{SECRET}\nx"), "AWS_ACCESS_KEY_ID: "),
    "secret": (from_environment("AWS_SECRET_ACCESS_KEY", f"{SECRET} x"), "AWS_SECRET_ACCESS_KEY: "),
    "token": (from_environment("AWS_SESSION_TOKEN", f"{SECRET}\r\n"), "AWS_SESSION_TOKEN: "),
    "token that is not ASCII": (
        from_environment("AWS_SESSION_TOKEN", f"{SECRET}\u20ac"),
        "AWS_SESSION_TOKEN: ",
    ),
    "file": (
        from_file(f"aws_session_token = {SECRET} x"),
        "the session token of aws_access_key_id, aws_secret_access_key, aws_session_token in the "
        "profile 'default'",
    ),
    **{
        f"process that prints {prints or 'and is not there'}": (
            from_process(prints),
            "credential_process in the profile 'own'",
        )
        for prints in ("", *PRINTS)
    },
    "container": (from_container(200, CONTAINER % SECRET), "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    "container that refuses": (from_container(400, SECRET), "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    "container token": (
        from_container(200, "", AWS_CONTAINER_AUTHORIZATION_TOKEN=f"{SECRET}\n"),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ),
    "container token file": (
        from_container(200, "", AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="/nowhere"),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ),
    "web identity": (
        from_web_identity(200, WHOLE_STS % (SECRET, SECRET)),
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "web identity that is cut": (
        from_web_identity(200, STS % (SECRET, SECRET)),
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "web identity without its file": (
        from_web_identity(200, "", token=False),
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "web identity that is refused": (
        from_web_identity(
            403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        ),
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
}


@programs
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.integration
def test_credentials_of_no_use_are_named_and_not_shown(
    program: Program,
    source: str,
    says: Says,
    tmp_path: Path,
    answering: Answering,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    make, named = SOURCES[source]
    said = says(program, {"QUEUE_URL": URL, **make(tmp_path, answering)})
    assert named in said
    assert SECRET not in said


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "source",
    ["token", "process that prints its secret in an error", "web identity that is cut"],
)
@pytest.mark.integration
def test_no_output_of_a_program_has_a_credential(
    door: str, source: str, tmp_path: Path, answering: Answering
) -> None:
    make, named = SOURCES[source]
    given = {**make(tmp_path, answering), "LOG_LEVEL": "DEBUG"}
    done = ran(door, {"QUEUE_URL": URL, **given})
    assert done.returncode == 3, done.stderr
    assert named in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert len([line for line in done.stderr.splitlines() if " INFO " not in line]) == 1


@pytest.mark.parametrize("module", [consuming, producing])
@pytest.mark.parametrize(
    "text",
    [
        f"An HTTP Client raised an unhandled exception: Invalid header value b'{SECRET}\\n'",
        f"'{SECRET}' not a valid key=value pair (missing equal-sign) in Authorization header: "
        f"'AWS4-HMAC-SHA256 Credential={SECRET}'.",
        "The request signature we calculated does not match. The Canonical String for this "
        f"request should have been\n'POST\n/\n\nx-amz-security-token:{SECRET}'",
        f"invalid XML received. Further retries may succeed:\nb'{SECRET}'",
    ],
)
def test_what_quotes_a_credential_is_cut(module: ModuleType, text: str) -> None:
    assert SECRET not in module.shown(text)
    assert "not shown" in module.shown(text)
