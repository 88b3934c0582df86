"""The section of one scenario in the page: verdict, figures, places for the charts, findings.

Every text in it is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from harness.history import Child
from report.costs import REFERENCE, Cost
from report.embed import MOST_MESSAGES
from report.saved import Saved


class Markup(str):
    """HTML that is safe to put into a page as it stands."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | bool) -> Markup:
    """An element; children that are not Markup are escaped, as are attributes.

    `class_` and `for_` lose their underscore, other underscores become dashes. True is an
    attribute without a value, False and "" leave it out.
    """
    parts = [name]
    for key, value in attributes.items():
        written = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(written)
        elif value:
            parts.append(f'{written}="{html.escape(str(value))}"')
    inside = "".join(safe(child) for child in children)
    return Markup(f"<{' '.join(parts)}>{inside}</{name}>")


def safe(text: str) -> Markup:
    return text if isinstance(text, Markup) else Markup(html.escape(text))


def joined(pieces: Iterable[str]) -> Markup:
    return Markup("".join(safe(piece) for piece in pieces))


def row(cell: str, *texts: str, **attributes: str | bool) -> Markup:
    """A table row of `th` or `td` cells."""
    return tag("tr", *(tag(cell, text) for text in texts), **attributes)


# A sign and a word for each verdict, so that no colour is needed.
SIGNS = {"PASS": "✓", "FAIL": "✗", "UNKNOWN": "?", "SETUP": "!", "NOT JUDGED": "…"}
PARTS = (("expected", "expected"), ("seen", "seen"), ("look_at", "look at"))
ONE = {"deliveries": "delivery", "crashes": "crash", "consumers": "consumer"}
FIGURES = (
    ("sent", "sent"),
    ("completed", "completed"),
    ("in_dlq", "in the DLQ"),
    ("deliveries", "deliveries"),
    ("crashes", "crashes"),
    ("consumers", "consumers"),
    ("peak_backlog", "peak backlog"),
    ("peak_consumers", "consumers at most"),
    ("oldest_wait_seconds", "s longest wait"),
    ("seconds_to_equilibrium", "s to equilibrium"),
)


def badge(verdict: str) -> Markup:
    kind = "verdict-" + verdict.lower().replace(" ", "-")
    return tag("span", f"{SIGNS.get(verdict, '…')} {verdict}", class_=f"verdict {kind}")


def section(saved: Saved, cost: Cost | None) -> Markup:
    """Everything about one scenario; the script fills the elements with `data-chart`."""
    name = saved.label
    proved = saved.proves if saved.verdict == "PASS" else f"Not proved: {saved.proves}"
    return tag(
        "section",
        tag("h2", badge(saved.verdict), " ", tag("a", name, href=f"#{name}")),
        tag("p", proved, class_="proves") if saved.proves else "",
        tag("p", saved.error, class_="error") if saved.error else "",
        tag("p", "Interrupted: what did not happen proves nothing.", class_="error")
        if saved.interrupted
        else "",
        _figures(saved),
        _shown(saved),
        _wrong(saved),
        _charts(saved) if saved.history else "",
        _cost(cost) if saved.history else "",
        _findings(saved),
        _processes(saved),
        id=name,
        data_scenario=name,
    )


def _figures(saved: Saved) -> Markup:
    shown = [
        (saved.measures[key], ONE.get(words, words) if saved.measures[key] == 1 else words)
        for key, words in FIGURES
        if saved.measures.get(key) is not None
    ]
    if saved.seconds:
        shown.append((f"{saved.seconds:.1f}", "s in all"))
    return tag(
        "ul",
        *(tag("li", tag("b", str(value)), f" {words}") for value, words in shown),
        class_="figures",
    )


def _wrong(saved: Saved) -> Markup:
    """What did not pass, in the open."""
    return joined(
        tag(
            "div",
            tag("p", badge(finding["verdict"]), " ", tag("b", finding["check"])),
            tag(
                "dl",
                *(joined([tag("dt", word), tag("dd", finding[key])]) for key, word in PARTS),
            ),
            class_="wrong",
        )
        for finding in saved.findings
        if finding["verdict"] != "PASS"
    )


def _shown(saved: Saved) -> Markup:
    """The tables that some findings carry, whatever their verdict."""
    return joined(tag("pre", found["shows"]) for found in saved.findings if found.get("shows"))


def _charts(saved: Saved) -> Markup:
    aria = f"Timeline of {saved.label}: arrow keys choose a message, whose story is told below"
    return tag(
        "div",
        tag("h3", "Timeline"),
        tag("p", _how_to_read(saved), class_="how"),
        tag("div", data_chart="overview"),
        tag("form", class_="filters", hidden=True),
        tag("div", class_="legend"),
        tag("div", data_chart="timeline", tabindex="0", role="group", aria_label=aria),
        tag("div", class_="story", aria_live="polite"),
        tag("h3", "Queue and consumers over time"),
        tag("div", data_chart="depth"),
        tag("h3", "Calls and cost per message"),
        tag("div", data_chart="cost"),
        class_="charts",
    )


def _how_to_read(saved: Saved) -> str:
    told = (
        "A lane is a message, a row in it one delivery, coloured and numbered by consumer. "
        "Shaded: hidden from other consumers. Solid: work. Dotted: waiting in the queue. "
        "A ring is several marks too close to tell apart: the sign of the worst and their number, "
        "at the time of the first; hover over it for all of them, or drag to zoom in."
    )
    if saved.hidden_seconds is not None:
        told += f" Visibility timeout {saved.hidden_seconds} s."
    sent = len(saved.history.ids) if saved.history else 0
    if sent > MOST_MESSAGES:
        told += f" The {MOST_MESSAGES} most telling of {sent} are here; the journals hold all."
    return told


def _cost(cost: Cost | None) -> Markup:
    if cost is None:
        return tag("p", "No consumer lived to give its figures.", class_="how")
    rows = [
        ("API calls", cost.total, REFERENCE.total),
        ("write units", cost.write_units, REFERENCE.write_units),
        ("read units", cost.read_units, REFERENCE.read_units),
        ("$ per million messages", cost.usd, REFERENCE.usd),
    ]
    told = (
        "Per message sent. The reference is tests/benchmarks/reference_loop.py, which for each "
        "message receives one, puts STARTED, puts the gate, updates to COMPLETED and deletes one. "
        "It did not run beside this: a test runs it and counts these figures. "
        "Prices of us-east-1, assumed."
    )
    if cost.untold:
        died = ", ".join(cost.untold)
        told += f" Died before giving its figures, so these are too low: {died}."
    return tag(
        "div",
        tag(
            "table",
            tag("thead", row("th", "per message", "this run", "reference loop")),
            tag("tbody", *(row("td", n, f"{a:.2f}", f"{b:.2f}") for n, a, b in rows)),
            class_="cost",
        ),
        tag("p", told, class_="how"),
    )


def _findings(saved: Saved) -> Markup:
    passed = [finding for finding in saved.findings if finding["verdict"] == "PASS"]
    if not passed:
        return Markup("")
    head = row("th", "", "check", "expected", "seen")
    rows = [row("td", badge(f["verdict"]), f["check"], f["expected"], f["seen"]) for f in passed]
    return tag(
        "details",
        tag("summary", f"{len(passed)} of {len(saved.findings)} checks passed"),
        tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="wide"),
    )


def _processes(saved: Saved) -> Markup:
    children = (saved.history.children if saved.history else None) or ()
    if not children:
        return Markup("")
    return tag(
        "details",
        tag("summary", f"{len(children)} processes, with log tails"),
        *_logs(children),
    )


def _logs(children: Sequence[Child]) -> list[Markup]:
    return [
        tag(
            "div",
            tag("h4", f"{child.name}: {_ending(child)}"),
            tag("pre", "\n".join(child.tail)),
        )
        for child in children
    ]


def _ending(child: Child) -> str:
    if child.code is None:
        return "nobody saw it end"
    how = f"killed by signal {-child.code}" if child.code < 0 else f"exit code {child.code}"
    return how if child.code in child.allowed else f"{how}, not as declared"
