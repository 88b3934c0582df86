#!/usr/bin/env python3
"""Door of the local stack: up, empty, down, status; the work is in local_stack/, never on AWS."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

try:
    from botocore.exceptions import BotoCoreError, ClientError

    from local_stack import env_file
    from local_stack.blueprint import read_blueprint
    from local_stack.process import LocalStackError, Stack, running_stack, start, stop
    from local_stack.provision import child_environment, provision
except ModuleNotFoundError as missing:
    sys.exit(f"local_aws: {missing.name} is not installed in this Python; run: make venv")

__all__ = ["LocalStackError", "Stack", "child_environment", "main", "provision", "start", "stop"]

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_STATE = ROOT / ".local"
DEFAULT_PORT = 4566


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 with one line on stderr."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.verb == "empty" and _is_default(options.state):
        parser.error("empty needs a --state of its own: scenarios take the default one for sets")
    verbs = {"up": up, "empty": empty, "down": down, "status": status}
    try:
        print(verbs[options.verb](options.state, _chosen_port(options.port)))
    except (LocalStackError, BotoCoreError, ClientError, OSError, ValueError) as problem:
        print(f"local_aws: {' '.join(str(problem).split())}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="SQS and DynamoDB on this machine (MiniStack).")
    parser.add_argument("verb", choices=("up", "empty", "down", "status"))
    parser.add_argument(
        "--state", type=Path, default=DEFAULT_STATE, help="where pid, log and outputs go"
    )
    parser.add_argument("--port", help="default: LOCAL_AWS_PORT, else 4566; 0 takes a free one")
    return parser


def _chosen_port(argument: str | None) -> int:
    text = argument or os.environ.get("LOCAL_AWS_PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004
        raise ValueError(
            f"port {text!r}: expected a whole number from 0 to 65535 (LOCAL_AWS_PORT or --port)"
        )
    return int(text)


def up(state: Path, port: int) -> str:
    """Start, provision, write outputs.json and (for the default state) .env; say what is where."""
    blueprint = read_blueprint()
    stack = start(state, port, blueprint.aws_region)
    try:
        outputs = provision(stack.endpoint, blueprint)
        _write_if_changed(state / "outputs.json", json.dumps(outputs, indent=2) + "\n")
        note = _write_env(state, stack.endpoint, outputs)
    except BaseException:
        if stack.fresh:
            stop(state)
        raise
    word = "started" if stack.fresh else "was up already"
    where = f"{stack.endpoint} (pid {stack.pid}), resources in {_short(state / 'outputs.json')}"
    return f"local stack {word}: {where}{note}"


def _short(path: Path) -> str:
    return str(path).replace(f"{Path.cwd()}/", "")


def empty(state: Path, port: int) -> str:
    """Start without sets and without .env: for Terraform to fill, led here by AWS_ENDPOINT_URL."""
    stack = start(state, port, read_blueprint().aws_region)
    return f"local stack, left as it is: {stack.endpoint} (pid {stack.pid})"


def down(state: Path, _port: int) -> str:
    """Stop what is recorded, forget its resources, remove .env if ``up`` wrote it."""
    stopped = stop(state)
    (state / "outputs.json").unlink(missing_ok=True)
    removed = _is_default(state) and env_file.remove(ROOT / ".env")
    note = "; .env removed" if removed else ""
    return f"local stack {'stopped' if stopped else 'was not running'}{note}"


def status(state: Path, _port: int) -> str:
    """One line; a stack that is recorded but does not answer is an error."""
    stack = running_stack(state)
    found = f"{stack.endpoint} (pid {stack.pid})" if stack else "not running"
    return f"local stack: {found}"


def _write_env(state: Path, endpoint: str, outputs: dict[str, Any]) -> str:
    if not _is_default(state):
        return ""
    if env_file.write(ROOT / ".env", env_values(endpoint, outputs)):
        return "; .env names the happy set"
    return "\n.env is not ours, so it stays as it is; it may name other queues than these"


def env_values(endpoint: str, outputs: dict[str, Any]) -> dict[str, str]:
    """The variables of .env: the happy set, and how to reach MiniStack."""
    happy = outputs["scenarios"]["value"]["happy"]
    region = outputs["aws_region"]["value"]
    reach = child_environment(endpoint, region)
    credentials = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {
        "QUEUE_URL": happy["queue_url"],
        "DLQ_ARN": happy["dlq_arn"],
        "AWS_REGION": region,
        "MESSAGE_STATUS_TABLE": happy["message_status_table"],
        "MESSAGE_COMPLETED_TABLE": happy["message_completed_table"],
        **{name: reach[name] for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", *credentials)},
    }


def _is_default(state: Path) -> bool:
    return state.resolve() == DEFAULT_STATE


def _write_if_changed(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    draft = path.with_suffix(f".{os.getpid()}.tmp")  # of our own: several may be started at once
    draft.write_text(text)
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
