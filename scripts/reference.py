#!/usr/bin/env python3
"""Writes the generated tables of docs/ and .env.example from the code, or checks them (--check).

It knows where each fact is in the code and how a table looks. The text around the tables is written
by hand. A table is between two lines that contain `begin: NAME` and `end: NAME`.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

try:
    import hcl2

    import run
    from harness.arguments import parser as runner_parser
    from local_stack.blueprint import PLAIN
    from redrive.exits import Exit as RedriveExit
    from redrive.flags import FLAGS as REDRIVE_FLAGS
    from sender.exits import Exit as ProducerExit
    from sender.flags import FLAGS
    from sqs_worker.variables import VARIABLES, Variable
except ModuleNotFoundError as missing:
    sys.exit(f"reference: {missing.name} is not installed in this Python; run: make venv")

FROM_TERRAFORM = frozenset(
    {"QUEUE_URL", "AWS_REGION", "MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE"}
)
"""Written by hand in .env.example, because Terraform and the local stack write them into .env."""

NOT_IN_A_FILE = frozenset({"ENV_FILE"})
"""It names the file, so it cannot stand in one."""


def consumer_variables() -> list[str]:
    """Every variable of the consumer."""
    rows = [
        (f"`{v.name}`", _default(v), v.help.rstrip("."), v.allowed.replace("(empty)", "empty"))
        for v in VARIABLES
    ]
    return _table(("variable", "default", "meaning", "allowed"), rows)


def producer_flags() -> list[str]:
    """Every flag of the producer."""
    rows = []
    for flag in FLAGS:
        default = f"`{flag.variable or flag.default}`" if flag.variable or flag.default else ""
        rows.append((f"`--{flag.name}`", default, flag.help, flag.kind.allowed))
    return _table(("flag", "default", "meaning", "allowed"), rows)


def redrive_flags() -> list[str]:
    """Every flag of scripts/redrive.py, and with which verb it counts."""
    rows = []
    for flag in REDRIVE_FLAGS:
        default = f"`{flag.variable or flag.default}`" if flag.variable or flag.default else ""
        allowed = flag.kind.allowed if flag.kind else ""
        counts = ", ".join(f"`{verb}`" for verb in flag.counts_for)
        rows.append((f"`--{flag.name}`", default, flag.help, allowed, counts))
    return _table(("flag", "default", "meaning", "allowed", "with"), rows)


def runner_flags() -> list[str]:
    """Every flag of scenarios/run.py."""
    rows = []
    for action in runner_parser(run.cases(), "")._actions:
        if action.option_strings and action.dest != "help":
            name = action.metavar or action.dest.upper()
            value = "" if action.nargs == 0 else name if isinstance(name, str) else " ".join(name)
            rows.append((f"`{f'{action.option_strings[-1]} {value}'.strip()}`", action.help or ""))
    return _table(("flag", "meaning"), rows)


def terraform_variables() -> list[str]:
    """Every Terraform variable with a default that fits into a table."""
    text = (ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")
    rows = []
    for block in hcl2.loads(text, serialization_options=PLAIN)["variable"]:
        for name, fields in block.items():
            default = fields["default"]
            shown = "a map, see the file" if isinstance(default, dict) else f"`{default}`"
            rows.append((f"`{name}`", shown, fields["description"].rstrip(".")))
    return _table(("variable", "default", "meaning"), rows)


def scenarios() -> list[str]:
    """Every scenario, the set that it runs on and what it proves."""
    rows = [
        (f"`{case.name}`" + (" (slow)" if case.slow else ""), f"`{case.runs_on}`", case.proves)
        for case in run.cases().values()
    ]
    return _table(("scenario", "runs on", "what it proves"), rows)


def targets() -> list[str]:
    """Every Make target that `make help` shows, under the same headings."""
    rows = []
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if line.startswith("##@ "):
            rows.append((f"**{line[4:]}**", ""))
        elif found := re.match(r"([A-Za-z0-9_%-]+):.*?## (.+)", line):
            rows.append((f"`make {found[1].replace('%', 'NAME')}`", found[2]))
    return _table(("target", "what it does"), rows)


def exit_codes() -> list[str]:
    """Every exit code of the programs."""
    rows = [
        ("`consume.py`", code, text) for code, text in _documented("consumer/sqs_worker/exits.py")
    ]
    rows.append(("`consume.py`", "128 + signal", "A second signal while it was stopping."))
    rows += [("`produce.py`", str(code.value), _sentence(code.meaning)) for code in ProducerExit]
    rows += [("`redrive.py`", str(code.value), _sentence(code.meaning)) for code in RedriveExit]
    rows += [("`run.py`", code, text) for code, text in _documented("scenarios/run.py")]
    rows += [("`doctor.py`", code, text) for code, text in _documented("scripts/doctor/cli.py")]
    return _table(("program", "code", "meaning"), rows)


def env_variables() -> list[str]:
    """The variables of the consumer that may stand in a .env, switched off."""
    lines = []
    for variable in VARIABLES:
        if variable.name not in FROM_TERRAFORM | NOT_IN_A_FILE:
            lines += [f"# {variable.help} ({variable.allowed})"]
            lines += [f"#{variable.name}={variable.default}"]
    return lines


TABLES: dict[str, dict[str, Callable[[], list[str]]]] = {
    "docs/scenarios.md": {"scenarios": scenarios},
    "docs/aws.md": {"terraform-variables": terraform_variables},
    "docs/reference.md": {
        "consumer-variables": consumer_variables,
        "producer-flags": producer_flags,
        "redrive-flags": redrive_flags,
        "runner-flags": runner_flags,
        "targets": targets,
        "exit-codes": exit_codes,
    },
    ".env.example": {"variables": env_variables},
}


def rewritten(text: str, makers: dict[str, Callable[[], list[str]]]) -> str:
    """The text with every table made anew; ValueError where a table has no place."""
    for name, make in makers.items():
        place = re.compile(rf"begin: {name}\b[^\n]*\n(.*?)^[^\n]*end: {name}\b", re.M | re.S)
        found = list(place.finditer(text))
        if len(found) != 1:
            raise ValueError(f"no single place for the table {name!r} (begin: and end: lines)")
        start, end = found[0].span(1)
        text = text[:start] + "\n".join(make()) + "\n" + text[end:]
    return text


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 1 where --check finds a table that is not what the code says."""
    options = ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--check", action="store_true", help="change nothing, show differences")
    check = options.parse_args(arguments).check
    differs = False
    for name, makers in TABLES.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        try:
            new = rewritten(old, makers)
        except ValueError as problem:
            print(f"reference: {name}: {problem}", file=sys.stderr)
            return 1
        differs |= old != new
        if check:
            sys.stderr.writelines(_difference(old, new, name))
        elif old != new:
            path.write_text(new, encoding="utf-8")
            print(f"{name}: tables written")
    if check and differs:
        print("reference: tables differ from the code; run: scripts/reference.py", file=sys.stderr)
    return int(check and differs)


def _difference(old: str, new: str, name: str) -> Iterable[str]:
    lines = (old.splitlines(keepends=True), new.splitlines(keepends=True))
    return difflib.unified_diff(*lines, name, f"{name} as the code says", n=0)


def _default(variable: Variable) -> str:
    return f"`{variable.default}`" if variable.default else ""


def _documented(path: str) -> list[tuple[str, str]]:
    """Value and docstring of each member of the class Exit in this file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Exit").body
    found = []
    for member, text in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            found.append((str(ast.literal_eval(member.value)), str(ast.literal_eval(text.value))))
    return found


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_cell(text) for text in line) + " |" for line in lines]


def _cell(text: str) -> str:
    """Text that Markdown shows as it is."""
    return text if text.startswith("`") else text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
