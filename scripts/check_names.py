#!/usr/bin/env python3
"""Refuses an apply that would adopt queues which its Terraform state does not have.

CreateQueue succeeds for a queue that exists with the same attributes (quirk 20), so Terraform would
take another one's queues into its state, and a destroy would delete them with their messages.
Usage: check_names.py REGION ACCOUNT NAME... <STATE. Standard library only, as preflight.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

SECONDS = 60


def main() -> int:
    """Exit code 1 where a name is taken, or where nobody can say."""
    region, account, *names = sys.argv[1:]
    text = sys.stdin.read()
    missing = unowned(json.loads(text) if text.strip() else {}, region, account, names)
    try:
        taken = sorted(set(missing) & set(existing(region, missing))) if missing else []
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        print(
            f"infra: cannot list the queues of {region}, so nobody knows whether an apply would"
            f" adopt the queues of somebody else: {' '.join(said.split())}",
            file=sys.stderr,
        )
        return 1
    if taken:
        print(refusal(taken, region, account), file=sys.stderr)
    return 1 if taken else 0


def unowned(state: Any, region: str, account: str, names: Iterable[str]) -> list[str]:
    """The names that the state has no queue for, in this region of this account."""
    owned = {
        instance["attributes"].get("arn", "").split(":", 3)[-1]
        for resource in state.get("resources", ())
        if (resource["mode"], resource["type"]) == ("managed", "aws_sqs_queue")
        for instance in resource["instances"]
    }
    return [name for name in names if f"{region}:{account}:{name}" not in owned]


def existing(region: str, names: Sequence[str]) -> list[str]:
    """The names of the queues that begin as these do; one call, the aws CLI follows the pages."""
    prefix = os.path.commonprefix(list(names))  # noqa: RUF071 - of texts, not of paths
    command = [
        *("aws", "sqs", "list-queues", "--queue-name-prefix", prefix),
        *("--region", region, "--query", "QueueUrls", "--output", "json"),
    ]
    # Version 1 of the aws CLI takes these for every service but SQS.
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_SQS") or os.environ.get("AWS_ENDPOINT_URL"):
        command += ["--endpoint-url", endpoint]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "AWS_PAGER": ""},
    )
    urls = json.loads(done.stdout) if done.stdout.strip() else None
    return [url.rsplit("/", 1)[1] for url in urls or ()]


def refusal(taken: Sequence[str], region: str, account: str) -> str:
    """What is taken, what an apply would do, and the two ways out."""
    count = f"{len(taken)} queue{'s' * (len(taken) > 1)}"
    return (
        f"infra: {count} of these names exist in {region} of account {account}, and this Terraform"
        f" state does not have them: {', '.join(taken)}\nAn apply would adopt them, and"
        " `make infra-down` would then delete them with their messages. Nothing was changed.\n"
        "Choose other names: make infra-up ARGS='-var project_name=NAME', or a line"
        ' project_name = "NAME" in terraform/terraform.tfvars.\n'
        "If they are yours, import each first: terraform -chdir=terraform import"
        " 'aws_sqs_queue.queue[\"SET\"]' URL (a DLQ: aws_sqs_queue.dlq)"
    )


if __name__ == "__main__":
    sys.exit(main())
