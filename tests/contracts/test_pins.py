"""Every door installs from constraints.txt, so all of them run on one version of the SDK."""

from __future__ import annotations

import re
from importlib.metadata import requires, version
from pathlib import Path

import pytest

from support.children import ROOT

DOORS = sorted(path.relative_to(ROOT) for path in ROOT.glob("*/requirements.txt"))
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


def wanted(door: Path) -> list[str]:
    """The requirement lines of a door, without its includes."""
    text = (ROOT / door).read_text(encoding="utf-8").splitlines()
    return [line for line in text if line and not line.startswith(("#", "-"))]


def test_there_are_doors() -> None:
    assert {str(door.parent) for door in DOORS} >= {"consumer", "producer", "scenarios", "tests"}


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_door_starts_with_the_constraints(door: Path) -> None:
    first = (ROOT / door).read_text(encoding="utf-8").splitlines()[0]
    assert first == "-c ../constraints.txt"


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_door_asks_for_ranges_and_every_one_is_pinned(door: Path) -> None:
    pinned = {name.lower().replace("_", "-") for name in PINS}
    for line in wanted(door):
        found = re.fullmatch(r"([A-Za-z0-9_.-]+)(\[[a-z0-9_,]+\])?>=[0-9.]+,<[0-9.]+", line)
        assert found, f"{door}: {line!r} is not a range such as name>=1.2,<2"
        assert found[1].lower().replace("_", "-") in pinned, f"{door}: {found[1]} has no pin"


@pytest.mark.parametrize("door", [d for d in DOORS if str(d.parent) != "tests"], ids=str)
def test_every_door_runs_on_the_one_boto3(door: Path) -> None:
    assert [line for line in wanted(door) if line.startswith("boto3>=")]


def test_the_pin_of_botocore_is_the_one_that_ministack_wants() -> None:
    theirs = [need for need in requires("ministack") or [] if need.startswith("botocore")]
    assert theirs[0].split(";")[0].replace(" ", "") == f"botocore=={PINS['botocore']}"


@pytest.mark.parametrize(
    "name", ["boto3", "botocore", "ministack", "moto", "rich", "python-dotenv"]
)
def test_what_runs_here_is_what_is_pinned(name: str) -> None:
    assert version(name) == PINS[name]
