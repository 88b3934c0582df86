"""The documents tell all there is: settings, flags, targets, scenarios, exit codes, quirks."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import doctor
import readme
import run
from local_stack.blueprint import read_blueprint
from redriving.exits import Exit as RedriveExit
from redriving.flags import FLAGS as REDRIVE_FLAGS
from sender.exits import Exit as ProducerExit
from sender.flags import FLAGS
from support.children import ROOT
from worker.exits import Exit as ConsumerExit
from worker.variables import CALL_POINTS, CRASH_POINTS, VARIABLES

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ENV_EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "plans").glob("*.md")])
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
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


def rows_of(table: str) -> str:
    found = re.search(rf"begin: {table}\b.*?end: {table}\b", README, re.S)
    assert found, f"README.md has no table {table}"
    return found[0]


def test_tables_are_what_the_code_says() -> None:
    command = [sys.executable, "scripts/readme.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_table_that_is_missing_or_old_is_seen() -> None:
    old = "<!-- begin: t -->\nold\n<!-- end: t -->\n"
    assert readme.rewritten(old, {"t": lambda: ["new"]}) == old.replace("old", "new")
    for text in ("", old + old, old.replace("end: t", "")):
        with pytest.raises(ValueError, match="no single place"):
            readme.rewritten(text, {"t": lambda: ["new"]})


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_a_variable_is_in_the_readme_and_in_env_example(variable: object) -> None:
    name = variable.name  # type: ignore[attr-defined]
    assert f"| `{name}` |" in rows_of("consumer-variables")
    in_file = re.search(rf"^#?{name}=", ENV_EXAMPLE, re.M)
    assert bool(in_file) == (name != "ENV_FILE"), f"{name} in .env.example"


def test_env_example_sets_nothing_but_what_terraform_writes() -> None:
    on = re.findall(r"^([A-Z_]+)=", ENV_EXAMPLE, re.M)
    assert on == [
        *("QUEUE_URL", "DLQ_ARN", "AWS_REGION"),
        *("MESSAGE_STATUS_TABLE", "MESSAGE_COMPLETED_TABLE"),
    ]


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_a_flag_is_in_the_readme(flag: object) -> None:
    assert f"| `--{flag.name}` |" in rows_of("producer-flags")  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CASES)
def test_a_scenario_is_in_the_readme_and_its_set_in_terraform(name: str) -> None:
    assert f"| `{name}`" in rows_of("scenarios")
    assert re.search(rf"^- `{name}`", README, re.M), f"what to look for in the picture of {name}"
    assert CASES[name].runs_on in {one.name for one in read_blueprint().sets}


def test_every_exit_code_is_in_the_readme() -> None:
    table = rows_of("exit-codes")
    for door, codes in (
        ("consume.py", ConsumerExit),
        ("produce.py", ProducerExit),
        ("redrive.py", RedriveExit),
        ("run.py", run.Exit),
        ("doctor.py", doctor.Exit),
    ):
        told = set(re.findall(rf"^\| `{door}` \| (\d+) \| \S", table, re.M))
        assert told == {str(int(code)) for code in codes}, door


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*%?):(?!=)", MAKEFILE, re.M))


def test_every_target_is_helped_phony_and_in_the_readme() -> None:
    helped = set(re.findall(r"^([a-z%-]+):.*## \S", MAKEFILE, re.M))
    assert targets() == helped, "a target without ## is a secret"
    phony = set(" ".join(re.findall(r"^\.PHONY: (.+)", MAKEFILE, re.M)).split())
    assert helped - {"scenario-%"} == phony
    for name in helped:
        assert f"`make {name.replace('%', 'NAME')}`" in rows_of("targets")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_that_a_page_names_exists(page: Path) -> None:
    known = targets() | {f"scenario-{name}" for name in (*CASES, "NAME")}
    text = page.read_text(encoding="utf-8")
    known |= {f"scenario-{name}" for name in re.findall(r'^    name="(.+)",', text, re.M)}
    code = re.findall(r"`([^`\n]+)`", text) + [line for _, line in commands(text)]
    named = {name for line in code for name in re.findall(r"\bmake ([a-z][a-z-]*(?:NAME)?)", line)}
    assert named <= known, named - known


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Language and line of everything in a fenced block."""
    for language, body in re.findall(r"^```(.*?)\n(.*?)^```", text, re.M | re.S):
        for line in body.splitlines():
            yield language, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_in_capitals_exists(page: Path) -> None:
    """Variables that a page tells of: somewhere the product, or what it runs on, knows them."""
    of_others = {"GITHUB_TOKEN"}
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", text))
    named |= {
        name
        for _, line in commands(text)
        for name in re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)=", line)
    }
    unknown = {name for name in named - of_others if name not in SOURCE}
    assert not unknown


def test_every_flag_that_the_readme_names_exists() -> None:
    of_others = {"-chdir", "--endpoint-url"}  # of Terraform and of the aws CLI
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", README)) - of_others
    known = {f"--{flag.name}" for flag in (*FLAGS, *REDRIVE_FLAGS)}
    assert not {flag for flag in named - known if f'"{flag}"' not in SOURCE}


def test_every_crash_point_is_told() -> None:
    table = rows_of("consumer-variables")
    assert not [point for point in (*CRASH_POINTS, *CALL_POINTS) if point not in table]


def test_every_script_is_in_the_readme() -> None:
    scripts = [
        path for path in tracked("scripts/*.sh", "scripts/*.py") if path.parent.name == "scripts"
    ]
    assert not [path.name for path in scripts if f"`scripts/{path.name}`" not in README]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folders = "consumer|producer|scenarios|scripts|terraform|tests|plans|docs"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]*)`", text))
    made_by_users = {"consumer/.venv", "producer/.venv"}
    missing = [name for name in named - made_by_users if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        file = page if not path else page.parent / path
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.+)", file.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{page.name}: {target}"


def test_every_page_that_the_code_names_exists() -> None:
    files = tracked("*.py", "*.tf", "*.sh", "Makefile")
    named = {
        (path.name, name)
        for path in files
        for name in re.findall(r"\b(?:plans|docs)/[\w-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert not {(file, name) for file, name in named if not (ROOT / name).exists()}


def quirks() -> list[int]:
    section = README.split("\n## AWS quirks\n")[1].split("\n## ")[0]
    return [int(number) for number in re.findall(r"^(\d+)\. \*\*", section, re.M)]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_sentence_is_left_open(page: Path) -> None:
    assert not re.findall(r"\b(?:TO" + r"DO|FIX" + r"ME|T" + r"BD)\b", page.read_text("utf-8"))


def test_every_page_of_plans_is_in_their_list() -> None:
    listed = set(
        re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "plans" / "README.md").read_text("utf-8"))
    )
    assert listed == {path.name for path in (ROOT / "plans").glob("*.md")} - {"README.md"}


def test_contributing_names_the_two_commands() -> None:
    assert "make test" in CONTRIBUTING
    assert "make check" in CONTRIBUTING


def test_the_two_commands_come_first() -> None:
    first = next(body for _, body in re.findall(r"^```(sh)\n(.*?)^```", README, re.M | re.S))
    assert first == "make demo\nmake test\n"
