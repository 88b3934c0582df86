"""One plan of terraform/ against the local stack, for all tests of this folder."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import skip_or_fail
from local_aws import Stack, child_environment
from support.queues import REGION
from support.terraform import Module, NoTerraform


@pytest.fixture(scope="session")
def planned(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """``terraform plan`` from nothing, as JSON; takes about six seconds."""
    environment = child_environment(stack.endpoint, REGION)
    try:
        return Module(tmp_path_factory.mktemp("module"), environment).plan()
    except NoTerraform as reason:
        skip_or_fail(f"{reason}; what Terraform plans was NOT compared with anything")
        raise AssertionError from None
