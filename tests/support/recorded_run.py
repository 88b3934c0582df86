"""Runs scenarios/run.py and writes down the API calls of this one process, not of its children.

Usage: recorded_run.py FILE [arguments of run.py]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

import run

seen: set[str] = set()
make_call = BaseClient._make_api_call  # type: ignore[attr-defined]


def recorded(client: Any, operation: str, arguments: Any) -> Any:
    seen.add(f"{client.meta.service_model.service_name}.{operation}")
    return make_call(client, operation, arguments)


BaseClient._make_api_call = recorded  # type: ignore[attr-defined]
try:
    code = run.main(sys.argv[2:])
finally:
    Path(sys.argv[1]).write_text("\n".join(sorted(seen)) + "\n")
sys.exit(code)
