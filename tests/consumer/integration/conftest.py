"""Fixtures of the consumer's integration tests."""

from pathlib import Path

import pytest

from consumer.integration.support import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")
