"""scripts/local_aws.py as users run it, in a copy of the tree: files, second runs, failures."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

import local_aws
from local_stack import process
from local_stack.holders import command_line
from support.environment import base_environment
from support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"QUEUE_URL", "DLQ_ARN", "AWS_REGION", "MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE"}
pytestmark = pytest.mark.integration


class Tree:
    """A copy of what the script needs, so that its .env and .local are not the developer's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env_file = root / ".env"
        self.state = root / ".local"
        for folder in ("scripts", "terraform"):
            shutil.copytree(
                ROOT / folder,
                root / folder,
                ignore=shutil.ignore_patterns("__pycache__", ".terraform", "*.tfstate*"),
            )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.root / "scripts" / "local_aws.py"), *arguments]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env={**base_environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def up(self, port: str = "0", **environment: str) -> dict[str, int]:
        done = self.run("up", "--port", port, **environment)
        assert done.returncode == 0, done.stderr
        return self.record()

    def record(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.state / "ministack.json").read_text())
        return found

    def fails(self, *arguments: str, **environment: str) -> str:
        """The one line on stderr of a run that must fail."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 1, done.stdout
        assert done.stderr.count("\n") == 1, f"not one line: {done.stderr}"
        assert done.stdout == ""
        return done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """A tree in which nothing runs yet."""
    tree = Tree(tmp_path / "tree")
    yield tree
    process.stop(tree.state)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree with its stack up, for tests that leave both as they are."""
    tree = Tree(tmp_path_factory.mktemp("running") / "tree")
    tree.up()
    yield tree
    process.stop(tree.state)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with the stack."""
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def alive(pid: int) -> bool:
    return bool(command_line(pid))


@pytest.mark.smoke
def test_up_makes_the_five_sets_and_says_where(running: Tree) -> None:
    record = running.record()
    outputs = json.loads((running.state / "outputs.json").read_text())
    assert set(outputs) == {"aws_region", "queue_url", "scenarios", "settings"}
    assert set(outputs["scenarios"]["value"]) == {
        "happy",
        "crash",
        "dup",
        "poison",
        "backpressure",
    }
    env = local_aws.child_environment(f"http://127.0.0.1:{record['port']}", "us-west-1")
    sqs = boto3.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]).client(
        "sqs", endpoint_url=env["AWS_ENDPOINT_URL"], region_name=env["AWS_REGION"]
    )
    for names in outputs["scenarios"]["value"].values():
        sqs.get_queue_attributes(QueueUrl=names["queue_url"])
    assert len(sqs.list_queues()["QueueUrls"]) == 10


def test_env_has_the_keys_and_is_private(running: Tree) -> None:
    lines = running.env_file.read_text().splitlines()
    keys = {line.split("=", 1)[0] for line in lines[1:]}
    reach = {
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
    }
    assert keys == KEYS | reach
    assert stat.S_IMODE(running.env_file.stat().st_mode) == 0o600


def test_second_up_changes_nothing(running: Tree) -> None:
    first = running.record()
    files = [running.env_file, running.state / "outputs.json", running.state / "ministack.json"]
    before = [(file.stat().st_mtime_ns, file.stat().st_ino, file.read_text()) for file in files]
    done = running.run("up", "--port", str(first["port"]))
    assert "was up already" in done.stdout
    assert before == [
        (file.stat().st_mtime_ns, file.stat().st_ino, file.read_text()) for file in files
    ]
    assert running.record() == first


def test_three_ups_at_once_start_one(tree: Tree) -> None:
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: tree.run("up", "--port", "0"), range(3)))
    assert [done.stderr for done in runs] == ["", "", ""]
    assert sum("local stack started" in done.stdout for done in runs) == 1
    mark = f"local_aws={tree.state.resolve()}"
    found = [pid for pid in numbers(Path("/proc")) if mark in command_line(pid)]
    assert found == [tree.record()["pid"]]


def test_what_another_up_drafts_is_not_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes its outputs at the moment when ours are ready to be moved."""
    drafts: list[Path] = []
    move = Path.replace

    def meet(draft: Path, target: Path) -> Path:
        drafts.append(draft)
        if len(drafts) == 1:
            monkeypatch.setattr("os.getpid", lambda: 0)
            local_aws._write_if_changed(target, "theirs")
        return move(draft, target)

    monkeypatch.setattr(Path, "replace", meet)
    local_aws._write_if_changed(tmp_path / "outputs.json", "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["outputs.json"]
    assert (tmp_path / "outputs.json").read_text() == "ours"


def numbers(folder: Path) -> list[int]:
    if not folder.exists():
        pytest.skip("needs /proc to count processes")
    return [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]


def test_up_heeds_nothing_in_the_users_environment(tree: Tree) -> None:
    tree.up(
        AWS_PROFILE="nobody",
        AWS_ENDPOINT_URL="http://127.0.0.1:1",
        AWS_ENDPOINT_URL_SQS="http://127.0.0.1:1",
        AWS_REGION="eu-central-1",
        HTTP_PROXY="http://127.0.0.1:1",
        http_proxy="http://127.0.0.1:1",
        LOG_LEVEL="nonsense",
        BIND_HOST="0.0.0.0",  # noqa: S104 - must not reach MiniStack
        QUEUE_URL="x",
    )
    assert "us-west-1" in tree.env_file.read_text()


def test_only_loopback_is_listened_on(running: Tree) -> None:
    pid = running.record()["pid"]
    descriptors = Path(f"/proc/{pid}/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc to see a process's sockets")
    links = {os.readlink(link) for link in descriptors.iterdir()}  # noqa: PTH115
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    listening = {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in links}
    assert {address.split(":")[0] for address in listening} == {"0100007F"}


@pytest.mark.smoke
def test_foreign_env_stays_with_up_and_with_down(tree: Tree) -> None:
    tree.env_file.write_text("QUEUE_URL=mine\n")
    done = tree.run("up", "--port", "0")
    assert done.returncode == 0
    assert "not ours" in done.stdout
    tree.run("down")
    assert tree.env_file.read_text() == "QUEUE_URL=mine\n"


def test_another_state_never_writes_env(tree: Tree) -> None:
    other = tree.root / "elsewhere"
    assert tree.run("up", "--port", "0", "--state", str(other)).returncode == 0
    assert (other / "outputs.json").exists()
    assert not tree.env_file.exists()
    assert tree.run("down", "--state", str(other)).stdout == "local stack stopped\n"


@pytest.mark.smoke
def test_down_waits_and_removes_what_up_made(tree: Tree) -> None:
    record = tree.up()
    done = tree.run("down")
    assert done.stdout == "local stack stopped; .env removed\n"
    assert not alive(record["pid"])
    assert not tree.env_file.exists()
    assert {file.name for file in tree.state.iterdir()} == {"lock", "ministack.log"}
    assert tree.run("down").stdout == "local stack was not running\n"


def test_up_after_kill_9_starts_again_and_renews_env(tree: Tree) -> None:
    first = tree.up()
    os.kill(first["pid"], 9)
    wait_for(lambda: not alive(first["pid"]))
    second = tree.up()
    assert second["pid"] != first["pid"]
    assert f":{second['port']}/" in tree.env_file.read_text()


def test_taken_port_names_its_holder(tree: Tree) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = tree.fails("up", LOCAL_AWS_PORT=str(port))
    assert f"port {port} cannot be used" in line
    assert f"held by pid {os.getpid()}" in line
    assert not (tree.state / "ministack.json").exists()
    assert not tree.env_file.exists()


def test_another_port_while_it_runs_is_refused(running: Tree) -> None:
    record = running.record()
    line = running.fails("up", "--port", "1")
    assert f"runs on port {record['port']} already" in line
    assert alive(record["pid"])


@pytest.mark.parametrize("port", ["ninety", "-1", "65536"])
def test_bad_port(tree: Tree, port: str) -> None:
    assert f"port '{port}': expected a whole number" in tree.fails("up", LOCAL_AWS_PORT=port)


def fake_ministack(state: Path, code: str) -> None:
    """``python -m`` looks in its working folder first, and that is the state folder."""
    state.mkdir(parents=True, exist_ok=True)
    (state / "ministack.py").write_text(code)


def test_ministack_that_ends_shows_the_end_of_its_log(tree: Tree) -> None:
    fake_ministack(tree.state, "print('first', flush=True)\nraise SystemExit('no such luck')")
    line = tree.fails("up", "--port", "0")
    assert "MiniStack ended with exit code 1" in line
    assert "first | no such luck" in line
    assert not (tree.state / "ministack.json").exists()


def test_ministack_that_never_answers_is_not_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ministack(tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    monkeypatch.setattr(process, "START_SECONDS", 1.0)
    with pytest.raises(process.LocalStackError, match="did not answer on port"):
        process.start(tmp_path, 0)
    pid = int((tmp_path / "ministack.log").read_text())
    assert not alive(pid)
    assert not (tmp_path / "ministack.json").exists()


def test_failure_after_the_start_stops_what_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[int] = []

    def fails(endpoint: str, _blueprint: object) -> None:
        started.append(json.loads((tmp_path / "ministack.json").read_text())["pid"])
        raise ValueError("no provision today")

    monkeypatch.setattr(local_aws, "provision", fails)
    assert local_aws.main(["up", "--state", str(tmp_path), "--port", "0"]) == 1
    assert capsys.readouterr().err == "local_aws: no provision today\n"
    assert not alive(started[0])
    assert not (tmp_path / "ministack.json").exists()


@pytest.mark.parametrize("verb", ["up", "down"])
def test_stale_record_never_touches_a_process_with_its_pid(
    tree: Tree, sleeper: subprocess.Popen[bytes], verb: str
) -> None:
    tree.state.mkdir()
    record = {"pid": sleeper.pid, "port": 4566, "started": 0}
    (tree.state / "ministack.json").write_text(json.dumps(record))
    assert tree.run(verb, "--port", "0").returncode == 0
    assert sleeper.poll() is None
    assert (tree.state / "ministack.json").exists() == (verb == "up")


def test_ministack_of_another_state_is_not_ours(running: Tree, tmp_path: Path) -> None:
    record = running.record()
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(running.state / "ministack.json", other)
    assert process.stop(other) is False
    assert alive(record["pid"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "port": 1}', '{"pid": 1}'])
def test_unreadable_record_is_no_record(tree: Tree, text: str) -> None:
    tree.state.mkdir()
    (tree.state / "ministack.json").write_text(text)
    assert tree.run("status").stdout == "local stack: not running\n"
    assert tree.run("down").stdout == "local stack was not running\n"


def test_status_names_the_endpoint(running: Tree) -> None:
    record = running.record()
    expected = f"local stack: http://127.0.0.1:{record['port']} (pid {record['pid']})\n"
    assert running.run("status").stdout == expected


def test_python_without_the_packages_says_how_to_get_them(tree: Tree) -> None:
    script = str(tree.root / "scripts" / "local_aws.py")
    done = subprocess.run(
        [sys.executable, "-S", script, "up"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "is not installed in this Python; run: make venv\n" in done.stderr
