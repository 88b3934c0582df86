"""The page as text: one file, safe whatever it holds, and whole whatever is missing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.publish import publish
from report import costs
from report.costs import EMPTY, REFERENCE, cost
from report.embed import as_text, drawn
from report.saved import saved_run
from report.section import safe, tag
from report.write import page, write_page
from sqs_worker import events as meter
from support.saved_runs import crash, finding, flood, poison

HOSTILE = "</script><script>alert(1)</script><!--"


@pytest.fixture(autouse=True)
def small_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five megabytes are read and digested in one test; the others do without."""
    monkeypatch.setattr("report.write.get_plotlyjs", lambda: "/* the library */")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return poison(("dead-1", HOSTILE)).save(crash().save(tmp_path / "made-up"))


def html(run: Path) -> str:
    return write_page(run).read_text(encoding="utf-8")


def embedded(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found
    return json.loads(found[1])


def test_it_holds_each_scenario_with_verdict_sentence_and_findings(run: Path) -> None:
    text = html(run)
    for part in (
        '<section id="crash"',
        '<section id="poison"',
        "✓ PASS",
        "a consumer that dies causes one redelivery",
        "conservation",
        "2 of 2 PASS",
        "<b>2</b> deliveries<",
        "consumer-1 says goodbye",
        "a made-up queue",
    ):
        assert part in text


def test_one_is_not_many(run: Path) -> None:
    verdict = run / "crash" / "verdict.json"
    told = json.loads(verdict.read_text())
    told["measures"]["crashes"] = 1
    verdict.write_text(json.dumps(told))
    text = html(run)
    assert "<b>1</b> crash<" in text
    assert "<b>0</b> crashes<" in text


def test_what_failed_says_where_to_look_and_proves_nothing(tmp_path: Path) -> None:
    made = crash()
    made.findings = [finding("one effect", "FAIL"), {**finding("x", "PASS"), "shows": "a | <b>"}]
    text = html(made.save(tmp_path / "run", "FAIL"))
    assert "Not proved: a consumer" in text
    assert "<dd>grep x consumer-1.jsonl</dd>" in text
    assert text.index("<pre>a | &lt;b&gt;</pre>") < text.index("<h3>Timeline"), "in the open"
    assert "1 of 2 checks passed" in text
    assert "1 of 1 FAIL" in text


def test_hostile_text_ends_no_script(run: Path) -> None:
    text = html(run)
    assert HOSTILE not in text
    assert "alert(1)</script>" not in text
    assert HOSTILE in [row[0] for row in embedded(text)["poison"]["messages"]]
    assert text.count("<script") == text.count("</script>") == 3  # data, library, ours


def test_the_policy_names_the_scripts_that_are_there_and_no_other(run: Path) -> None:
    text = html(run)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    allowed = set(re.findall(r"sha256-([^&]*)&#x27;", policy[1]))
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert len(scripts) == 2
    digests = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts}
    assert digests == allowed
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert "unsafe-inline" not in policy[1].split("style-src")[0]


def test_the_library_is_in_the_page_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real one
    text = html(crash().save(tmp_path / "run"))
    assert text.count("* plotly.js v") == 1
    assert 4_000_000 < len(text) < 6_000_000


def test_it_asks_for_nothing_from_elsewhere(run: Path) -> None:
    text = html(run)
    assert not re.findall(r'(?:src|href)="(?!#|data:,)[^"]*"', text)
    assert "@import" not in text
    assert "url(" not in text


def test_a_setup_error_is_shown_and_needs_no_evidence(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "crash"
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_text('{"error": "no queue <x>"}')
    text = html(tmp_path / "run")
    assert "! SETUP" in text
    assert "no queue &lt;x&gt;" in text


@pytest.mark.parametrize(
    "lost",
    [
        "verdict.json",
        "tables.json",
        "dlq.json",
        "children.json",
        "problems.json",
        "producer.jsonl",
        "consumer-1.jsonl",
        "samples.jsonl",
    ],
)
def test_whatever_is_missing_there_is_a_page(run: Path, lost: str) -> None:
    (run / "crash" / lost).unlink()
    assert '<section id="crash"' in html(run)


@pytest.mark.parametrize("torn", ["scenario.json", "tables.json", "consumer-1.jsonl"])
def test_whatever_is_torn_there_is_a_page(run: Path, torn: str) -> None:
    path = run / "crash" / torn
    path.write_bytes(path.read_bytes()[:-20])
    assert '<section id="crash"' in html(run)


def test_an_interrupted_run_says_so(run: Path) -> None:
    (run / "crash" / "problems.json").write_text('["interrupted"]')
    assert "Interrupted: what did not happen proves nothing." in html(run)


def test_no_run_no_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no saved scenario"):
        write_page(tmp_path)


def test_a_page_that_fails_costs_a_line(run: Path) -> None:
    said: list[str] = []
    publish(run, said.append)
    assert "the page of this run:" in said[0]
    shutil.rmtree(run / "crash")
    shutil.rmtree(run / "poison")
    publish(run, said.append)
    assert said[1].startswith("no page was written: ValueError")
    assert "the verdicts stand" in said[1]


def test_only_the_owner_may_read_it(run: Path) -> None:
    assert write_page(run).stat().st_mode & 0o077 == 0
    assert write_page(run).stat().st_mode & 0o077 == 0


def test_five_thousand_messages_stay_small(tmp_path: Path) -> None:
    (saved,) = saved_run(flood(5000).save(tmp_path / "run"))
    assert saved.history
    data = drawn(saved.history, None)
    assert data["sent"] == len(data["messages"]) == 5000
    assert len(as_text(data)) < 1_000_000


def test_a_crowd_is_cut_to_the_most_telling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("embed", "section"):
        monkeypatch.setattr(f"report.{module}.MOST_MESSAGES", 10)
    scenarios = saved_run(flood(200).save(tmp_path / "run"))
    text = page("run", scenarios)
    assert "The 10 most telling of 200 are here" in text
    assert len(embedded(text)["flood"]["messages"]) == 10


def test_consumers_come_and_go(run: Path) -> None:
    (saved, _) = saved_run(run)
    assert saved.history
    steps = [running for _, running in drawn(saved.history, None)["alive"]]
    assert steps == [0, 1, 0, 1, 0]


def test_consumer_two_comes_before_consumer_ten(tmp_path: Path) -> None:
    (saved,) = saved_run(flood(30, consumers=12).save(tmp_path / "run"))
    assert saved.history
    assert drawn(saved.history, None)["consumers"] == [f"consumer-{n}" for n in range(1, 13)]


def test_json_that_no_parser_takes_for_markup() -> None:
    text = as_text({"a": "<&>\u2028"})
    assert not set("<&>\u2028") & set(text)
    assert json.loads(text) == {"a": "<&>\u2028"}


def test_markup_escapes_children_and_attributes() -> None:
    assert tag("a", "<", title='"') == '<a title="&quot;">&lt;</a>'
    assert tag("p", tag("b", "x"), class_="y", hidden=True, for_="") == (
        '<p class="y" hidden><b>x</b></p>'
    )
    assert safe(safe("&")) == "&amp;"


def summary(name: str, calls: dict[str, int], empty: int = 0) -> tuple[str, None, float, Any]:
    figures = {"calls": calls, "empty_receives": empty, "write_units": 6, "read_units": 4}
    return (name, None, 2.0, figures)


def test_cost_is_per_message_sent_and_empty_polls_are_apart(tell: Any) -> None:
    told = summary("summary", {"sqs.ReceiveMessage": 5, "dynamodb.UpdateItem": 4}, empty=3)
    history = tell.told(*tell.done("a"), told, producer=tell.producer(["a", "b"]))
    found = cost(history)
    assert found
    assert found.calls == {"sqs.ReceiveMessage": 1.0, EMPTY: 1.5, "dynamodb.UpdateItem": 2.0}
    assert (found.write_units, found.read_units, found.untold) == (3.0, 2.0, ())
    assert found.usd == pytest.approx(2.5 * 0.40 + 3 * 0.625 + 2 * 0.125)


def test_who_died_is_named_and_nobody_left_means_no_cost(tell: Any) -> None:
    told = summary("summary", {"sqs.ReceiveMessage": 1})
    alive = tell.journal("consumer-2", told)
    dead = tell.journal("consumer-1", *tell.done("a")[:2])
    found = cost(tell.good(consumers=(dead, alive)))
    assert found
    assert found.untold == ("consumer-1",)
    assert cost(tell.good(consumers=(dead,))) is None


def test_the_reference_is_five_calls_and_three_write_units() -> None:
    assert (REFERENCE.total, REFERENCE.write_units) == (5.0, 3.0)
    assert REFERENCE.usd == pytest.approx(2 * 0.40 + 3 * 0.625)


def test_the_prices_are_those_of_the_consumer() -> None:
    for price in ("SQS_REQUESTS", "WRITE_UNITS", "READ_UNITS"):
        assert getattr(costs, price) == getattr(meter, price)
