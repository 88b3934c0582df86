"""Keeps the developer's settings out of the tests and of the children they start."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

# Every variable by which a door, boto3 or Terraform could be led somewhere by the caller's shell.
# TF_CLI_CONFIG_FILE stays: it may name the mirror without which there is no provider.
LEADING = re.compile(
    r"AWS_|QUEUE_URL$|DLQ_ARN$|MESSAGE_|LOCAL_AWS_|TF_VAR_|TF_CLI_ARGS|ENV_FILE$|JOURNAL_PATH$"
    r"|LOG_|WAIT_TIME_|MAX_MESSAGES$|SLEEP_|LONG_SLEEP_|CRASH_|IDEMPOTENCY_|IDLE_TIMEOUT_"
    r"|REJECT_PAYLOAD_|USE_TRANSACTIONAL_|CONCURRENCY$|COMMIT_BATCH$|HEARTBEAT_|VISIBILITY_"
    r"|SHUTDOWN_|HTTP_PROXY$|HTTPS_PROXY$|ALL_PROXY$|http_proxy$|https_proxy$|all_proxy$"
)


def leading(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables that a test must not inherit."""
    return [name for name in environment if LEADING.match(name)]


def base_environment() -> dict[str, str]:
    """What a child needs to run at all; everything else is declared by the test."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
