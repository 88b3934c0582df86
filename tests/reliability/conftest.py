"""Fixtures of the reliability tests: one proxy for all cases of a session, and a journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.integration.support import Journal
from local_aws import Stack
from reliability.runs import Network
from support.proxy import Proxy


@pytest.fixture(scope="session")
def network(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A microburst in front of the stack, which many consumers share and which tells them apart."""
    proxy = Proxy(stack.endpoint, [], tmp_path_factory.mktemp("network") / "proxy.log")
    yield Network(proxy)
    proxy.close()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")
