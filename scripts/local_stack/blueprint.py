"""Reads terraform/variables.tf into typed values; knows nothing of boto3, processes or main.tf.

Only literals are read (the defaults of variables and of sets), so nothing that Terraform would
compute is computed a second time here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions

VARIABLES_FILE = Path(__file__).resolve().parents[2] / "terraform" / "variables.tf"
PLAIN = SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)


@dataclass(frozen=True)
class SetSpec:
    """One set of the map ``sets``; the fields bear the names that variables.tf gives them."""

    name: str
    max_receive_count: int
    message_retention_seconds: int
    dlq_message_retention_seconds: int


@dataclass(frozen=True)
class Blueprint:
    """The defaults of variables.tf. Times are seconds."""

    aws_region: str
    project_name: str
    queue_visibility_timeout: int
    queue_receive_wait: int
    tags: dict[str, str]
    sets: tuple[SetSpec, ...]


def read_blueprint(path: Path = VARIABLES_FILE) -> Blueprint:
    """Read the defaults; raise ValueError that names the variable or default that is missing."""
    loaded: dict[str, Any] = hcl2.loads(path.read_text("utf-8"), serialization_options=PLAIN)
    variables: dict[str, dict[str, Any]] = {}
    for block in loaded.get("variable", []):
        variables.update(block)
    try:
        shared = loaded["locals"][0]["set_defaults"]
        return Blueprint(
            aws_region=variables["aws_region"]["default"],
            project_name=variables["project_name"]["default"],
            queue_visibility_timeout=variables["queue_visibility_timeout"]["default"],
            queue_receive_wait=variables["queue_receive_wait"]["default"],
            tags=variables["tags"]["default"],
            sets=tuple(
                SetSpec(name=name, **{**shared, **own})
                for name, own in sorted(variables["sets"]["default"].items())
            ),
        )
    except KeyError as missing:
        raise ValueError(f"{path}: no variable or default {missing}") from None
    except TypeError as mismatch:
        raise ValueError(f"{path}: 'sets' has other fields than SetSpec: {mismatch}") from None
