#!/usr/bin/env python3
"""Door of `make validate`: every queue and table of every set, live, against the outputs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

try:
    from botocore.exceptions import BotoCoreError, ClientError

    from harness.infra import Clients, Resources, SetupError, Target, adopt, connect, find_target
    from validation.findings import (
        Attributes,
        Finding,
        dlq_findings,
        queue_findings,
        table_findings,
    )
    from validation.live import read_queue, read_table
except ModuleNotFoundError as missing:
    sys.exit(f"validate_infra: {missing.name} is not installed in this Python; run: make venv")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: all as it should be, 1: something is not, 2: nothing can be read."""
    options = _parser().parse_args(arguments)
    try:
        target = find_target(options.outputs, os.environ)
        adopt(target, os.environ)
        findings = examine(target)
    except (SetupError, BotoCoreError, ClientError) as problem:
        print(f"validate_infra: {problem}", file=sys.stderr)
        return 2
    _show(target, findings, only_wrong=options.quiet)
    return 0 if all(finding.ok for finding in findings) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare live queues and tables with the outputs.")
    parser.add_argument("--quiet", action="store_true", help="show only what is not ok")
    parser.add_argument("--outputs", type=Path, help="a file with the JSON of `terraform output`")
    return parser


def examine(target: Target) -> list[Finding]:
    """Read every resource of every set; raise SetupError where the outputs do not say enough."""
    if not target.settings:
        raise SetupError("the outputs lack 'settings'; run make infra-up (or local-up) again")
    clients = connect(target)
    findings = []
    for name, resources in sorted(target.resources.items()):
        findings += _examine_set(clients, resources, target.settings, target.settings["sets"][name])
    return findings


def _examine_set(
    clients: Clients, resources: Resources, settings: Attributes, spec: Attributes
) -> list[Finding]:
    sqs, dynamodb = clients.sqs, clients.dynamodb
    queue_arn, dlq_arn = resources.queue_arn, resources.dlq_arn
    queue = queue_arn.rpartition(":")[2]
    dlq = dlq_arn.rpartition(":")[2]
    dlq_url = resources.queue_url.removesuffix(queue) + dlq
    findings = [
        *queue_findings(queue, queue_arn, read_queue(sqs, resources.queue_url), settings, spec),
        *dlq_findings(dlq, dlq_arn, read_queue(sqs, dlq_url), spec, queue_arn),
    ]
    for table in (resources.status_table, resources.completed_table):
        findings += table_findings(table, read_table(dynamodb, table))
    return findings


def _show(target: Target, findings: Sequence[Finding], *, only_wrong: bool) -> None:
    wrong = [finding for finding in findings if not finding.ok]
    print(f"talking to {target.described}")
    for resource, group in groupby(wrong if only_wrong else findings, lambda one: one.resource):
        print(f"\n{resource:34}{'expected':37} seen")
        for finding in group:
            mark = "ok" if finding.ok else "NOT OK"
            print(f"  {mark:8}{finding.attribute:24}{finding.expected:37} {finding.seen}")
    verdict = f"{len(wrong)} not ok" if wrong else "all ok"
    print(f"\n{len(findings)} checks on {len(target.resources)} sets: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
