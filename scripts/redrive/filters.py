"""Filters in JMESPath, the language of the aws CLI's --query, which comes with botocore; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from redrive.rules import Filter


def compiled(expression: str) -> Filter:
    """A filter that lets through what the expression finds true; ValueError where it is none.

    The filter itself raises ValueError for a message that the expression cannot be asked of.
    """
    try:
        parsed = jmespath.compile(expression)
    except JMESPathError as error:
        raise ValueError(expression) from error

    def matches(document: Mapping[str, Any]) -> bool:
        try:
            found = parsed.search(document)
        except (JMESPathError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{expression}: {error}") from error
        # 0 is true in JMESPath; false are only these.
        return not (found is None or found is False or found in ("", [], {}))

    return matches
