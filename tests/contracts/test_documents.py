"""The documents are complete and hold together: settings, flags, targets, scenarios, exit codes,
quirks, links and sizes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import reference
import run
from doctor import cli
from local_stack.blueprint import read_blueprint
from redrive.exits import Exit as RedriveExit
from redrive.flags import FLAGS as REDRIVE_FLAGS
from sender.exits import Exit as ProducerExit
from sender.flags import FLAGS
from sqs_worker.exits import Exit as ConsumerExit
from sqs_worker.variables import CALL_POINTS, CRASH_POINTS, VARIABLES
from support.children import ROOT
from support.documents import (
    DOCS,
    PAGES,
    USER_PAGES,
    anchors,
    blocks,
    code,
    generated,
    label,
    prose,
    section,
    text_of,
)

ENV_EXAMPLE = text_of(".env.example")
MAKEFILE = text_of("Makefile")
REFERENCE = "docs/reference.md"
CASES = run.cases()


def tracked(*patterns: str) -> list[Path]:
    """Files that git knows, or would with the next `git add`; so nothing that is ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in said.split("\0") if name and (ROOT / name).is_file()]


def source() -> str:
    """All of the product's text, for words that the documents must not make up."""
    folders = (
        "consumer",
        "producer",
        "scenarios",
        "scripts",
        "terraform",
        "tests/benchmarks",
        "tests/reliability",
    )
    kept = [path for path in tracked(*folders) if path.suffix not in {".js", ".css"}]
    return "\n".join(path.read_text(encoding="utf-8") for path in kept) + MAKEFILE


SOURCE = source()


def test_tables_are_what_the_code_says() -> None:
    command = [sys.executable, "scripts/reference.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_table_that_is_missing_or_old_is_seen() -> None:
    old = "<!-- begin: t -->\nold\n<!-- end: t -->\n"
    assert reference.rewritten(old, {"t": lambda: ["new"]}) == old.replace("old", "new")
    for text in ("", old + old, old.replace("end: t", "")):
        with pytest.raises(ValueError, match="no single place"):
            reference.rewritten(text, {"t": lambda: ["new"]})


def test_every_variable_is_in_the_reference_and_in_env_example() -> None:
    names = {variable.name for variable in VARIABLES}
    table = generated(REFERENCE, "consumer-variables")
    assert {name for name in names if f"| `{name}` |" not in table} == set()
    in_file = set(re.findall(r"^#?([A-Z_]+)=", ENV_EXAMPLE, re.M))
    assert names - in_file == {"ENV_FILE"}


def test_env_example_sets_nothing_but_what_terraform_writes() -> None:
    on = re.findall(r"^([A-Z_]+)=", ENV_EXAMPLE, re.M)
    assert on == [
        *("QUEUE_URL", "DLQ_ARN", "AWS_REGION"),
        *("MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE"),
    ]


def test_every_flag_is_in_the_reference() -> None:
    for table, flags in (("producer-flags", FLAGS), ("redrive-flags", REDRIVE_FLAGS)):
        rows = generated(REFERENCE, table)
        assert {flag.name for flag in flags if f"| `--{flag.name}` |" not in rows} == set()


def test_every_scenario_is_on_its_page_and_its_set_in_terraform() -> None:
    table = generated("docs/scenarios.md", "scenarios")
    assert sorted(re.findall(r"^\| `([\w-]+)`", table, re.M)) == sorted(CASES)
    pictures = section(text_of("docs/scenarios.md"), "## What to look for in each picture")
    assert sorted(re.findall(r"^- `([^`]+)`", pictures, re.M)) == sorted(CASES)
    sets = {one.name for one in read_blueprint().sets}
    assert {case.runs_on for case in CASES.values()} <= sets


def test_every_exit_code_is_in_the_reference() -> None:
    table = generated(REFERENCE, "exit-codes")
    for program, codes in (
        ("consume.py", ConsumerExit),
        ("produce.py", ProducerExit),
        ("redrive.py", RedriveExit),
        ("run.py", run.Exit),
        ("doctor.py", cli.Exit),
    ):
        listed = set(re.findall(rf"^\| `{program}` \| (\d+) \| \S", table, re.M))
        assert listed == {str(int(code)) for code in codes}, program


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*%?):(?!=)", MAKEFILE, re.M))


def test_every_target_is_helped_phony_and_in_the_reference() -> None:
    helped = set(re.findall(r"^([a-z%-]+):.*## \S", MAKEFILE, re.M))
    assert targets() == helped, "a target without ## is a secret"
    phony = set(" ".join(re.findall(r"^\.PHONY: (.+)", MAKEFILE, re.M)).split())
    assert helped - {"scenario-%"} == phony
    for name in helped:
        assert f"`make {name.replace('%', 'NAME')}`" in generated(REFERENCE, "targets")


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_target_that_a_page_names_exists(page: Path) -> None:
    known = targets() | {f"scenario-{name}" for name in (*CASES, "NAME")} | {"infra-"}
    text = text_of(page)
    known |= {f"scenario-{name}" for name in re.findall(r'^    name="(.+)",', text, re.M)}
    named = {
        name for line in code(text) for name in re.findall(r"\bmake ([a-z][a-z-]*(?:NAME)?)", line)
    }
    assert named <= known, named - known


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_name_in_capitals_exists(page: Path) -> None:
    """Variables that a page tells of: somewhere the product, or what it runs on, knows them."""
    of_others = {"GITHUB_TOKEN"}
    text = text_of(page)
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", text))
    named |= {
        name
        for _, body in blocks(text)
        for name in re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)=", body)
    }
    assert not {name for name in named - of_others if name not in SOURCE}


@pytest.mark.parametrize("page", USER_PAGES, ids=label)
def test_every_flag_that_a_page_names_exists(page: Path) -> None:
    of_others = {"-chdir", "--endpoint-url"}  # of Terraform and of the aws CLI
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", text_of(page))) - of_others
    known = {f"--{flag.name}" for flag in (*FLAGS, *REDRIVE_FLAGS)}
    assert not {flag for flag in named - known if f'"{flag}"' not in SOURCE}


def test_every_crash_point_is_in_the_reference() -> None:
    table = generated(REFERENCE, "consumer-variables")
    assert not [point for point in (*CRASH_POINTS, *CALL_POINTS) if point not in table]


def test_every_script_is_in_the_reference() -> None:
    scripts = [
        path for path in tracked("scripts/*.sh", "scripts/*.py") if path.parent.name == "scripts"
    ]
    listed = section(text_of(REFERENCE), "## Scripts")
    assert not [path.name for path in scripts if f"`scripts/{path.name}`" not in listed]


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    folders = "consumer|producer|scenarios|scripts|terraform|tests|plans|docs"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]*)`", text_of(page)))
    made_by_users = {"consumer/.venv", "producer/.venv"}
    assert not [name for name in named - made_by_users if not (ROOT / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text_of(page))):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        file = page if not path else page.parent / path
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(text_of(file)), f"{page.name}: {target}"


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    readme = text_of("README.md")
    assert len(readme.split()) <= 1500
    assert len(readme.splitlines()) <= 200
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", readme))
    assert linked == {page.name for page in DOCS.glob("*.md")}
    assert len(text_of("CONTRIBUTING.md").splitlines()) <= 100


def test_every_page_that_the_code_names_exists() -> None:
    files = tracked("*.py", "*.tf", "*.sh", "Makefile")
    named = {
        (path.name, name)
        for path in files
        for name in re.findall(r"\b(?:plans|docs)/[\w-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert not {(file, name) for file, name in named if not (ROOT / name).exists()}


def quirks() -> list[int]:
    part = section(text_of("docs/concepts.md"), "## AWS quirks")
    return [int(number) for number in re.findall(r"^(\d+)\. \*\*", part, re.M)]


def test_quirks_are_numbered_without_a_gap() -> None:
    assert quirks() == list(range(1, len(quirks()) + 1))
    assert quirks()


def test_every_quirk_that_is_pointed_at_exists() -> None:
    known = set(quirks())
    files = tracked("*.py", "*.tf", "*.sh", "*.md", "consumer/Dockerfile")
    pointed = {
        (path.name, int(number))
        for path in files
        for numbers in re.findall(r"\bquirks? (\d+(?:(?:, | and )\d+)*)", path.read_text("utf-8"))
        for number in re.findall(r"\d+", numbers)
    }
    assert len(pointed) > 10, "nothing points at a quirk any more"
    assert not {(name, number) for name, number in pointed if number not in known}


# Put together here, so that this file does not hold what it looks for.
FOREIGN = re.compile(
    "|".join(
        [
            *(rf"(?<![\w.$}}~-])/{name}/" for name in ("work", "root", "home", "farm", "Users")),
            *(rf"(?<![\w.$}}~-])/{name}/[a-z]+/(simple|mirror|wheel)" for name in ("opt", "srv")),
            *(rf"{name}\.org" for name in ("pypi", "pythonhosted", "debian")),
            *(rf"{name}js\.(org|com)" for name in ("npm", "yarn")),
            *(f"{name}-url" for name in ("index", "extra-index")),
        ]
    )
)


def test_no_file_names_a_path_of_one_machine_or_a_package_registry() -> None:
    found = []
    for path in tracked():
        if path.suffix in {".png", ".webp", ".ico", ".woff2", ".gz"} or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if FOREIGN.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found


def test_the_search_for_foreign_paths_can_find_one() -> None:
    for text in ("cd /ro" + "ot/x", "https://py" + "pi.org/simple", "= '/ho" + "me/me/x'"):
        assert FOREIGN.search(text), text


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_no_sentence_is_left_open(page: Path) -> None:
    assert not re.findall(r"\b(?:TO" + r"DO|FIX" + r"ME|T" + r"BD)\b", text_of(page))


def test_every_page_of_plans_is_in_their_list() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", text_of("plans/README.md")))
    assert listed == {path.name for path in (ROOT / "plans").glob("*.md")} - {"README.md"}
