"""The words of the pages: each name in backticks, value, exit code and flag is one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import run
from contracts.test_documents import SOURCE
from doctor import cli
from harness.arguments import parser
from redrive.exits import Exit as RedriveExit
from redrive.flags import FLAGS as REDRIVE_FLAGS
from sender.exits import Exit as ProducerExit
from sender.flags import FLAGS
from sqs_worker.exits import Exit as ConsumerExit
from sqs_worker.variables import VARIABLES
from support.children import ROOT
from support.documents import PAGES, USER_PAGES, code, label, prose, text_of

CASES = run.cases()
KNOWN = {variable.name: variable for variable in VARIABLES}
HELP = {"--help"}
CODES = (ConsumerExit, ProducerExit, RedriveExit, run.Exit, cli.Exit)
RUNNER = {flag for action in parser(CASES, "")._actions for flag in action.option_strings}
PRODUCER = {f"--{flag.name}" for flag in FLAGS} | HELP
REDRIVE = {f"--{flag.name}" for flag in REDRIVE_FLAGS} | HELP
WORD = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
USER_TEXTS = [text_of(page) for page in USER_PAGES]
TEXTS = [*USER_TEXTS, text_of("CONTRIBUTING.md")]


def plain(text: str) -> str:
    return text.lower().replace("-", "_")


def test_every_lone_word_in_backticks_exists() -> None:
    """A scenario, a mode, an event, a crash point, an output: somewhere the product says it."""
    said = set(re.findall(r"\w+", plain(SOURCE)))
    words = {
        word
        for text in TEXTS
        for word in re.findall(r"`([^`\n]+)`", prose(text))
        if WORD.fullmatch(word)
    }
    assert len(words) > 40
    assert not {word for word in words if plain(word) not in said}


def test_every_value_that_a_variable_is_given_is_allowed() -> None:
    given = [
        found
        for text in TEXTS
        for part in code(text)
        for found in re.findall(r"(?<![\w$])([A-Z][A-Z0-9_]*)=([\w.+:/-]+)", part)
    ]
    assert len(given) > 30
    for name, value in given:
        assert name in SOURCE, name
        if name in KNOWN and value != "...":
            KNOWN[name].parse(value)


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_exit_code_exists(page: Path) -> None:
    known = {int(one) for kind in CODES for one in kind}
    named = {
        int(code) for code in re.findall(r"\bexits?(?: with| code| codes)? (\d+)\b", text_of(page))
    }
    assert named <= known, named - known


def test_every_scenario_that_is_run_exists() -> None:
    for line in (line for text in USER_TEXTS for line in code(text)):
        for words in re.findall(r"\brun\.py((?: [a-z][\w-]*)+)", line):
            assert set(words.split()) <= CASES.keys(), line


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        (r"run_producer\.sh|produce\.py", PRODUCER),
        (r"scenarios/run\.py|make scenario[\w-]*", RUNNER),
        (r"redrive\.py|make redrive", REDRIVE),
    ],
)
def test_every_flag_of_a_command_is_one_of_its_program(program: str, flags: set[str]) -> None:
    lines = [line for text in USER_TEXTS for line in code(text) if re.search(program, line)]
    named = {flag for line in lines for flag in re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", line)}
    assert named
    assert named <= flags, named - flags


def test_every_terraform_variable_and_output_exists() -> None:
    terraform = "\n".join(path.read_text("utf-8") for path in (ROOT / "terraform").glob("*.tf"))
    page = text_of("docs/aws.md")
    for word, pattern in (
        ("variable", r"-var[ =]'?\"?(\w+)="),
        ("output", r"\boutput -raw (\w+)"),
    ):
        named = set(re.findall(pattern, page))
        assert named
        assert not {one for one in named if f'{word} "{one}"' not in terraform}


def test_every_message_that_troubleshooting_quotes_exists() -> None:
    symptoms = re.findall(r"^\| (.+?) \| .+ \|$", text_of("docs/troubleshooting.md"), re.M)
    assert len(symptoms) > 20
    said = re.sub(r'"\s*\n\s*f?"', "", SOURCE)  # a text over several lines of code
    for symptom in symptoms:
        for quoted in re.findall(r'"([^"=]+)"', symptom):
            parts = [one for one in re.split(r"\.\.\.|[A-Z_]+=", quoted) if len(one.split()) > 1]
            assert all(one.strip() in said for one in parts), quoted
