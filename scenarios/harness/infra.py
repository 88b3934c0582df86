"""Finds out once what to talk to: names of queues and tables, endpoint, credentials, account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness.queues import Queues, Tables

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
    "REQUESTS_CA_BUNDLE",
)
# For the local stack: no profile, no config file and no role of this machine decides anything.
ALONE = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
FIND_SECONDS = 60.0  # for a child to find its credentials


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
        environment = _inherited(environ, local=True) | ALONE | _source(region, {})
        environment |= _keys(ANY_CREDENTIAL, ANY_CREDENTIAL) | {"AWS_ENDPOINT_URL": local}
        described = f"the local stack at {local}"
        target = Target(
            described, local=True, region=region, resources=resources, environment=environment
        )
    else:
        target = _remote(region, resources, environ)
    return replace(target, settings=found.get("settings", {}).get("value", {}))


def adopt(target: Target, environ: MutableMapping[str, str]) -> None:
    """Make this process see AWS exactly as the children will."""
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
    environ.update({k: v for k, v in target.environment.items() if k.startswith("AWS_")})


def connect(target: Target) -> Clients:
    """Clients for what `adopt` has put into the environment."""
    session = boto3.Session()
    return Clients(session.client("sqs"), session.client("dynamodb"), 0 if target.local else 1)


def _remote(region: str, resources: Mapping[str, Resources], environ: Mapping[str, str]) -> Target:
    """AWS, or another endpoint, as the user's environment and config file name it.

    Children get where the credentials come from, not what they are now: a long run outlives those.
    """
    try:
        session = boto3.Session(region_name=region)
        endpoint, is_aws = _sqs_endpoint(session)
        local = urlsplit(endpoint).hostname in THIS_MACHINE
        environment = _inherited(environ, local=local) | _source(region, environ)
        keys, kept = _credentials(session, environment, local=local)
        if is_aws:
            account = session.client("sts").get_caller_identity()["Account"]
            described = f"AWS, account {account}, region {region}"
        else:
            named = "AWS_ENDPOINT_URL" if environ.get("AWS_ENDPOINT_URL") else "configured endpoint"
            described = f"{endpoint} ({named})"
    except AWS_ERRORS as error:
        raise SetupError(f"AWS cannot be used: {error}") from error
    return Target(described + kept, local, region, resources, environment | keys)


def _sqs_endpoint(session: boto3.Session) -> tuple[str, bool]:
    """Where SQS is asked, and whether that is AWS itself."""
    usual_only: Any = {"ignore_configured_endpoint_urls": True}  # which the stubs do not know
    found, usual = session.client("sqs"), session.client("sqs", config=Config(**usual_only))
    return found.meta.endpoint_url, found.meta.endpoint_url == usual.meta.endpoint_url


def _credentials(
    session: boto3.Session, environment: Mapping[str, str], *, local: bool
) -> tuple[dict[str, str], str]:
    """Keys for children that cannot find any by themselves, else none; and words about that."""
    found = session.get_credentials()
    key = found and found.get_frozen_credentials()
    if not found or not key or not key.access_key or not key.secret_key:
        if local:
            return _keys(ANY_CREDENTIAL, ANY_CREDENTIAL), ""
        raise SetupError("no AWS credentials found; start a local stack (make local-up) or log in")
    if found.method == "env" or _finds_credentials(environment):
        return {}, ""
    kept = ", with keys that were read once: they are not renewed"
    return _keys(key.access_key, key.secret_key, key.token), kept


def _source(region: str, environ: Mapping[str, str]) -> dict[str, str]:
    """All that the SDK reads of the environment, in the region of the outputs.

    Children run in other folders, so the paths are made absolute.
    """
    found = {name: value for name, value in environ.items() if name.startswith("AWS_") and value}
    paths = [name for name in found if name.endswith("_FILE") or name == "AWS_CA_BUNDLE"]
    found |= {name: str(Path(found[name]).expanduser().absolute()) for name in paths}
    return found | {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}


def _keys(key: str, secret: str, token: str | None = None) -> dict[str, str]:
    session = {"AWS_SESSION_TOKEN": token} if token else {}
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret} | session


def _finds_credentials(environment: Mapping[str, str]) -> bool:
    """Whether a child finds credentials by itself: it cannot ask for an MFA code, and what a
    credential_process needs may not be among what it inherits."""
    find = "import boto3; boto3.Session().get_credentials().get_frozen_credentials()"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", find],
            cwd=ROOT / "consumer",
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,  # no terminal
            timeout=FIND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return answer.returncode == 0


def _inherited(environ: Mapping[str, str], *, local: bool) -> dict[str, str]:
    found = {name: environ[name] for name in INHERITED if name in environ}
    return {k: v for k, v in found.items() if "proxy" not in k.lower()} if local else found


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
    if urlsplit(endpoint).hostname not in THIS_MACHINE:
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
