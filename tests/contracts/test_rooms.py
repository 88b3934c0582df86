"""Every import of the product obeys the rooms: who may know AWS, the faults, or another room."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from support.children import ROOT
from support.questions import QUESTIONS

OWN = {
    "worker",
    "sender",
    "harness",
    "cases",
    "validation",
    "local_stack",
    "checkup",
    "local_aws",
    "redriving",
    "picturing",
    "run",
    "reliability",
}


@dataclass(frozen=True)
class Room:
    """Files that may import these names: packages from outside, and modules of ours."""

    files: str
    outside: frozenset[str]
    ours: frozenset[str]


def room(files: str, outside: str = "", ours: str = "") -> Room:
    return Room(files, frozenset(outside.split()), frozenset(ours.split()))


# The first room that fits a file is its room. `x.*` stands for all modules of x.
ROOMS = (
    # The door loads the assembly late: a bad setting need not wait for the SDK.
    room(
        "consumer/consume.py",
        ours="worker.assembly worker.early worker.envfile worker.exits worker.logs worker.output "
        "worker.settings",
    ),
    # The assembly composes on the door's behalf: alone in the package it knows the faults.
    room("consumer/worker/assembly.py", "botocore.config botocore.exceptions", "worker.*"),
    room("consumer/worker/access.py", "boto3 botocore.session"),
    room("consumer/worker/output.py"),
    room("consumer/worker/starting.py", ours="worker.ports"),
    room(
        "consumer/worker/inbox.py",
        "botocore.exceptions",
        "worker.aws worker.clock worker.message worker.ports worker.variables",
    ),
    room("consumer/worker/clock.py"),
    room(
        "consumer/worker/ledger.py",
        ours="worker.message worker.ports worker.rows worker.statements worker.writes",
    ),
    room("consumer/worker/aws.py", "botocore botocore.exceptions", "worker.access worker.ports"),
    room("consumer/worker/rows.py", ours="worker.message worker.statements worker.writes"),
    room("consumer/worker/statements.py", "botocore.exceptions", "worker.aws worker.ports"),
    room(
        "consumer/worker/writes.py",
        "botocore.exceptions",
        "worker.aws worker.message worker.ports",
    ),
    room("consumer/worker/envfile.py", "dotenv", "worker.settings"),
    room("consumer/worker/settings.py", ours="worker.rules worker.variables"),
    room("consumer/worker/rules.py", ours="worker.variables"),
    room("consumer/worker/canonical.py"),
    room("consumer/worker/message.py", ours="worker.canonical"),
    room("consumer/worker/business.py", "jmespath", "worker.canonical worker.message worker.ports"),
    room("consumer/worker/variables.py", ours="worker.access worker.business"),
    room("consumer/worker/ports.py", ours="worker.message"),
    room("consumer/worker/journal.py"),
    room("consumer/worker/outside.py"),
    room("consumer/worker/effects.py", ours="worker.message worker.outside worker.ports"),
    room(
        "consumer/worker/outbox.py",
        "botocore.exceptions",
        "worker.aws worker.effects worker.message worker.outside worker.ports worker.writes",
    ),
    room(
        "consumer/worker/relay.py",
        ours="worker.journal worker.message worker.outbox worker.outside worker.ports",
    ),
    room(
        "consumer/worker/saga.py",
        ours="worker.aws worker.effects worker.journal worker.message worker.outside worker.ports "
        "worker.writes",
    ),
    room(
        "consumer/worker/ways.py",
        ours="worker.effects worker.journal worker.message worker.outbox worker.outside "
        "worker.ports worker.relay worker.saga worker.settings worker.writes",
    ),
    room("consumer/worker/meter.py"),
    room("consumer/worker/cache.py"),
    room("consumer/worker/early.py", ours="worker.exits"),
    room("consumer/worker/exits.py"),
    room("consumer/worker/logs.py", ours="worker.access"),
    room("consumer/worker/turnstile.py"),
    room(
        "consumer/worker/pipeline.py",
        ours="worker.cache worker.deletes worker.holdings worker.journal worker.message "
        "worker.meter worker.ports",
    ),
    room(
        "consumer/worker/deletes.py",
        ours="worker.holdings worker.journal worker.message worker.meter worker.ports",
    ),
    room(
        "consumer/worker/faults.py",
        ours="worker.exits worker.journal worker.message worker.outside worker.ports",
    ),
    room(
        "consumer/worker/holdings.py",
        ours="worker.journal worker.message worker.meter worker.ports worker.variables",
    ),
    room(
        "consumer/worker/outage.py",
        ours="worker.holdings worker.journal worker.message worker.ports",
    ),
    room(
        "consumer/worker/loop.py",
        ours="worker.deletes worker.holdings worker.journal worker.message worker.meter "
        "worker.outage worker.pipeline worker.ports worker.turnstile",
    ),
    room("consumer/worker/__init__.py"),
    room("producer/produce.py", "botocore.config", "sender.*"),
    room("producer/sender/access.py", "boto3 botocore.session"),
    room("producer/sender/send.py", "botocore.exceptions", "sender.access sender.payloads"),
    room("producer/sender/env.py", "dotenv"),
    room("producer/sender/progress.py", "rich"),
    room("producer/sender/*.py", ours="sender.*"),
    room("scenarios/cases/*.py", ours=" ".join(["harness.scenario", *QUESTIONS])),
    room("scenarios/services/*.py"),
    room(
        "scenarios/harness/infra.py",
        "boto3 botocore.config botocore.exceptions",
        "harness.queues harness.tables",
    ),
    room("scenarios/harness/queues.py", ours="harness.history"),
    room("scenarios/harness/tables.py"),
    room("scenarios/harness/history.py"),
    room("scenarios/harness/scenario.py", ours="harness.history"),
    *(
        room(
            f"scenarios/{module.replace('.', '/')}.py",
            ours="harness.deliveries harness.findings harness.history harness.invariants "
            "harness.scaling harness.scenario",
        )
        for module in QUESTIONS
    ),
    room("scenarios/harness/page/*.py", "plotly", "harness.*"),
    room("scenarios/harness/report.py", "rich", "harness.*"),
    room("scenarios/harness/live.py", "rich", "harness.*"),
    room("scenarios/harness/*.py", ours="harness.*"),
    room("scenarios/run.py", ours="harness.* cases.*"),
    room("scenarios/validate_infra.py", "botocore.exceptions", "harness.infra validation.*"),
    room("scenarios/validation/*.py"),
    room("scripts/local_stack/provision.py", "boto3 botocore", "local_stack.*"),
    room("scripts/local_stack/blueprint.py", "hcl2"),
    room("scripts/local_stack/*.py", ours="local_stack.*"),
    # What an id is, how .env is found and how a pace is kept are the doors' to say, once.
    room("scripts/redriving/letters.py", ours="redriving.tag worker.message"),
    room("scripts/redriving/rules.py", ours="redriving.letters redriving.tag"),
    room("scripts/redriving/filters.py", "jmespath", "redriving.rules"),
    room("scripts/redriving/errors.py", "botocore.exceptions", "sender.access"),
    room(
        "scripts/redriving/runs.py",
        "botocore.config",
        "redriving.* sender.access sender.exits sender.meter worker.message",
    ),
    room(
        "scripts/redriving/show.py",
        ours="redriving.letters redriving.native redriving.rules redriving.tally worker.logs",
    ),
    room(
        "scripts/redriving/*.py",
        ours="redriving.* sender.access sender.env sender.flags sender.pace sender.payloads "
        "worker.business "
        "worker.message",
    ),
    room("scripts/redrive.py", ours="redriving.* sender.access sender.exits sender.output"),
    room("scripts/local_aws.py", "botocore.exceptions", "local_stack.*"),
    room("scripts/preflight.py"),
    # A script may read other doors' tables, prices, readers; it never starts what they run.
    room(
        "scripts/doctor.py",
        "botocore.exceptions",
        "checkup.catalogue checkup.findings checkup.live checkup.records checkup.report "
        "worker.access worker.envfile worker.logs worker.output worker.settings",
    ),
    room(
        "scripts/checkup/live.py",
        "botocore.config botocore.exceptions",
        "checkup.answers checkup.evidence checkup.facts checkup.peek worker.access worker.business "
        "worker.message worker.rows worker.settings",
    ),
    room("scripts/checkup/peek.py", ours="checkup.facts worker.message"),
    room(
        "scripts/checkup/records.py",
        ours="checkup.evidence checkup.facts checkup.runs harness.history harness.journals "
        "local_stack.holders",
    ),
    room("scripts/checkup/runs.py", ours="checkup.evidence harness.history"),
    room("scripts/checkup/evidence.py"),
    room("scripts/checkup/facts.py", ours="checkup.evidence worker.settings"),
    room("scripts/checkup/findings.py", ours="checkup.facts"),
    room("scripts/checkup/amounts.py", ours="worker.meter"),
    room("scripts/checkup/report.py", "rich", "checkup.* worker.logs"),
    # The rules: facts in, findings out. Of the consumer they know constants.
    room(
        "scripts/checkup/*.py",
        ours="checkup.* validation.findings worker.loop worker.variables",
    ),
    room("scripts/picturing/screen.py", "rich"),
    room("scripts/picturing/shots.py", "playwright.sync_api"),
    room("scripts/picturing/*.py"),
    room("scripts/pictures.py", ours="picturing.*"),
    room(
        "scripts/reference.py",
        "hcl2",
        "harness.arguments local_stack.blueprint redriving.exits redriving.flags run sender.exits "
        "sender.flags worker.variables",
    ),
    room("scripts/*.py", ours="local_aws harness.*"),
)

# Decisions take data and give data: no clock, no chance, no process, no file.
PURE = (
    "consumer/worker/message.py",
    "consumer/worker/business.py",
    "consumer/worker/ports.py",
    "consumer/worker/variables.py",
    "consumer/worker/rules.py",
    "consumer/worker/settings.py",
    "producer/sender/pace.py",
    "scripts/redriving/filters.py",
    "scripts/redriving/letters.py",
    "scripts/redriving/rules.py",
    "scripts/redriving/tag.py",
    *(f"scenarios/{module.replace('.', '/')}.py" for module in QUESTIONS),
    "scenarios/harness/deliveries.py",
    "scenarios/harness/invariants.py",
    "scenarios/harness/findings.py",
    "scenarios/harness/measures.py",
    "scenarios/harness/scaling.py",
    "scenarios/harness/scenario.py",
    *(
        f"scripts/checkup/{name}.py"
        for name in (
            *("amounts", "answers", "evidence", "facts", "findings", "runs", "catalogue"),
            *("beats", "dead_letters", "hiding", "identities", "keeping", "polling", "receives"),
            *("running", "stopping"),
        )
    ),
)
IMPURE = {"os", "time", "random", "subprocess", "threading", "socket", "shutil", "tempfile"}


def product() -> list[str]:
    """Every Python file of the product, by its path in the repository."""
    folders = ("consumer", "producer", "scenarios", "scripts")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    names = [path.relative_to(ROOT) for path in files]
    return sorted(str(name) for name in names if not any(p.startswith(".") for p in name.parts))


FILES = product()


def imported(path: str) -> Iterator[str]:
    """Every module that a file imports, with names, in full; those for type checkers aside."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    package = Path(path).parent.name
    aside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in aside:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            if module in OWN:  # `from harness import infra` names a module by its last word
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module


def within(name: str, allowed: frozenset[str]) -> bool:
    return any(
        name == one or name.startswith(one.removesuffix("*").rstrip(".") + ".") for one in allowed
    )


@pytest.mark.parametrize("path", FILES)
def test_a_file_imports_only_what_its_room_may(path: str) -> None:
    its_room = next((one for one in ROOMS if fnmatch(path, one.files)), None)
    assert its_room, f"{path} has no room; give it one in {Path(__file__).name}"
    wrong = []
    for name in imported(path):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        ours = top in OWN
        allowed = its_room.ours if ours else its_room.outside
        exact = frozenset(one for one in allowed if not one.endswith("*")) if ours else allowed
        stars = allowed - exact
        if not (name in exact or within(name, stars) or (not ours and within(name, exact))):
            wrong.append(name)
    assert not wrong, f"{path} ({its_room.files}) must not import {', '.join(wrong)}"


@pytest.mark.parametrize("path", PURE)
def test_a_decision_touches_no_clock_chance_process_or_file(path: str) -> None:
    wrong = {name.partition(".")[0] for name in imported(path)} & IMPURE
    assert not wrong, f"{path} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("path", [name for name in FILES if name.startswith("scenarios/cases/")])
def test_a_case_only_declares(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    kinds = (ast.For, ast.While, ast.If, ast.Try, ast.With, ast.FunctionDef, ast.ClassDef)
    assert not [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, kinds)]


def test_only_the_assembly_knows_the_faults() -> None:
    knowing = {p for p in FILES if p.startswith("consumer/") and "worker.faults" in imported(p)}
    assert knowing == {"consumer/worker/assembly.py"}


def test_no_room_of_the_table_is_empty() -> None:
    empty = [one.files for one in ROOMS if not any(fnmatch(path, one.files) for path in FILES)]
    assert not empty
