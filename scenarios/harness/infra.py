"""Finds out once what to talk to: names of queues and tables, endpoint, credentials, account."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from harness.queues import Queues
from harness.tables import Tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
AWS_ERRORS = (BotoCoreError, ClientError)
ANY_CREDENTIAL = "local"  # MiniStack takes any
# Beside AWS_*, all that a child inherits: to find programs, its home, and the way out.
INHERITED = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_DYNAMODB")


class SetupError(RuntimeError):
    """The scenario cannot be run at all: one clear text for the user, exit code 2."""


@dataclass(frozen=True)
class Resources:
    """The names of one set."""

    queue_url: str
    dlq_arn: str
    status_table: str
    completed_table: str

    @property
    def queue_arn(self) -> str:
        """The DLQ's ARN with the queue's name; both are in one account and region."""
        return self.dlq_arn.rpartition(":")[0] + ":" + self.queue_url.rpartition("/")[2]


@dataclass(frozen=True)
class Target:
    """What the run talks to. `environment` is all that a child gets to reach it.

    `local`: it is on this machine, so counts do not lag and nobody need wait for real timeouts.
    """

    described: str
    local: bool
    region: str
    resources: Mapping[str, Resources]
    environment: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What each set should be (output `settings`), for `make validate`."""

    @property
    def is_ministack(self) -> bool:
        """Whether MiniStack answers there, whose way with expired receipt handles is known."""
        return is_ministack(self.environment.get("AWS_ENDPOINT_URL", ""))


@dataclass(frozen=True)
class Clients:
    """One SQS and one DynamoDB client, for all threads."""

    sqs: SQSClient
    dynamodb: DynamoDBClient
    poll_seconds: int

    def queues(self, resources: Resources) -> Queues:
        name = resources.dlq_arn.rpartition(":")[2]
        dlq_url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        return Queues(self.sqs, resources.queue_url, dlq_url, self.poll_seconds)

    def tables(self, resources: Resources) -> Tables:
        return Tables(self.dynamodb, resources.status_table, resources.completed_table)


def find_target(outputs: Path | None, environ: Mapping[str, str]) -> Target:
    """Decide where the names come from and what they belong to; raises SetupError.

    Names: the file given, else the local stack's if one is up, else Terraform's outputs.
    Endpoint: AWS_ENDPOINT_URL where a file is given, else the local stack beside that file, else
    AWS. A local stack that was found by itself is used whatever the environment says.
    """
    named = outputs or (
        Path(environ["SCENARIO_OUTPUTS"]) if environ.get("SCENARIO_OUTPUTS") else None
    )
    local = _local_endpoint(named.parent if named else LOCAL)
    if named:
        found = _read_outputs(named)
    elif local:
        found = _read_outputs(LOCAL / "outputs.json")
    else:
        found = _terraform_outputs()
    region, resources = _resources(found)
    if local and not (named and environ.get("AWS_ENDPOINT_URL")):
        access = _access(region, ANY_CREDENTIAL, ANY_CREDENTIAL) | {"AWS_ENDPOINT_URL": local}
        described = f"the local stack at {local}"
        target = _target(described, region, resources, access, environ, local=True)
    else:
        target = _remote(region, resources, environ)
    return replace(target, settings=found.get("settings", {}).get("value", {}))


def adopt(target: Target, environ: MutableMapping[str, str]) -> None:
    """Make this process see AWS exactly as the children will: no profile decides by accident."""
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
    environ.update({k: v for k, v in target.environment.items() if k.startswith("AWS_")})


def connect(target: Target) -> Clients:
    """Clients for what `adopt` has put into the environment."""
    session = boto3.Session()
    return Clients(session.client("sqs"), session.client("dynamodb"), 0 if target.local else 1)


def _remote(region: str, resources: Mapping[str, Resources], environ: Mapping[str, str]) -> Target:
    """AWS, or an endpoint that the environment names, with credentials resolved here and now."""
    try:
        session = boto3.Session(region_name=region)
        credentials = session.get_credentials()
        key = credentials and credentials.get_frozen_credentials()
        if key and key.access_key and key.secret_key:
            access = _access(region, key.access_key, key.secret_key)
            access |= {"AWS_SESSION_TOKEN": key.token} if key.token else {}
        elif _on_this_machine(environ.get("AWS_ENDPOINT_URL", "")):
            access = _access(region, ANY_CREDENTIAL, ANY_CREDENTIAL)
        else:
            raise SetupError(
                "no AWS credentials found; start a local stack (make local-up) or log in"
            )
        access |= {k: environ[k] for k in (*ENDPOINTS, "AWS_CA_BUNDLE") if environ.get(k)}
        endpoint = environ.get("AWS_ENDPOINT_URL", "")
        if endpoint:
            described = f"{endpoint} (AWS_ENDPOINT_URL)"
        else:
            account = session.client("sts").get_caller_identity()["Account"]
            described = f"AWS, account {account}, region {region}"
    except AWS_ERRORS as error:
        raise SetupError(f"AWS cannot be used: {error}") from error
    here = urlsplit(endpoint).hostname in {"localhost", "127.0.0.1", "::1"}
    return _target(described, region, resources, access, environ, local=here)


def _on_this_machine(endpoint: str) -> bool:
    return urlsplit(endpoint).hostname in ("127.0.0.1", "localhost")


def _access(region: str, key: str, secret: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _target(
    described: str,
    region: str,
    resources: Mapping[str, Resources],
    access: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    local: bool = False,
) -> Target:
    inherited = {name: environ[name] for name in INHERITED if name in environ}
    if local:
        inherited = {k: v for k, v in inherited.items() if "proxy" not in k.lower()}
    return Target(described, local, region, resources, {**inherited, **access})


def _local_endpoint(state: Path) -> str | None:
    """The endpoint of the stack that this folder records, if it answers."""
    try:
        port = int(json.loads((state / "ministack.json").read_text())["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    endpoint = f"http://127.0.0.1:{port}"
    return endpoint if is_ministack(endpoint) else None


def is_ministack(endpoint: str) -> bool:
    """Whether MiniStack answers at this endpoint; no other address than this machine's is asked."""
    if not _on_this_machine(endpoint):
        return False
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{endpoint}/_ministack/health", timeout=3):
            return True
    except (OSError, HTTPException, ValueError):
        return False


def _read_outputs(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SetupError(f"{path}: no readable outputs ({error})") from error


def _terraform_outputs() -> Any:
    command = ["terraform", f"-chdir={ROOT / 'terraform'}", "output", "-json"]
    advice = "start a local stack (make local-up), or create the queues on AWS (make infra-up)"
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SetupError(f"no local stack is up and terraform is not there; {advice}") from error
    if answer.returncode or not answer.stdout.strip() or answer.stdout.strip() == "{}":
        raise SetupError(f"no local stack is up and Terraform has no outputs; {advice}")
    return json.loads(answer.stdout)


def _resources(outputs: Any) -> tuple[str, dict[str, Resources]]:
    try:
        sets = outputs["scenarios"]["value"]
        found = {
            name: Resources(
                values["queue_url"],
                values["dlq_arn"],
                values["message_status_table"],
                values["message_completed_table"],
            )
            for name, values in sets.items()
        }
        return str(outputs["aws_region"]["value"]), found
    except (KeyError, TypeError, AttributeError) as error:
        raise SetupError(f"the outputs lack {error}; run make infra-up again") from error
