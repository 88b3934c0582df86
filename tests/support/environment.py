"""Keeps the developer's settings out of the tests and of the children they start."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from sqs_worker.settings import NAMES

# Beside the consumer's own: what could lead boto3, Terraform or a script somewhere else.
# TF_CLI_CONFIG_FILE stays: it may name the mirror without which there is no provider.
LEADING = re.compile(
    r"AWS_|DLQ_ARN$|LOCAL_AWS_|SCENARIO_|TF_VAR_|TF_CLI_ARGS|(https?|all)_proxy$", re.IGNORECASE
)


def leading(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables that a test must not inherit."""
    return [name for name in environment if LEADING.match(name) or name in NAMES]


def base_environment() -> dict[str, str]:
    """What a child needs to run at all; everything else is declared by the test."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
