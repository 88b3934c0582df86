"""Checks what the AWS SDK was given, region and credentials, before the first request.

The consumer and the producer share no package, so each has this file; a test compares them. It
prints no credential, and cuts out of the SDK's texts what may hold one.
"""

import logging
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import boto3

QUEUE_URL = r"https?://[^/\s?#@]+(/[^/\s?#]+)*/[A-Za-z0-9_-]{1,80}(\.fifo)?"
REGION = r"[A-Za-z0-9-]{1,63}"

_SUFFIX = r"(?:amazonaws\.(?:com|com\.cn|eu)|api\.aws|api\.amazonwebservices\.(?:com\.cn|eu))"
_HOST = re.compile(
    rf"(?:[a-z0-9-]+\.)?sqs(?:-fips)?\.({REGION})\.(?:vpce\.)?{_SUFFIX}"
    rf"|({REGION})\.queue\.{_SUFFIX}"
)
"""Hosts of SQS: regional, FIPS, dual-stack and of VPC endpoints; then the legacy ones."""

_FIT = re.compile(r"[!-~]+")
"""What a credential consists of. Anything else breaks the HTTP header that carries it, and the
error of that, of the HTTP client or of AWS, quotes the header."""
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_IN_FILES = tuple(key.lower() for key in _KEYS)
_SETTINGS = {
    "env": _KEYS,
    "assume-role": ("role_arn", "source_profile", "credential_source"),
    "assume-role-with-web-identity": (
        *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
        *("web_identity_token_file", "role_arn"),
    ),
    "sso": ("sso_session", "sso_start_url", "sso_account_id", "sso_role_name"),
    "login": ("login_session",),
    "shared-credentials-file": _IN_FILES,
    "config-file": _IN_FILES,
    "custom-process": ("credential_process",),
    "container-role": (
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    ),
}
"""By the SDK's name of a source: its variables, and in lower case its settings in a profile."""

_QUOTED = re.compile(
    r"(Invalid header value|The Canonical String for this request|Further retries may succeed:"
    r"|from container metadata:|from custom-process:).*|'[^']*' not a valid key=value pair.*",
    re.DOTALL,
)
"""Where the SDK or AWS goes on to quote a header, an answer of a source or what it printed."""


class RegionError(Exception):
    """The region cannot be right: a bad setting, which the text names."""


class CredentialsError(Exception):
    """There are no usable credentials; the text names the source. The cause is the SDK's error."""


def opened(queue_url: str, region: str | None, profile: str | None = None) -> "boto3.Session":
    """A session whose region and credentials were found, with `region` and `profile` as given.

    Where nothing sets a region, it is the one that the queue's URL names. Raises RegionError,
    CredentialsError, and the SDK's own errors.
    """
    import boto3  # noqa: PLC0415 - bad settings need not wait for the SDK
    import botocore.session  # noqa: PLC0415

    core = botocore.session.Session(profile=profile)
    found = region or core.get_config_variable("region") or region_of(queue_url)
    if found and not re.fullmatch(REGION, found):
        raise RegionError(
            f"the region {found!r} (AWS_REGION, --region, AWS_DEFAULT_REGION or the profile's): "
            "must be a region such as us-west-1"
        )
    session = boto3.Session(botocore_session=core, region_name=found or None)
    # It logs each failed refresh with a traceback, and then raises: the caller's error is enough.
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)
    _check_credentials(core)
    return session


def region_of(url: str) -> str:
    """The AWS region that the host of a queue URL or an endpoint names; '' for any other host."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "queue.amazonaws.com":
        return "us-east-1"
    found = _HOST.fullmatch(host)
    return next(filter(None, found.groups())) if found else ""


def check_region(queue_url: str, endpoint: str) -> None:
    """Raise RegionError where requests would go to another region than the queue's.

    The SDK takes the endpoint from the region and ignores the URL's host (quirk 19): a queue of the
    same name in that region would be used without a word. `endpoint` is that of the SDK's client;
    one that somebody set names no region of AWS.
    """
    named, called = region_of(queue_url), region_of(endpoint)
    if named and called and named != called:
        raise RegionError(
            f"QUEUE_URL={queue_url!r}: it is a queue in {named}, but the AWS SDK calls {called} "
            "(AWS_REGION, --region, AWS_DEFAULT_REGION or the profile's region); make them agree"
        )


def shown(text: str) -> str:
    """A text of the SDK or of AWS without what may be a credential, and without old terms."""
    text = _QUOTED.sub(r"\1 (the rest is not shown: it may hold credentials)", text)
    text = re.sub(r"(?<=://)[^/\s]*@", "***@", text)  # user and password of a URL
    return text.replace(" for this wsdl version", "")


def _check_credentials(core: Any) -> None:
    try:
        found = core.get_credentials()
        values = found.get_frozen_credentials() if found else None
    except Exception as error:  # a source may raise anything: files, processes, JSON, HTTP
        raise CredentialsError(
            f"no credentials from {_source(core)}: {type(error).__name__}: {shown(str(error))}"
        ) from error
    if values is None:
        raise CredentialsError(
            "NoCredentialsError: Unable to locate credentials; set AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    for name, value in zip(_KEYS, values[:3], strict=True):
        if value and not (isinstance(value, str) and _FIT.fullmatch(value)):
            what = name.removeprefix("AWS_").replace("_", " ").lower()
            where = name if found.method == "env" else f"the {what} of {_named(core, found.method)}"
            raise CredentialsError(
                f"{where}: it has a character that no credential has, such as a line break or a "
                "space; it is not shown here; set it again"
            )


def _source(core: Any) -> str:
    """The settings of the source that raises: the SDK does not say which one it was at."""
    for provider in core.get_component("credential_provider").providers:
        try:
            found = provider.load()
            if found and found.get_frozen_credentials():
                break
        except Exception:
            return _named(core, provider.METHOD)
    return "the credential sources"


def _named(core: Any, method: str) -> str:
    """Where a source is set: its variables in the environment, or its settings in the profile."""
    names = _SETTINGS.get(method, ())
    if variables := [name for name in names if name.isupper() and os.environ.get(name)]:
        return ", ".join(variables)
    if found := [name for name in names if name in core.get_scoped_config()]:
        return f"{', '.join(found)} in the profile {core.profile or 'default'!r}"
    return f"the source {method!r}"
