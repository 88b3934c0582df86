"""Writes a run's index.html: one file, no network, only the scripts that it was written with."""

from __future__ import annotations

import base64
import hashlib
import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from plotly.offline import get_plotlyjs

from report.costs import Cost, cost
from report.embed import as_text, drawn
from report.saved import Saved, saved_run
from report.section import SIGNS, Markup, badge, joined, row, section, tag

ASSETS = Path(__file__).with_name("assets")
SCRIPTS = ("base.js", "lanes.js", "groups.js", "timeline.js", "story.js", "charts.js", "main.js")
PAGE = "index.html"


def write_page(run: Path) -> Path:
    """Write the page of a saved run beside its evidence; ValueError where there is none."""
    text = page(run.name, saved_run(run))
    draft = run / f".{PAGE}.tmp"
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    return draft.replace(run / PAGE)


def page(name: str, scenarios: Sequence[Saved]) -> str:
    """The whole document."""
    costs = {one.label: cost(one.history) if one.history else None for one in scenarios}
    data = {one.label: drawn(one.history, costs[one.label]) for one in scenarios if one.history}
    ours = "\n".join((ASSETS / script).read_text(encoding="utf-8") for script in SCRIPTS)
    scripts = [get_plotlyjs().replace("\r", ""), ours]
    return "".join(
        [
            "<!doctype html>\n",
            f'<html lang="en"><head>{_head(name, scripts)}</head><body>',
            _body(name, scenarios, costs),
            f'<script type="application/json" id="data">{as_text(data)}</script>\n',
            *(f"<script>{script}</script>\n" for script in scripts),
            "</body></html>\n",
        ]
    )


def _head(name: str, scripts: Sequence[str]) -> Markup:
    """The policy allows no connection, and no script but these: text that got in stays text."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    return joined(
        [
            Markup('<meta charset="utf-8">'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">'),
            Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Markup('<meta name="color-scheme" content="light dark">'),
            Markup('<link rel="icon" href="data:,">'),
            tag("title", f"{name}: SQS workbench"),
            Markup(f"<style>{style}</style>"),
        ]
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _body(name: str, scenarios: Sequence[Saved], costs: dict[str, Cost | None]) -> Markup:
    where = next((one.talks_to for one in scenarios if one.talks_to), "")
    began = min((one.began for one in scenarios if one.began), default="")
    return joined(
        [
            tag(
                "header",
                tag("h1", _headline(scenarios)),
                tag("p", f"Run {name}, begun {began}, talking to {where}."),
                _contents(scenarios),
                tag("noscript", "The charts need JavaScript; verdicts and findings do not."),
            ),
            tag("main", *(section(one, costs[one.label]) for one in scenarios)),
        ]
    )


def _headline(scenarios: Sequence[Saved]) -> Markup:
    """The worst first; "PASS" alone only where all passed."""
    counts = Counter(one.verdict for one in scenarios)
    order = [*SIGNS, *(verdict for verdict in counts if verdict not in SIGNS)]
    worst_first = [v for v in (*order[1:], order[0]) if counts[v]]
    words = [f"{SIGNS.get(v, '…')} {counts[v]} of {len(scenarios)} {v}" for v in worst_first]
    return Markup(", ".join(tag("span", text) for text in words))


def _contents(scenarios: Sequence[Saved]) -> Markup:
    rows = [
        row(
            "td",
            badge(one.verdict),
            tag("a", one.label, href=f"#{one.label}"),
            "" if one.seconds is None else f"{one.seconds:.1f} s",
            one.proves or one.error,
        )
        for one in scenarios
    ]
    head = row("th", "verdict", "scenario", "took", "proves")
    return tag("table", tag("thead", head), tag("tbody", *rows), class_="contents")
