"""Fixtures of the reliability tests: one proxy for all cases of a test, and a journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.integration.support import Journal
from reliability.runs import Network
from support.proxy import Proxy


@pytest.fixture
def network(proxy: Callable[..., Proxy]) -> Network:
    """A microburst in front of the stack, which many consumers share and which tells them apart."""
    return Network(proxy())


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")
