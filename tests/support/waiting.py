"""Waits on a condition with a deadline; the only sleep in the tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], seconds: float = 10.0, what: str = "") -> T:
    """Return the first truthy value; after ``seconds`` fail with the last one."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what or condition}; last: {value!r}")
        time.sleep(0.05)
