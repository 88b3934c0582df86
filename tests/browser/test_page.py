"""The page in a real browser: silent, offline, usable with mouse, keys, printer and any width."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator

from browser.conftest import Open, Opened
from harness.evidence import producer_name
from report.write import write_page
from support.saved_runs import GOOD, HIDDEN, START, Made, crash, flood, poison
from support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)><b>&amp;%{x}"
LINK = '<a href="javascript:alert(3)">click</a>'
RENDER_SECONDS = 3.0
ARM = "killed-by-sigkill"
NEAR = 2  # pixels
TOUCHING = 4  # pixels that the corners of two signs may share
PAPER = 690  # pixels of a chart in print: A4 and DeadLetter have a little more


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with a crash, poison and a flood, ids that bite among them."""
    folder = tmp_path_factory.mktemp("runs") / "made-up"
    crash().save(folder)
    poison(("dead-1", HOSTILE, LINK)).save(folder, "FAIL")
    flood(300).save(folder)
    return write_page(folder)


def texts(one: Opened) -> str:
    return one.page.inner_text("body")


def wide(one: Opened) -> tuple[int, int]:
    """Of the document and of the window: the first is larger where one must scroll sideways."""
    sizes = one.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return sizes[0], sizes[1]


def middle(part: Locator) -> tuple[float, float]:
    """Where the mouse must be; plotly puts a layer of its own over its points."""
    part.scroll_into_view_if_needed()
    box = part.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def widths(one: Opened) -> set[int]:
    """Of all drawings, in pixels."""
    drawings = "[...document.querySelectorAll('.main-svg')].map((svg) => svg.clientWidth)"
    return set(one.page.evaluate(drawings))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_it_is_silent_offline_and_fits(run: Path, opened: Open, width: int, scheme: str) -> None:
    one = opened(run, width, scheme)
    assert one.said == []
    assert one.asked == [run.as_uri()]
    assert wide(one) == (width, width)
    for scenario in ("crash", "poison", "flood"):
        assert one.page.locator(f"#{scenario} [data-chart=timeline] .bars .point").count() > 0
        assert one.page.locator(f"#{scenario} [data-chart=depth] .scatterlayer .trace").count() == 4
        assert one.page.locator(f"#{scenario} [data-chart=cost] .bars .point").count() > 0


def test_the_two_schemes_differ(run: Path, opened: Open) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    drawn = "document.querySelector('#crash [data-chart=timeline]').layout.paper_bgcolor"
    light, dark = opened(run), opened(run, scheme="dark")
    assert light.page.evaluate(paper) != dark.page.evaluate(paper)
    assert light.page.evaluate(drawn) != dark.page.evaluate(drawn)
    light.page.emulate_media(color_scheme="dark")
    light.all_drawn()
    wait_for(lambda: light.page.evaluate(drawn) == dark.page.evaluate(drawn))


@pytest.mark.parametrize("width", [400, 1000])
def test_no_label_of_a_lane_is_cut(tmp_path: Path, opened: Open, width: int) -> None:
    made = Made("arms")
    made.send("dddddddd-8888", 0.1)
    made.deliver("consumer-1", "dddddddd-8888", 1.0, *GOOD)
    folder = made.save(tmp_path / "run") / "arms"
    about = json.loads((folder / "scenario.json").read_text())
    (folder / "scenario.json").write_text(json.dumps({**about, "arms": [ARM]}))
    (folder / "producer.jsonl").rename(folder / f"{producer_name(ARM)}.jsonl")
    one = opened(write_page(folder.parent), width)
    labels = one.page.locator("#arms [data-chart=timeline] .ytick text")
    assert [str(told).split()[-1] for told in labels.all_text_contents()] == [ARM]
    edge = one.page.locator("#arms [data-chart=timeline]").bounding_box()
    assert edge
    for label in labels.all():
        box = label.bounding_box()
        assert box
        assert box["x"] >= edge["x"], label.text_content()


def test_a_window_that_is_made_narrow_has_narrow_charts(run: Path, opened: Open) -> None:
    one = opened(run, width=1200)
    before = widths(one)
    one.page.set_viewport_size({"width": 500, "height": 900})
    wait_for(lambda: max(widths(one)) < 500)
    assert min(before) > 1000
    assert wide(one) == (500, 500)


def words_of_marks(traces: list[dict[str, Any]]) -> Counter[str]:
    """Of all that a timeline marks, alone or in a cluster."""
    texts = [text for trace in traces if trace.get("meta") for text in trace["hovertext"]]
    return Counter(word for text in texts for word in re.findall(r"<b>([^<]+)</b> at ", text))


def test_a_reader_sees_the_redelivery(run: Path, opened: Open) -> None:
    one = opened(run)
    traces = one.chart("crash")
    marks = set(words_of_marks(traces))
    assert {"received", "consumer crashed", "visibility expired", "deleted"} <= marks
    assert {"claimed", "completed, effect made"} <= marks
    words = next(trace["text"] for trace in traces if trace.get("mode") == "text")
    assert words[0] == "1 consumer crashed after work"
    assert words[1].startswith("2 ↻ again after 2.200 s: completed")
    windows = next(trace for trace in traces if trace["type"] == "bar")
    assert windows["x"][0] == pytest.approx(2.0, abs=0.01)  # all of it: nobody deleted
    assert windows["x"][1] == pytest.approx(0.1, abs=0.01)  # until the delete
    assert len(set(windows["marker"]["color"])) == 2
    story = one.page.inner_text("#crash .story")
    assert "received: again, 2.200 s after the 1st" in story
    assert "consumer crashed: point after-work, code 86" in story


def beats() -> Made:
    """Work of 7 s that is extended each half second, ends late, and is done again meanwhile."""
    made = Made("heartbeat", "a heartbeat keeps long work to one delivery")
    for key, start in (("a-1", 1.0), ("b-2", 26.0)):
        made.send(key, start - 1)
        made.deliver("consumer-1", key, start, "claimed", "work_started")
        digest = {"delivery": made.journals["consumer-1"][-1]["delivery"]}
        for beat in range(1, 15):
            t = start + beat / 2
            until = {"visible_at": START + t + HIDDEN}
            made.write("consumer-1", t, "extended", key, **digest, **until)
        made.deliver("consumer-2", key, start + 9.1, *GOOD, count=2)
        for t, event in ((9.3, "completed"), (9.35, "delete_stale")):
            made.write("consumer-1", start + t, event, key, **digest, effect=False)
    return made


# Of each mark: the time that it carries, as a place in pixels, where it is, and its box.
PLACES = """(scenario) => {
  const place = document.querySelector(`#${scenario} [data-chart=timeline]`);
  const plot = place.querySelector(".nsewdrag").getBoundingClientRect();
  const [low, high] = place.layout.xaxis.range;
  const pixels = (t) => plot.left + ((t - low) / (high - low)) * plot.width;
  return [...place.querySelectorAll("[data-t], [data-t0]")].map((mark) => {
    const box = mark.getBoundingClientRect();
    const { t, t0 = t, t1 = t } = mark.dataset;
    const middle = box.left + box.width / 2;
    return { from: pixels(Number(t0)), to: pixels(Number(t1)), middle, single: t !== undefined,
      left: box.left, right: box.right, top: box.top, bottom: box.bottom };
  });
}"""
SHOWN = """(scenario) => STATES.find(({ section }) => section.id === scenario).shown
  .flatMap(({ deliveries }) => deliveries).flatMap(({ marks }) => marks)
  .filter(({ name }) => !markOf(name).silent).length"""
CLUSTERED = """(scenario) => [...document.querySelectorAll(`#${scenario} .textpoint`)]
  .map(({ textContent }) => Number(/^[^\\d]+(\\d+)$/.exec(textContent)?.[1] || 0))"""


def overlap(one: dict[str, float], other: dict[str, float]) -> float:
    """Pixels by which two boxes cover each other, in the direction in which it is less."""
    across = min(one["right"], other["right"]) - max(one["left"], other["left"])
    down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return min(across, down)


@pytest.mark.parametrize("width", [400, 1600])
def test_a_mark_stands_at_its_time(tmp_path: Path, opened: Open, width: int) -> None:
    folder = tmp_path / "run"
    made = [beats(), crash(), poison(("dead-1", "dead-2")), flood(60)]
    for one in made:
        one.save(folder)
    page = opened(write_page(folder), width).page
    for one in made:
        marks = page.evaluate(PLACES, one.name)
        for mark in marks:
            assert mark["from"] - NEAR <= mark["middle"] <= mark["to"] + NEAR, (one.name, mark)
        clustered = sum(page.evaluate(CLUSTERED, one.name))
        assert sum(mark["single"] for mark in marks) + clustered == page.evaluate(SHOWN, one.name)
        assert all(overlap(a, b) < TOUCHING for a, b in combinations(marks, 2)), one.name


def test_a_zoom_takes_a_cluster_apart(tmp_path: Path, opened: Open) -> None:
    one = opened(write_page(beats().save(tmp_path / "run")), 400)
    before = one.page.evaluate(PLACES, "heartbeat")
    assert not all(mark["single"] for mark in before)
    timeline = "document.querySelector('#heartbeat [data-chart=timeline]')"
    one.page.evaluate(f"Plotly.relayout({timeline}, {{'xaxis.range': [1, 2]}})")
    after = one.page.evaluate(PLACES, "heartbeat")
    assert len(after) > len(before)
    assert all(mark["single"] for mark in after)
    bad = [m for m in after if not m["from"] - NEAR <= m["middle"] <= m["to"] + NEAR]
    assert not bad


def test_a_cluster_tells_all_its_marks(tmp_path: Path, opened: Open) -> None:
    one = opened(write_page(beats().save(tmp_path / "run")), 400)
    place = one.page.locator("#heartbeat [data-chart=timeline]")
    one.page.mouse.move(*middle(place.locator("[data-t0]").first))
    label = place.locator(".hoverlayer .hovertext")
    label.first.wait_for()
    told = label.first.text_content() or ""
    assert re.search(r"received at 1\.000 s .*claimed at 1\.020 s .*extended at 1\.500 s", told), (
        told
    )
    one.page.mouse.click(*middle(place.locator("[data-t0]").last))
    assert "b-2" in one.page.inner_text("#heartbeat .story")


@pytest.mark.parametrize("scenario", ["crash", "poison", "flood"])
@pytest.mark.parametrize("width", [400, 1600])
def test_a_link_to_a_section_lands_there_at_once(
    run: Path, browser: Browser, scenario: str, width: int
) -> None:
    """Before any chart is drawn, and after all are."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script("window.requestAnimationFrame = () => 0")  # so that none is drawn
    top = f"document.getElementById('{scenario}').getBoundingClientRect().top"
    page.goto(f"{run.absolute().as_uri()}#{scenario}")
    assert page.get_attribute("body", "data-drawn") == "no"
    assert abs(page.evaluate(top)) < NEAR
    page.add_style_tag(content="html { overflow-anchor: none }")  # Safari has no scroll anchoring
    page.evaluate("drawNow()")
    assert abs(page.evaluate(top)) < NEAR
    page.click(f"header a[href='#{scenario}']")
    wait_for(lambda: abs(page.evaluate(top)) < NEAR)
    page.close()


def test_poison_is_received_twice_and_then_in_the_dlq(run: Path, opened: Open) -> None:
    one = opened(run)
    labels = one.page.evaluate(
        "document.querySelector('#poison [data-chart=timeline]').layout.yaxis.ticktext"
    )
    assert sum("DLQ" in label for label in labels) == 3
    marks = words_of_marks(one.chart("poison"))
    assert (marks["rejected"], marks["moved to the DLQ"]) == (6, 3)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (".barlayer .point path >> nth=0", r"hidden from 1\.000 s to 3\.000 s"),
        ("[data-t0] >> nth=0", r"claimed at 1\.020 s \(06:00:01\.020 UTC\)"),
        ("[data-t] >> nth=0", r"visibility expired at 3\.000 s \(06:00:03\.000 UTC\)"),
    ],
)
def test_hovering_tells_id_and_time(run: Path, opened: Open, part: str, said: str) -> None:
    one = opened(run)
    place = one.page.locator("#crash [data-chart=timeline]")
    one.page.mouse.move(*middle(place.locator(part)))
    label = place.locator(".hoverlayer .hovertext")
    label.first.wait_for()
    told = label.first.text_content() or ""
    assert "aaaa-1" in told
    assert "1st delivery" in told
    assert re.search(said, told), told


def test_arrow_keys_go_through_the_messages_and_pages(run: Path, opened: Open) -> None:
    one = opened(run)
    one.page.focus("#flood [data-chart=timeline]")
    one.page.keyboard.press("Home")
    first = one.page.inner_text("#flood .story code >> nth=0")
    one.page.keyboard.press("ArrowDown")
    assert one.page.inner_text("#flood .story code >> nth=0") != first
    one.page.keyboard.press("End")
    assert "281 to 300 of 300" in one.page.inner_text("#flood .filters output")
    assert one.said == []


def test_every_control_can_be_reached_by_tab(run: Path, opened: Open) -> None:
    one = opened(run, after="#flood")
    one.page.focus("#flood .filters input")
    reached = set()
    for _ in range(12):
        reached.add(
            one.page.evaluate("document.activeElement.dataset.chart || document.activeElement.type")
        )
        one.page.keyboard.press("Tab")
    assert {"search", "select-one", "number", "button", "timeline"} <= reached


def test_aggregate_first_then_down_to_one_message(run: Path, opened: Open) -> None:
    one = opened(run)
    overview = one.chart("flood", "overview")
    assert sum(sum(trace["y"]) for trace in overview) == 300
    assert not one.page.locator("#crash [data-chart=overview]").count()
    one.page.mouse.click(*middle(one.page.locator("#flood [data-chart=overview] .point").nth(5)))
    count = one.page.locator("#flood .filters output")
    assert " of 300" not in count.inner_text()
    one.page.click("#flood .filters button:has-text('show all')")
    assert "1 to 40 of 300" in count.inner_text()
    one.page.select_option("#flood .filters select >> nth=0", "in the DLQ")
    assert "of 3 messages" in count.inner_text()
    one.page.click("#flood .filters button:has-text('show all')")
    one.page.fill("#flood .filters input[type=search]", "0000001f")
    assert "1 to 1 of 1 messages" in count.inner_text()
    one.page.fill("#flood .filters input[type=search]", "nothing like it")
    assert "0 to 0 of 0 messages" in count.inner_text()


def test_hostile_ids_and_reasons_stay_text(run: Path, opened: Open) -> None:
    one = opened(run)
    one.page.focus("#poison [data-chart=timeline]")
    told = ""
    for key in ("Home", *["ArrowDown"] * 3):
        one.page.keyboard.press(key)
        told += one.page.inner_text("#poison .story")
    assert HOSTILE in told
    assert LINK in told
    for point in one.page.locator("#poison [data-chart=timeline] .scatterlayer .point").all():
        one.page.mouse.move(*middle(point))
    assert one.said == []
    assert one.asked == [run.as_uri()]
    assert one.page.locator("a[href^='javascript'], img, #poison .story b >> nth=9").count() == 0
    assert one.page.evaluate("document.scripts.length") == 3


def test_what_slips_in_cannot_run_or_call_home(run: Path, opened: Open) -> None:
    """The policy of the page, tried: a script that is not its own, and a request."""
    one = opened(run)
    one.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'broken in'";
          document.body.append(script);
        }"""
    )
    assert one.page.title() != "broken in"
    assert one.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')")
    refused = [text for text in one.said if "Content Security Policy" in text]
    assert len(refused) >= 2


def test_printing_unfolds_everything_on_white(run: Path, opened: Open) -> None:
    one = opened(run, scheme="dark")
    one.page.emulate_media(media="print")
    folded = "document.querySelectorAll('details:not([open])').length"
    wait_for(lambda: one.page.evaluate(folded) == 0)
    paper = "document.querySelector('#crash [data-chart=timeline]').layout.paper_bgcolor"
    assert one.page.evaluate(paper) == "#ffffff"
    assert not one.page.locator("#flood .filters").is_visible()
    assert widths(one) == {PAPER}
    assert len(one.page.pdf()) > 10_000
    assert one.said == []


def test_a_failure_is_in_the_open(run: Path, opened: Open) -> None:
    one = opened(run)
    assert "✗ 1 of 3 FAIL" in one.page.inner_text("h1")
    assert one.page.locator("#poison .wrong").is_visible()
    assert "grep x consumer-1.jsonl" in texts(one)


def test_five_thousand_messages_are_drawn_in_time(tmp_path: Path, opened: Open) -> None:
    """In processor time: on a machine that has nothing else to do, that is about the wait."""
    page = write_page(flood(5000).save(tmp_path / "big"))
    one = opened(page)
    busy = one.busy()
    waited = one.page.evaluate("performance.getEntriesByName('drawn')[0].startTime / 1000")
    assert busy < RENDER_SECONDS, f"{busy:.2f} s busy, {waited:.2f} s waited"
    assert one.page.locator("#flood [data-chart=timeline] .bars .point").count() < 1000
    assert page.stat().st_size < 8_000_000
