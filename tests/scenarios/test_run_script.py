"""A script as a step: what it is given, what is kept of it, and what its end means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local_aws import Stack, provision
from support.children import Nursery
from support.tree import copied_tree

pytestmark = pytest.mark.integration
CASE = '''"""A case of the tests."""
from checks.delivery import all_completed, dlq_holds, queue_empty
from harness.scenario import Consume, Given, RunScript, Scenario
SCENARIO = Scenario(
    name="scripted", proves="a script is a step", runs_on="happy", given=Given(messages=2),
    when=[Consume(), RunScript("{script}", "--flag", "a value")],
    then=[all_completed(), queue_empty(), dlq_holds(0)],
)
'''
SCRIPT = """
import json, os, sys
print("arguments", sys.argv[1:])
event = {"t": 1.0, "who": "me", "event": "did", "names": sorted(os.environ)}
open(os.environ["JOURNAL_PATH"], "a").write(json.dumps(event) + "\\n")
sys.exit(EXIT)
"""


def played(
    nursery: Nursery, stack: Stack, env: dict[str, str], folder: Path, script: str
) -> tuple[dict[str, Any], Path]:
    """The result of the case with this script, and its evidence."""
    tree = copied_tree(folder)
    (tree / "scenarios" / "cases" / "scripted.py").write_text(CASE.format(script="done.py"))
    if script:
        (tree / "scripts" / "done.py").write_text(script)
    outputs = folder / "outputs.json"
    outputs.write_text(json.dumps(provision(stack.endpoint)))
    flags = ["scripted", "--json", "--reports", str(folder / "reports"), "--timeout", "10"]
    environ = {**env, "SCENARIO_OUTPUTS": str(outputs)}
    ended = nursery.start((tree / "scenarios", "run.py"), flags, environ).wait(60)
    (result,) = json.loads(ended.stdout)["scenarios"]
    (evidence,) = (folder / "reports").glob("*/scripted")
    return result, evidence


def test_its_output_and_its_journal_are_evidence(
    nursery: Nursery, stack: Stack, aws_env: dict[str, str], tmp_path: Path
) -> None:
    result, evidence = played(nursery, stack, aws_env, tmp_path, SCRIPT.replace("EXIT", "0"))
    assert result["verdict"] == "PASS", result
    assert "arguments ['--flag', 'a value']" in (evidence / "script-1-done.log").read_text()
    (event,) = map(json.loads, (evidence / "script-1-done.jsonl").read_text().splitlines())
    assert {"QUEUE_URL", "MESSAGE_STATUS_TABLE", "AWS_ENDPOINT_URL"} <= set(event["names"])


def test_an_exit_code_that_was_not_declared_fails_the_scenario(
    nursery: Nursery, stack: Stack, aws_env: dict[str, str], tmp_path: Path
) -> None:
    result, evidence = played(nursery, stack, aws_env, tmp_path, SCRIPT.replace("EXIT", "7"))
    assert result["verdict"] == "FAIL"
    (wrong,) = [one for one in result["findings"] if one["verdict"] == "FAIL"]
    assert "script-1-done exited 7 where 0 was declared" in wrong["seen"]
    assert wrong["look_at"] == f"{evidence}/script-1-done.log"


def test_a_script_that_cannot_be_run_is_a_setup_error(
    nursery: Nursery, stack: Stack, aws_env: dict[str, str], tmp_path: Path
) -> None:
    result, _ = played(nursery, stack, aws_env, tmp_path, "")
    assert "script-1-done did not start: it exited 2" in result["error"]
