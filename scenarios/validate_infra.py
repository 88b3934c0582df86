#!/usr/bin/env python3
"""Door of `make validate`: every queue and table of every set, live, against the outputs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

try:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
    from rich.console import Console
    from rich.table import Table

    from harness.infra import Resources, SetupError, Target, adopt, find_target
    from validation.findings import Finding, dlq_findings, queue_findings, table_findings
    from validation.live import read_queue, read_table
except ModuleNotFoundError as missing:
    sys.exit(f"validate_infra: {missing.name} is not installed in this Python; run: make venv")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when all is as it should be, 1 when something is not, 2 when nothing can be read."""
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
    findings = []
    for name, resources in sorted(target.resources.items()):
        findings += _examine_set(target, resources, target.settings["sets"][name])
    return findings


def _examine_set(
    target: Target, resources: Resources, spec: dict[str, int | bool]
) -> list[Finding]:
    sqs = boto3.client("sqs")
    dynamodb = boto3.client("dynamodb")
    queue_arn, dlq_arn = resources.queue_arn, resources.dlq_arn
    queue = queue_arn.rpartition(":")[2]
    dlq = dlq_arn.rpartition(":")[2]
    dlq_url = resources.queue_url.removesuffix(queue) + dlq
    findings = [
        *queue_findings(
            queue, queue_arn, read_queue(sqs, resources.queue_url), target.settings, spec
        ),
        *dlq_findings(dlq, dlq_arn, read_queue(sqs, dlq_url), spec, queue_arn),
    ]
    for table in (resources.status_table, resources.completed_table):
        findings += table_findings(table, read_table(dynamodb, table), spec)
    return findings


def _show(target: Target, findings: Sequence[Finding], *, only_wrong: bool) -> None:
    wrong = [finding for finding in findings if not finding.ok]
    console = Console()
    console.print(f"talking to {target.described}", highlight=False)
    table = Table("", "resource", "attribute", "expected", "seen", box=None)
    for finding in wrong if only_wrong else findings:
        mark = "[green]ok[/]" if finding.ok else "[red]not ok[/]"
        table.add_row(mark, finding.resource, finding.attribute, finding.expected, finding.seen)
    console.print(table)
    verdict = f"{len(wrong)} not ok" if wrong else "all ok"
    console.print(f"{len(findings)} checks on {len(target.resources)} sets: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
