"""Fixtures for every folder of tests; how they work is in support/."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from local_aws import Stack, child_environment, start
from support.children import CONSUMER, PRODUCER, Finished, Nursery, Process
from support.environment import leading
from support.proxy import Proxy, Rule
from support.queues import REGION, QueueSets
from support.terraform import look_for_mirror

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
STOPPER = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
from local_stack.process import stop
sys.stdin.read()
stop(pathlib.Path(sys.argv[2]))
"""
NO_MINISTACK = "MiniStack is not installed, so nothing here met a real queue; run: make venv-test"


def pytest_configure(config: pytest.Config) -> None:
    """Look for a provider mirror once, for all workers; they inherit the environment."""
    if not hasattr(config, "workerinput"):
        folder = TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        look_for_mirror(Path(folder.name))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is allowed the most time begins first, not alone at the end."""

    def allowed(item: pytest.Item) -> float:
        mark = item.get_closest_marker("timeout")
        return float(mark.args[0]) if mark else 0.0

    items.sort(key=allowed, reverse=True)


def skip_or_fail(reason: str) -> None:
    """A missing tool skips on a laptop and fails where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the caller's, and no credentials but those that a test gives."""
    for name in leading(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A MiniStack on a free port, for the whole session of one worker."""
    if not importlib.util.find_spec("ministack"):
        skip_or_fail(NO_MINISTACK)
    state = tmp_path_factory.mktemp("stack")
    stack = start(state, 0, REGION)
    # Ends with this process, however that ends: a killed session must leave no MiniStack behind.
    with subprocess.Popen([sys.executable, "-c", STOPPER, SCRIPTS, state], stdin=subprocess.PIPE):
        yield stack


@pytest.fixture
def aws_env(stack: Stack) -> dict[str, str]:
    """What a child needs to reach the stack, and nothing else."""
    return child_environment(stack.endpoint, REGION)


@pytest.fixture
def queue_set(stack: Stack, aws_env: dict[str, str]) -> QueueSets:
    """Factory: ``queue_set(visibility=2, wait=1, max_receive_count=2)`` gives a QueueSet."""
    return QueueSets(stack.endpoint, aws_env)


@pytest.fixture(scope="session")
def idle_proxies() -> Iterator[list[Proxy]]:
    """Proxies that wait for the next test: each costs seconds to start."""
    idle: list[Proxy] = []
    yield idle
    for one in idle:
        one.close()


@pytest.fixture
def proxy(
    stack: Stack, idle_proxies: list[Proxy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Proxy]]:
    """Factory: ``proxy(rules=[...])`` gives a Proxy in front of the stack."""
    opened: list[Proxy] = []

    def open_proxy(rules: Sequence[Rule] = ()) -> Proxy:
        if idle_proxies:
            opened.append(idle_proxies.pop())
            opened[-1].renew(rules)
        else:
            log = tmp_path_factory.mktemp("proxy") / "log"
            opened.append(Proxy(stack.endpoint, rules, log))
        return opened[-1]

    yield open_proxy
    idle_proxies.extend(one for one in opened if one.running)


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """Starts children; none outlives the test."""
    children = Nursery(tmp_path)
    yield children
    children.reap()


@pytest.fixture
def start_consumer(nursery: Nursery) -> Callable[[Mapping[str, str]], Process]:
    """``start_consumer(env)``: consume.py in its folder, with this environment only."""
    return lambda env: nursery.start(CONSUMER, [], env)


@pytest.fixture
def run_consumer(nursery: Nursery) -> Callable[..., Finished]:
    """``run_consumer(env, seconds=30)``: the same, to its end."""

    def run(env: Mapping[str, str], seconds: float = 30.0) -> Finished:
        return nursery.start(CONSUMER, [], env).wait(seconds)

    return run


@pytest.fixture
def start_producer(nursery: Nursery) -> Callable[[Sequence[str], Mapping[str, str]], Process]:
    """``start_producer(arguments, env)``: produce.py in its folder, with this environment only."""
    return lambda arguments, env: nursery.start(PRODUCER, arguments, env)


@pytest.fixture
def run_producer(nursery: Nursery) -> Callable[..., Finished]:
    """``run_producer(arguments, env, seconds=30)``: the same, to its end."""

    def run(arguments: Sequence[str], env: Mapping[str, str], seconds: float = 30.0) -> Finished:
        return nursery.start(PRODUCER, arguments, env).wait(seconds)

    return run
