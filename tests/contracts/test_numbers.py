"""The consumer, the producer, the redrive and the runner read a number alike."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from harness import arguments
from redrive.flags import FLAGS as REDRIVE_FLAGS
from sender.flags import FLAGS
from sqs_worker.variables import VARIABLES

Parse = Callable[[str], float]
SETTINGS = {variable.name: variable.parse for variable in VARIABLES}
SENDING = {flag.name: flag.kind.parse for flag in FLAGS}
REDRIVING = {flag.name: flag.kind.parse for flag in REDRIVE_FLAGS if flag.kind}

WHOLE: tuple[Parse, ...] = (
    SETTINGS["MESSAGE_LIMIT"],
    SENDING["n"],
    REDRIVING["limit"],
    arguments.whole(0),
)
ANY: tuple[Parse, ...] = (
    SETTINGS["SLEEP_MAX_SECONDS"],
    SENDING["rate"],
    REDRIVING["rate"],
    arguments.number(0),
)


def parsed(parse: Parse, text: str) -> float | None:
    """None where it is refused."""
    try:
        return parse(text)
    except (ValueError, ArgumentTypeError):
        return None


@pytest.mark.parametrize(
    ("text", "whole", "number"),
    [
        ("5", 5, 5),
        ("+5", 5, 5),
        (" 5 ", 5, 5),
        ("007", 7, 7),
        ("5.", None, 5),
        (".5", None, 0.5),
        ("1e3", None, 1000),
        ("１０", None, None),
        ("٣", None, None),
        ("1_000", None, None),
        ("0x10", None, None),
        ("", None, None),
        ("-1", None, None),
        ("- 1", None, None),
        ("nan", None, None),
        ("inf", None, None),
        ("1e999", None, None),
        ("5s", None, None),
    ],
)
def test_all_four_read_a_number_alike(text: str, whole: int | None, number: float | None) -> None:
    assert [parsed(parse, text) for parse in WHOLE] == [whole] * 4
    assert [parsed(parse, text) for parse in ANY] == [number] * 4
