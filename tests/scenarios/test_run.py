"""The door: what it prints, which exit code it gives, and what it leaves when it is stopped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.infra import SetupError
from harness.runner import run_plan
from local_aws import Stack, provision
from run import Exit, _stop, cases
from support.children import ROOT, Nursery, Process
from support.tree import copied_tree, patch
from support.waiting import wait_for

Run = Callable[..., Process]


def finished(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the door without any queue to talk to."""
    return subprocess.run(
        [sys.executable, "run.py", *arguments],
        cwd=ROOT / "scenarios",
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_list_names_every_case_and_what_it_proves() -> None:
    answer = finished("--list")
    assert answer.returncode == Exit.PASS
    names = [line.split()[0] for line in answer.stdout.splitlines()]
    assert names[:6] == ["crash", "duplicates", "happy", "partial-batch", "poison", "side-effects"]
    starts = {line.index(cases()[line.split()[0]].proves) for line in answer.stdout.splitlines()}
    assert len(starts) == 1, "the sentences stand under each other"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a scenario"),
        (["hapy"], "run.py: no scenario 'hapy'; did you mean happy?\n"),
        (
            ["Side_Effects", "foo"],
            "did you mean side-effects?; no scenario 'foo'; there are: crash, ",
        ),
        (["happy", "--count", "0"], "'0' is not a whole number, 1 or more"),
        (["happy", "--batch-size", "11"], "'11' is not a whole number, 1 to 10"),
        (["happy", "--rate", "nan"], "'nan' is not a number"),
        (["happy", "--visibility-timeout", "1.5"], "'1.5' is not a whole number"),
        (["happy", "crash", "--poison-every", "2"], "scenario happy has no use for: poison-every"),
        (["happy", "--repeat", "many"], "'many' is not a whole number"),
    ],
)
@pytest.mark.integration
def test_a_bad_argument_is_refused_before_anything_starts(arguments: list[str], said: str) -> None:
    answer = finished(*arguments)
    assert answer.returncode == Exit.SETUP
    assert said in answer.stderr


def test_outputs_that_are_not_there_are_a_setup_error(tmp_path: Path) -> None:
    answer = finished("happy", SCENARIO_OUTPUTS=str(tmp_path / "none.json"))
    assert answer.returncode == Exit.SETUP
    assert "none.json: no readable outputs" in answer.stderr


@pytest.mark.parametrize("reports", ["file", "file/below", "/proc"])
def test_reports_that_cannot_be_written_are_a_setup_error(tmp_path: Path, reports: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / reports
    nothing: Any = None
    with pytest.raises(SetupError) as refused:
        run_plan([], nothing, nothing, folder, nothing, threading.Event())
    said = str(refused.value)
    assert said.startswith(f"{folder} must be a folder that can be written: ")
    assert "--reports" in said


def test_judging_a_folder_without_evidence_is_a_setup_error(tmp_path: Path) -> None:
    answer = finished("--judge", str(tmp_path))
    assert answer.returncode == Exit.SETUP
    assert "holds no saved scenario" in answer.stderr


@pytest.fixture
def outputs(stack: Stack, tmp_path: Path) -> Path:
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(provision(stack.endpoint)))
    return path


@pytest.fixture
def run(
    nursery: Nursery, outputs: Path, aws_env: dict[str, str], tmp_path: Path
) -> Callable[..., Process]:
    """``run(*arguments)``: the door against the stack, by environment alone."""

    def start(*arguments: str, tree: Path = ROOT) -> Process:
        environ = {**aws_env, "SCENARIO_OUTPUTS": str(outputs), "QUEUE_URL": "not-this-one"}
        flags = ["--reports", str(tmp_path / "reports"), "--visibility-timeout", "1"]
        return nursery.start((tree / "scenarios", "run.py"), [*flags, *arguments], environ)

    return start


def evidence(tmp_path: Path, name: str) -> Path:
    (found,) = (tmp_path / "reports").glob(f"*/{name}")
    return found


def living(folder: Path) -> list[str]:
    """Processes whose environment names this folder: producers and consumers of the run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.integration
@pytest.mark.smoke
def test_happy_by_environment_alone(run: Run, tmp_path: Path) -> None:
    answer = run("happy", "--count", "7", "--batch-size", "3", "--json").wait(60)
    assert answer.code == Exit.PASS, answer.output
    (result,) = json.loads(answer.stdout)["scenarios"]
    assert result["verdict"] == "PASS"
    assert result["counts"]["sent"] == result["counts"]["completed"] == 7
    folder = evidence(tmp_path, "happy")
    assert {path.name for path in folder.iterdir()} >= {
        "scenario.json",
        "producer.jsonl",
        "producer.log",
        "consumer-1.jsonl",
        "consumer-1.log",
        "samples.jsonl",
        "tables.json",
        "dlq.json",
        "children.json",
        "problems.json",
        "verdict.json",
    }
    assert (tmp_path / "reports").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*"))
    told = json.loads((folder / "producer.jsonl").read_text().splitlines()[0])
    assert told["batch_size"] == 3


@pytest.mark.integration
@pytest.mark.smoke
def test_what_is_saved_can_be_judged_again_and_a_torn_line_is_unknown(
    run: Run, tmp_path: Path
) -> None:
    assert run("happy", "--count", "3").wait(60).code == Exit.PASS
    folder = evidence(tmp_path, "happy")
    assert finished("--judge", str(folder.parent)).returncode == Exit.PASS
    for name in ("producer.jsonl", "consumer-1.jsonl"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-9])
        answer = finished("--judge", str(folder))
        assert answer.returncode == Exit.UNKNOWN, answer.stdout
        assert "is torn" in answer.stdout
        (folder / name).write_bytes(whole)
    for name in ("tables.json", "dlq.json", "children.json", "problems.json", "samples.jsonl"):
        (folder / name).rename(folder / "away")
        assert finished("--judge", str(folder)).returncode == Exit.UNKNOWN, name
        (folder / "away").rename(folder / name)
    assert finished("--judge", str(folder)).returncode == Exit.PASS


def slow_run(run: Run, tmp_path: Path, visibility: int = 1) -> Process:
    """A run in the middle of its work, which outlasts the visibility timeout."""
    process = run("duplicates", "--visibility-timeout", str(visibility))
    wait_for(lambda: list((tmp_path / "reports").glob("*/duplicates/producer.jsonl")), seconds=30)
    wait_for(lambda: "work_started" in _journals(tmp_path), seconds=30)
    return process


def _logs(tmp_path: Path) -> str:
    return "".join(path.read_text() for path in tmp_path.glob("reports/*/*/consumer-*.log"))


def _journals(tmp_path: Path) -> str:
    return "".join(path.read_text() for path in tmp_path.glob("reports/*/*/consumer-*.jsonl"))


@pytest.mark.integration
def test_ctrl_c_reaps_saves_and_exits_130(run: Run, tmp_path: Path) -> None:
    process = slow_run(run, tmp_path)
    process.signal(signal.SIGINT)
    answer = process.wait(60)
    assert answer.code == Exit.INTERRUPTED, answer.output
    assert "interrupted" in answer.output
    folder = evidence(tmp_path, "duplicates")
    assert not living(folder)
    children = json.loads((folder / "children.json").read_text())
    codes = {child["name"]: child["code"] for child in children}
    assert codes["consumer-1"] == codes["consumer-2"] == 0
    assert json.loads((folder / "verdict.json").read_text())["verdict"] == "UNKNOWN"


@pytest.mark.integration
def test_a_killed_runner_leaves_no_child_and_no_pass(run: Run, tmp_path: Path) -> None:
    process = slow_run(run, tmp_path)
    folder = evidence(tmp_path, "duplicates")
    assert len(living(folder)) >= 2  # the producer may not have left yet
    process.kill()
    wait_for(lambda: not living(folder), what="the end of every child")
    assert finished("--judge", str(folder)).returncode == Exit.UNKNOWN


@pytest.mark.integration
def test_a_second_signal_ends_at_once(run: Run, tmp_path: Path) -> None:
    """Also where Linux gives it to a thread that Python does not answer signals in."""
    process = slow_run(run, tmp_path, visibility=40)  # the first signal alone takes half a minute
    process.signal(signal.SIGINT)
    wait_for(lambda: "stopping" in _logs(tmp_path), what="the first signal to be heard")
    process.signal_beside(signal.SIGTERM)
    assert process.wait(10).code == Exit.INTERRUPTED
    wait_for(lambda: not living(evidence(tmp_path, "duplicates")), what="the end of every child")


def test_a_second_signal_waits_for_no_lock_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come while the handler of the first one holds the lock of the event."""
    monkeypatch.setattr(os, "_exit", sys.exit)
    stop = threading.Event()
    with stop._cond, pytest.raises(SystemExit) as ended:  # type: ignore[attr-defined]
        _stop(stop, [signal.SIGINT], signal.SIGTERM)
    assert ended.value.code == Exit.INTERRUPTED


@pytest.mark.integration
@pytest.mark.parametrize("door", ["consumer/consume.py", "producer/produce.py"])
def test_a_child_that_never_starts_is_a_setup_error(run: Run, tmp_path: Path, door: str) -> None:
    tree = copied_tree(tmp_path)
    (tree / door).write_text("raise SystemExit('no such luck')\n")
    answer = run("happy", tree=tree).wait(60)
    assert answer.code == Exit.SETUP, answer.output
    assert "did not start: it exited 1" in answer.output
    assert "no such luck" in answer.output
    assert f"{Path(door).parent.name}" in answer.output


@pytest.mark.integration
def test_what_an_earlier_run_left_is_drained_and_reported(
    run: Run, outputs: Path, queue_set: Any, tmp_path: Path
) -> None:
    names = json.loads(outputs.read_text())["scenarios"]["value"]["happy"]
    sqs = queue_set().sqs
    for queue in (names["queue_url"], names["queue_url"] + "-dlq"):
        sqs.send_message(QueueUrl=queue, MessageBody='{"id": "old", "work": 1}')
    answer = run("happy", "--count", "2").wait(60)
    assert answer.code == Exit.PASS, answer.output
    folder = evidence(tmp_path, "happy")
    drained = json.loads((folder / "drained.json").read_text())
    assert (drained["queue"], drained["dlq"]) == (1, 1)
    assert "drained 1 from the queue and 1 from the DLQ" in answer.output
    assert "old" not in _journals(tmp_path)


@pytest.mark.integration
def test_a_queue_that_another_run_uses_is_waited_for(
    run: Run, outputs: Path, tmp_path: Path
) -> None:
    url = json.loads(outputs.read_text())["scenarios"]["value"]["happy"]["queue_url"]
    (tmp_path / "reports").mkdir()
    name = hashlib.sha256(url.encode()).hexdigest()[:12]
    with (tmp_path / "reports" / f".{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = run("happy")
        wait_for(lambda: list((tmp_path / "reports").glob("*/happy")), seconds=30)
        process.signal(signal.SIGINT)
        answer = process.wait(20)
    assert answer.code == Exit.INTERRUPTED, answer.output
    assert not _journals(tmp_path)


@pytest.mark.integration
@pytest.mark.smoke
def test_a_failure_says_expected_seen_and_where_to_look(run: Run, tmp_path: Path) -> None:
    tree = copied_tree(tmp_path)
    patch(tree / "scenarios" / "cases" / "happy.py", "dlq_holds(0)", "dlq_holds(1)")
    answer = run("happy", "--count", "2", tree=tree).wait(60)
    assert answer.code == Exit.FAIL
    for part in ("FAIL: DLQ", "expected  1 of this", "seen      none", "look at   grep -E"):
        assert part in answer.output
