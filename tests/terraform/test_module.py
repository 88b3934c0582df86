"""What holds for terraform/ as text: nothing from a registry but one provider, and safe tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hcl2
import pytest
from hcl2 import SerializationOptions

FOLDER = Path(__file__).resolve().parents[2] / "terraform"
PLAIN = SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)
FILES = sorted(FOLDER.glob("*.tf"))
TESTS = sorted((FOLDER / "tests").glob("*.tftest.hcl"))


def blocks(files: list[Path], kind: str) -> dict[str, dict[str, Any]]:
    """Blocks of a kind by their label."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        loaded = hcl2.loads(file.read_text(), serialization_options=PLAIN)
        for block in loaded.get(kind, []):
            found.update(block)
    return found


def test_the_files_of_the_design() -> None:
    names = {file.stem for file in FILES}
    assert names == {"versions", "providers", "variables", "main", "outputs", "env", "policies"}


def test_no_module_and_one_provider() -> None:
    assert blocks(FILES, "module") == {}
    text = (FOLDER / "versions.tf").read_text()
    assert re.findall(r'source\s*=\s*"(.+)"', text) == ["hashicorp/aws"]
    assert re.findall(r'\bversion\s*=\s*"(.+)"', text) == [">= 5.0, < 7.0"]


def test_the_lock_file_serves_every_platform() -> None:
    lock = (FOLDER / ".terraform.lock.hcl").read_text()
    assert lock.count("provider ") == 1
    assert lock.count('"zh:') == 15
    assert lock.count('"h1:') == 2


@pytest.mark.parametrize("kind", ["variable", "output"])
def test_each_is_described(kind: str) -> None:
    found = blocks(FILES, kind)
    assert found
    assert [name for name, block in found.items() if not block.get("description")] == []


def test_every_file_begins_with_its_banner() -> None:
    for file in FILES:
        rule, title = file.read_text().splitlines()[:2]
        assert re.fullmatch(r"# -{93}", rule), file.name
        assert title.startswith(f"# {file.stem.capitalize()}: "), file.name


def test_a_test_never_applies() -> None:
    """An apply would run the provisioners of env.tf, on the .env of whoever runs the test."""
    runs = blocks(TESTS, "run")
    assert len(runs) > 15
    assert {run["command"] for run in runs.values()} == {"plan"}


def test_each_skip_of_checkov_has_its_reason_in_the_resource() -> None:
    inside = ""
    for line in "\n".join(file.read_text() for file in FILES).splitlines():
        if line.startswith("resource "):
            inside = line
        if line == "}":
            inside = ""
        if "checkov:skip" in line:
            assert inside, line
            assert re.search(r"#checkov:skip=CKV2?_\w+:\S.{20,}", line), line
