"""Reads terraform/variables.tf into typed values; knows nothing of boto3, processes or main.tf.

Only literals are read (the defaults of variables and of ``optional()``), so nothing that Terraform
would compute is computed a second time here.
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
    variables: dict[str, dict[str, Any]] = {}
    for block in _load(path.read_text(encoding="utf-8")).get("variable", []):
        variables.update(block)
    try:
        shared = optional_defaults(variables["sets"]["type"])
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


def optional_defaults(type_expression: str) -> dict[str, Any]:
    """``${map(object({a = optional(number, 2)}))}`` gives ``{"a": 2}``.

    python-hcl2 hands a type over as text; the object and the calls in it are HCL again, so the
    library reads those too.
    """
    fields = _load("fields = " + _arguments(type_expression, "map", "object"))["fields"]
    calls = {
        name: _load(f"call = [{_arguments(call, 'optional')}]")["call"]
        for name, call in fields.items()
        if call.startswith("${optional(")
    }
    return {name: call[1] for name, call in calls.items() if len(call) == 2}  # noqa: PLR2004


def _load(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = hcl2.loads(text + "\n", serialization_options=PLAIN)
    return loaded


def _arguments(expression: str, *functions: str) -> str:
    inner = expression.removeprefix("${").removesuffix("}")
    for function in functions:
        if not inner.startswith(function + "("):
            raise ValueError(f"expected {function}(...) in {expression}")
        inner = inner[len(function) + 1 : -1]
    return inner
