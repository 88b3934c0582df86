"""The words of the pages: each name in backticks, value, exit code and flag is one that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import run
from contracts.test_documents import CONTRIBUTING, PAGES, README, SOURCE, commands
from harness.arguments import parser
from redriving.exits import Exit as RedriveExit
from sender.exits import Exit as ProducerExit
from sender.flags import FLAGS
from support.children import ROOT
from worker.exits import Exit as ConsumerExit
from worker.variables import VARIABLES

CASES = run.cases()
KNOWN = {variable.name: variable for variable in VARIABLES}
HELP = {"--help"}
CODES = (ConsumerExit, ProducerExit, RedriveExit, run.Exit)
RUNNER = {flag for action in parser(CASES, "")._actions for flag in action.option_strings}
PRODUCER = {f"--{flag.name}" for flag in FLAGS} | HELP
WORD = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


def code(text: str) -> Iterator[str]:
    """What stands in backticks, and every line of a fenced block."""
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    yield from (line for _, line in commands(text))


def plain(text: str) -> str:
    return text.lower().replace("-", "_")


def test_every_lone_word_in_backticks_exists() -> None:
    """A scenario, a mode, an event, a crash point, an output: somewhere the product says it."""
    said = set(re.findall(r"\w+", plain(SOURCE)))
    for text in (README, CONTRIBUTING):
        prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        words = {word for word in re.findall(r"`([^`\n]+)`", prose) if WORD.fullmatch(word)}
        assert len(words) > 20
        assert not {word for word in words if plain(word) not in said}


def test_every_value_that_a_variable_is_given_is_allowed() -> None:
    given = [
        found
        for text in (README, CONTRIBUTING)
        for part in code(text)
        for found in re.findall(r"(?<![\w$])([A-Z][A-Z0-9_]*)=([\w.+:/-]+)", part)
    ]
    assert len(given) > 30
    for name, value in given:
        assert name in SOURCE, name
        if name in KNOWN:
            KNOWN[name].parse(value)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_exit_code_exists(page: Path) -> None:
    known = {int(one) for kind in CODES for one in kind}
    text = page.read_text(encoding="utf-8")
    named = {int(code) for code in re.findall(r"\bexit(?:s with| code| codes)? (\d+)\b", text)}
    assert named <= known, named - known


def test_the_pictures_that_are_told_of_are_those_of_the_scenarios() -> None:
    part = README.split("\nWhat to look for in the picture of each")[1].split("\nWhere a verdict")[
        0
    ]
    assert sorted(re.findall(r"^- `([^`]+)`", part, re.M)) == sorted(CASES)


def test_every_scenario_that_is_run_exists() -> None:
    for line in code(README):
        for words in re.findall(r"\brun\.py((?: [a-z][\w-]*)+)", line):
            assert set(words.split()) <= CASES.keys(), line


@pytest.mark.parametrize(
    ("door", "flags"),
    [
        (r"run_producer\.sh|produce\.py", PRODUCER),
        (r"scenarios/run\.py|make scenario[\w-]*", RUNNER),
    ],
)
def test_every_flag_of_a_command_is_one_of_its_door(door: str, flags: set[str]) -> None:
    lines = [line for line in code(README) if re.search(door, line)]
    named = {flag for line in lines for flag in re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", line)}
    assert named
    assert named <= flags, named - flags


def test_every_terraform_variable_and_output_exists() -> None:
    terraform = "\n".join(path.read_text("utf-8") for path in (ROOT / "terraform").glob("*.tf"))
    for word, pattern in (
        ("variable", r"-var[ =]'?\"?(\w+)="),
        ("output", r"\boutput -raw (\w+)"),
    ):
        named = set(re.findall(pattern, README))
        assert named
        assert not {one for one in named if f'{word} "{one}"' not in terraform}


def test_every_message_and_section_that_troubleshooting_quotes_exists() -> None:
    part = README.split("\n## Troubleshooting\n")[1].split("\n## ")[0]
    symptoms = re.findall(r"^\| (.+?) \| (.+) \|$", part, re.M)
    assert len(symptoms) > 20
    said = re.sub(r'"\s*\n\s*f?"', "", SOURCE)  # a text over several lines of code
    heads = re.findall(r"^###? (.+)$", README, re.M)
    for symptom, cause in symptoms:
        for quoted in re.findall(r'"([^"=]+)"', symptom):
            parts = [one for one in re.split(r"\.\.\.|[A-Z_]+=", quoted) if len(one.split()) > 1]
            assert all(one.strip() in said for one in parts), quoted
        for section in re.findall(r'see "([^"]+)"', cause):
            assert section in heads, section
