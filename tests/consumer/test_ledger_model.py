"""The ledger does what its model says, on moto."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from hypothesis import settings
from moto import mock_aws

from consumer.ledger_machine import RELAXED, Machine


@cache
def _client() -> Any:
    """One for all examples: making it takes longer than an example."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("dynamodb", region_name="us-west-1", **keys)


@pytest.fixture(scope="module", autouse=True)
def _moto() -> Iterator[None]:
    with mock_aws():
        yield


class OnMoto(Machine):
    """Every write is a conditional one."""

    client = staticmethod(_client)


@pytest.mark.timeout(400)  # where it fails, hypothesis takes its time to find a short history
class TestQuickly(OnMoto.TestCase):  # type: ignore[misc]
    settings = settings(RELAXED, max_examples=12, stateful_step_count=20)


@pytest.mark.slow
@pytest.mark.timeout(400)
class TestAtLength(OnMoto.TestCase):  # type: ignore[misc]
    settings = settings(RELAXED, max_examples=80, stateful_step_count=30)
