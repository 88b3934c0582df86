"""variables.tf read without Terraform: literals only, and a name in every complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_stack.blueprint import VARIABLES_FILE, read_blueprint


def edited(tmp_path: Path, old: str, new: str) -> Path:
    text = VARIABLES_FILE.read_text()
    assert text.count(old) == 1
    copy = tmp_path / "variables.tf"
    copy.write_text(text.replace(old, new))
    return copy


def test_defaults_of_the_specification() -> None:
    found = read_blueprint()
    assert (found.aws_region, found.project_name) == ("us-west-1", "sqs-demo")
    assert (found.queue_visibility_timeout, found.queue_receive_wait) == (10, 10)
    assert [spec.name for spec in found.sets] == [
        "backpressure",
        "crash",
        "dup",
        "happy",
        "poison",
    ]
    assert {spec.max_receive_count for spec in found.sets} == {2}


def test_a_set_may_differ_from_the_shared_defaults(tmp_path: Path) -> None:
    copy = edited(tmp_path, "poison       = {}", "poison = { max_receive_count = 5 }")
    counts = {spec.name: spec.max_receive_count for spec in read_blueprint(copy).sets}
    assert counts["poison"] == 5
    assert counts["happy"] == 2


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('variable "queue_receive_wait"', 'variable "queue_wait"', "queue_receive_wait"),
        ('default     = "us-west-1"', "nullable = false", "default"),
        ("  set_defaults = {", "  defaults = {", "set_defaults"),
        ("max_receive_count             = 2 ", "receives = 2 ", "receives"),
        ("poison       = {}", "poison = { max_recieve_count = 5 }", "max_recieve_count"),
    ],
)
def test_complaint_names_what_is_wrong(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_blueprint(edited(tmp_path, old, new))
