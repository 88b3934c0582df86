"""Every case: declared in one short file, in words that the consumer and Terraform know."""

from __future__ import annotations

import ast
import importlib
import json
from itertools import chain
from pathlib import Path

import pytest

from harness.scenario import (
    CRASHED,
    MAX_RECEIVES,
    OK,
    Address,
    Consume,
    KeepUp,
    RunScript,
    Scenario,
)
from harness.scenario_run import BASICS
from local_stack.blueprint import read_blueprint
from run import cases
from sender.flags import FLAGS
from sqs_worker.exits import Exit
from sqs_worker.variables import VARIABLES
from support.children import ROOT

CASES = list(cases().values())
FILES = sorted((ROOT / "scenarios" / "cases").glob("[a-z]*.py"))
KNOWN = {variable.name: variable for variable in VARIABLES}
SETS = {spec.name: spec for spec in read_blueprint().sets}


def test_the_six_fast_ones_and_the_others() -> None:
    assert [case.name for case in CASES if not case.slow] == [
        "crash",
        "duplicates",
        "happy",
        "partial-batch",
        "poison",
        "side-effects",
    ]
    slow = {case.name for case in CASES if case.slow}
    assert slow >= {
        "backpressure",
        "business-idempotency",
        "dynamodb-faults",
        "external-effects",
        "graceful-shutdown",
        "heartbeat",
        "saga",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_case_imports_the_words_and_the_checks_only(path: Path) -> None:
    imports = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import)]
    froms = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
    assert not imports
    modules = {str(node.module) for node in froms}
    assert "harness.scenario" in modules
    assert all(name == "harness.scenario" or name.startswith("checks.") for name in modules)
    name = importlib.import_module(f"cases.{path.stem}").SCENARIO.name
    assert name == path.stem.replace("_", "-")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_case_only_declares(path: Path) -> None:
    kinds = (ast.For, ast.While, ast.If, ast.Try, ast.With, ast.FunctionDef, ast.ClassDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, kinds)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_whole(case: Scenario) -> None:
    assert case.runs_on in SETS
    assert case.proves
    assert case.when
    assert case.then


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fields_are_for_each_message_and_the_producer_takes_them(case: Scenario) -> None:
    assert len(case.given.fields) in (0, case.given.messages)
    (flag,) = [flag for flag in FLAGS if flag.name == "fields"]
    if case.given.fields:
        flag.kind.parse(json.dumps(case.given.fields, default=lambda fresh: fresh.name))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_setting_is_a_variable_of_the_consumer(case: Scenario) -> None:
    given = [settings.items() for settings in case.arms.values()]
    for step in case.when:
        given += [of.items() for of in step.of_each()] if isinstance(step, Consume) else []
        if isinstance(step, KeepUp):
            assert step.max_consumers > 1
    for name, value in chain(*given):
        assert name in KNOWN or name == "AWS_ENDPOINT_URL_DYNAMODB"
        if isinstance(value, str | int | float):
            KNOWN[name].parse(str(value))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_interruption_names_a_signal_for_each_arm_and_somebody_stays_for_it(
    case: Scenario,
) -> None:
    steps = [step for step in case.when if isinstance(step, Consume)]
    for place, step in enumerate(steps):
        if step.interrupts:
            assert step.interrupts.keys() == case.arms.keys()
            assert set(step.interrupts.values()) <= {"SIGTERM", "SIGKILL"}
            assert any(before.stays for before in steps[:place])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_service_is_a_program_and_every_address_one_of_the_services(case: Scenario) -> None:
    for service in case.services:
        assert (ROOT / "scenarios" / "services" / f"{service.program}.py").is_file()
    steps = [step.settings for step in case.when if isinstance(step, Consume)]
    arms = [tuple(settings.items()) for settings in case.arms.values()]
    addresses = {v.service for _, v in chain(*steps, *arms) if isinstance(v, Address)}
    assert addresses == {service.name for service in case.services}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_script_is_a_program(case: Scenario) -> None:
    for step in case.when:
        if isinstance(step, RunScript):
            assert (ROOT / "scripts" / step.script).is_file()


def test_what_the_harness_adds_is_a_variable_too() -> None:
    for name, value in BASICS.items():
        if name != "PYTHONUNBUFFERED":
            KNOWN[name].parse(str(value))
    assert {"QUEUE_URL", "VISIBILITY_TIMEOUT_SECONDS", "JOURNAL_PATH"} <= KNOWN.keys()


def test_the_numbers_that_both_sides_know() -> None:
    assert (OK, CRASHED) == (Exit.OK, Exit.CRASHED)
    assert {spec.max_receive_count for spec in SETS.values()} == {MAX_RECEIVES}
