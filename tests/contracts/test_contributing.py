"""The examples of CONTRIBUTING.md are put where it says, run, and pass."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from local_aws import Stack, provision
from support.children import Nursery
from support.documents import blocks, text_of
from support.tree import copied_tree, patch

CASE, CHECK = (
    body for language, body in blocks(text_of("CONTRIBUTING.md")) if language == "python"
)


@pytest.mark.integration
def test_its_scenario_passes_with_its_check(
    stack: Stack, aws_env: dict[str, str], nursery: Nursery, tmp_path: Path
) -> None:
    tree = copied_tree(tmp_path)
    check = ast.parse(CHECK).body[0]
    assert isinstance(check, ast.FunctionDef)
    checks = tree / "scenarios" / "checks" / "delivery.py"
    checks.write_text(f"{checks.read_text()}\n\n{CHECK}")
    case = tree / "scenarios" / "cases" / "lanes.py"
    case.write_text(CASE)
    patch(case, "queue_empty\n", f"queue_empty, {check.name}\n")
    patch(case, "queue_empty(), ", f"queue_empty(), {check.name}(), ")
    flags = ["lanes", "--json", "--reports", str(tree / "reports"), "--visibility-timeout", "4"]
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps(provision(stack.endpoint)))
    env = aws_env | {"SCENARIO_OUTPUTS": str(outputs)}
    answer = nursery.start((tree / "scenarios", "run.py"), flags, env).wait(60)
    assert answer.code == 0, answer.output
    (result,) = json.loads(answer.stdout)["scenarios"]
    assert "received once" in [finding["check"] for finding in result["findings"]]
