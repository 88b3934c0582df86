"""Any environment and any `.env`: a start, or a line for each problem; never a stack trace."""

# ruff: noqa: SIM905 - a list literal of these would take a screen

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sqs_worker import envfile
from sqs_worker.settings import BadSettings, Settings, read
from sqs_worker.variables import VARIABLES
from support.waiting import wait_for

T = TypeVar("T")
URL = "https://sqs.us-west-1.amazonaws.com/123456789012/queue"
QUICKLY = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

ODD = st.sampled_from(
    """ |0|1|-1|+1|1e3|1e999|nan|-inf|0x10|1_0|１|٣|yes|true|1.0|1,5|10s|{x}|%s|'|"|""".split("|")
) | st.sampled_from(["9" * 400, "\t5\n", "\x1b[31m", "a\nb"])
# Neither NUL nor a lone surrogate can stand in an environment; undecodable bytes can (\udc80 on).
TEXT = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.just("\udcff"),
    max_size=40,
)
VALUE = ODD | TEXT | st.integers().map(str) | st.floats().map(str)


def _tried(call: Callable[[], T]) -> tuple[T | None, list[str]]:
    """What it gives, or its problems, each of them one printable line; no other exception."""
    try:
        return call(), []
    except BadSettings as error:
        problems = error.problems
    assert problems
    assert all(problem.isprintable() for problem in problems)
    return None, problems


def _likely(variable) -> st.SearchStrategy[str]:
    """Values that are mostly allowed, so that the rules across settings come into play."""
    if variable.choices:
        return st.sampled_from(variable.choices)
    if variable.kind in {"integer", "number"}:
        low, high = int(variable.low or 0), int(variable.high or 50)
        return st.integers(low - 1, high + 1).map(str)
    if variable.kind == "flag":
        return st.sampled_from(["0", "1"])
    return st.sampled_from([URL, "http://127.0.0.1:1/x", "table-a", "table-b", ""])


ANY = {v.name: _likely(v) | VALUE for v in VARIABLES}
LIKELY = {v.name: _likely(v) for v in VARIABLES}


def _of(values: dict[str, st.SearchStrategy[str]], most: int) -> st.SearchStrategy[dict[str, str]]:
    """An environment with the queue and a few more variables: with all of them none would pass."""
    names = st.lists(st.sampled_from(sorted(values)), max_size=most, unique=True)
    chosen = names.flatmap(lambda some: st.fixed_dictionaries({n: values[n] for n in some}))
    return chosen.map(lambda environ: {"QUEUE_URL": URL, **environ})


ENVIRONMENT = _of(ANY, 6)


@settings(QUICKLY, max_examples=2000)
@given(environ=ENVIRONMENT)
@example(environ={})
@example(environ={"QUEUE_URL": URL, "MAX_MESSAGES": "１0"})
def test_an_environment_gives_settings_or_a_line_for_each_problem(environ) -> None:
    chosen, problems = _tried(lambda: read(environ))
    assert (chosen is None) == bool(problems)
    assert all(any(v.name in problem for v in VARIABLES) for problem in problems)
    if chosen is None:
        return
    assert isinstance(chosen, Settings)
    for variable in VARIABLES:
        value = getattr(chosen, variable.name.lower())
        if variable.kind in {"integer", "number"} and value is not None:
            assert math.isfinite(value)
            assert variable.low is None or value >= variable.low
            assert variable.high is None or value <= variable.high


LINE = st.one_of(
    st.tuples(st.sampled_from([v.name for v in VARIABLES]) | TEXT, VALUE).map("=".join),
    st.sampled_from(
        "# a comment|export A=1|A='it''s'|B=\"two\nlines\"|C=`touch pwned`|D=${HOME}|F='open"
        "|E=$(touch pwned)|G=\"\\x|=H|'a=b'=1|''=1|\ufeffQUEUE_URL=x|I=a # b|J=ü✓|K|  L = 1 |M=\0"
        "|N\0=1|\0|JOURNAL_PATH=a\0b".split("|")
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)


@settings(QUICKLY, max_examples=600)
@given(lines=st.lists(LINE, max_size=6), end=st.sampled_from(["\n", "\r\n", "\r"]))
@example(lines=["M=\0"], end="\n")
@example(lines=["'a=b'=1"], end="\n")
@example(lines=["''=1"], end="\n")
@example(lines=["'QUEUE_URL\n'=1"], end="\n")
def test_an_env_file_gives_an_environment_or_a_line_for_each_problem(tmp_path, lines, end) -> None:
    """What it gives can be put into the process's environment, where the SDK looks for it."""
    path = tmp_path / ".env"
    path.write_bytes(end.join(lines).encode())
    found, _ = _tried(lambda: envfile.merged({"ENV_FILE": str(path)})[0])
    if found is None:
        return
    before = dict(os.environ)
    try:
        os.environ.update(found)
    finally:
        os.environ.clear()
        os.environ.update(before)
    _tried(lambda: read(found))


def test_a_byte_order_mark_is_not_part_of_a_name(tmp_path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(f"\ufeffQUEUE_URL={URL}\r\n".encode())
    assert envfile.merged({"ENV_FILE": str(path)})[0]["QUEUE_URL"] == URL


@settings(QUICKLY, max_examples=200)
@given(data=st.binary(max_size=200))
def test_any_bytes_as_an_env_file(tmp_path, data) -> None:
    path = tmp_path / ".env"
    path.write_bytes(data)
    _tried(lambda: envfile.merged({"ENV_FILE": str(path)}))


def _sample(size: int) -> list[dict[str, str]]:
    """Environments, the same on every run; one half has mostly good values."""
    found: list[dict[str, str]] = []

    @settings(QUICKLY, max_examples=size, derandomize=True, database=None)
    @given(environ=_of(LIKELY, 3) | ENVIRONMENT)
    def collect(environ) -> None:
        found.append(environ)

    collect()
    return found[:size]


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(300)
def test_a_process_starts_or_exits_with_a_message(start_consumer, queue_set, tmp_path) -> None:
    made = queue_set()
    ends: dict[int | None, int] = {}
    for number, environ in enumerate(_sample(60)):
        journal = tmp_path / f"journal-{number}"
        real = {name: made.env[name] for name in made.env if name.startswith("AWS_")}
        queue = {"QUEUE_URL": made.queue_url} if environ["QUEUE_URL"] == URL else {}
        own = {"JOURNAL_PATH": str(journal), "ENV_FILE": ""}
        child = start_consumer({**environ, **real, **queue, **own})
        wait_for(lambda c=child, j=journal: not c.running() or _started(j), 30, "a start or an end")
        ended = child.kill() if child.running() else child.wait()
        code = None if _started(journal) else ended.code
        ends[code] = ends.get(code, 0) + 1
        assert code in {None, 2, 3}, (environ, ended.output)
        assert "Traceback" not in ended.output, (environ, ended.output)
        assert code is None or ended.stderr.strip(), environ
    assert min(ends.get(None, 0), ends.get(2, 0)) > 5, ends


def _started(journal: Path) -> bool:
    return journal.exists() and '"start"' in journal.read_text()
