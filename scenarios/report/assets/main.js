"use strict";
// Puts the page together: one state per scenario, drawn when the browser has time, again on change.

const DATA = JSON.parse(document.getElementById("data").textContent);
const STATES = [];

function newState(section) {
  const data = DATA[section.dataset.scenario];
  const find = (selector) => section.querySelector(selector);
  const state = {
    data, section, messages: unpacked(data), page: 0, zoom: null, chosen: null,
    search: "", kind: "all messages", consumer: -1, from: -Infinity, to: Infinity,
    place: find("[data-chart=timeline]"), overview: find("[data-chart=overview]"), depth: find("[data-chart=depth]"),
    cost: find("[data-chart=cost]"), legend: find(".legend"), story: find(".story"), filters: find(".filters"),
  };
  const telling = state.messages[0];
  if (telling && telling.deliveries.length > 1) tellStory(state, telling);
  drawLegend(state);
  buildFilters(state);
  state.place.addEventListener("keydown", (event) => walk(state, event));
  if (state.messages.length <= OVERVIEW_FROM) state.overview.remove();
  if (!data.cost) state.cost.remove();
  return state;
}

/** Every chart has its room before the first is drawn: a link to a section lands there, and stays. */
function reserveAll() {
  for (const state of STATES) {
    reserve(state.overview, OVERVIEW_HEIGHT);
    reserve(state.place, timelineHeight(lanesOf(shownMessages(state))));
    reserve(state.depth, DEPTH_HEIGHT);
    if (state.data.cost) reserve(state.cost, costHeight(costNames(state.data), state.cost));
  }
}

/** The drawings of a scenario, each short, so that the page answers between them. */
function drawings(state) {
  const drawn = [() => timeline(state), () => drawDepth(state, state.depth)];
  if (state.messages.length > OVERVIEW_FROM) drawn.unshift(() => overview(state));
  if (state.data.cost) drawn.push(() => drawCost(state, state.cost));
  return drawn;
}

function timeline(state) {
  drawTimeline(state);
  if (state.wired) return;
  state.wired = true;
  state.place.on("plotly_click", ({ points }) => {
    const found = state.shown.find((message) => message.id === points[0].customdata);
    if (found) choose(state, found);
  });
  state.place.on("plotly_relayout", (change) => {
    const range = change["xaxis.range"] || [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    const zoom = range[0] === undefined ? null : range;
    if (!("xaxis.range[0]" in change || "xaxis.range" in change || "xaxis.autorange" in change)) return;
    state.zoom = "xaxis.autorange" in change ? null : zoom;
    drawTimeline(state);
    drawDepth(state, state.depth);
  });
}

function choose(state, message) {
  tellStory(state, message);
  drawTimeline(state);
}

/** Arrow keys go from lane to lane, and on to the next page. */
function walk(state, event) {
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE_LANES, PageUp: -PAGE_LANES, Home: -Infinity, End: Infinity };
  if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const all = chosenMessages(state);
  if (!all.length) return;
  const at = all.indexOf(state.chosen);
  const next = Math.min(all.length - 1, Math.max(0, at + steps[event.key]));
  state.page = Math.floor(next / PAGE_LANES);
  choose(state, all[next]);
  showCount(state);
}

function overview(state) {
  const size = drawOverview(state, state.overview);
  if (state.overview.wired) return;
  state.overview.wired = true;
  state.overview.on("plotly_click", ({ points }) => {
    const from = points[0].customdata;
    narrow(state, { from, to: from + size });
  });
}

function narrow(state, change) {
  Object.assign(state, change, { page: change.page || 0, zoom: null });
  drawTimeline(state);
  showCount(state);
}

function buildFilters(state) {
  if (state.messages.length <= 12) return;
  const kinds = Object.keys(KINDS).filter((kind) => state.messages.some(KINDS[kind]));
  const search = element("input", { type: "search", placeholder: "part of an id", oninput: () => narrow(state, { search: search.value }) });
  const kind = element("select", { onchange: () => narrow(state, { kind: kind.value }) },
    ...kinds.map((name) => element("option", { value: name, textContent: name })));
  const consumer = element("select", { onchange: () => narrow(state, { consumer: Number(consumer.value) }) },
    element("option", { value: -1, textContent: "any consumer" }),
    ...state.data.consumers.map((name, index) => element("option", { value: index, textContent: name })));
  const number = (placeholder, key, none) => element("input", { type: "number", min: 0, step: "any", placeholder,
    oninput: (event) => narrow(state, { [key]: event.target.value === "" ? none : Number(event.target.value) }) });
  const field = (word, input) => element("label", {}, word, input);
  const [from, to] = [number("start", "from", -Infinity), number("end", "to", Infinity)];
  const [back, on] = [turn(state, "◀ previous", -1), turn(state, "next ▶", 1)];
  const reset = element("button", { type: "button", textContent: "show all", onclick: () => {
    state.filters.reset();
    narrow(state, { search: "", kind: "all messages", consumer: -1, from: -Infinity, to: Infinity });
  } });
  Object.assign(state, { back, on, fromInput: from, toInput: to, count: element("output") });
  state.filters.replaceChildren(field("find", search), field("show", kind), field("received by", consumer),
    field("first received from (s)", from), field("to (s)", to), back, on, reset, state.count);
  state.filters.onsubmit = (event) => event.preventDefault();
  state.filters.hidden = false;
  showCount(state);
}

function turn(state, textContent, step) {
  return element("button", { type: "button", textContent, onclick: () => narrow(state, { page: state.page + step }) });
}

function showCount(state) {
  if (!state.count) return;
  const total = chosenMessages(state).length;
  const first = state.page * PAGE_LANES;
  const last = Math.min(total, first + PAGE_LANES);
  state.count.textContent = `${total ? first + 1 : 0} to ${last} of ${total} messages, those with something to tell first`;
  state.back.disabled = state.page === 0;
  state.on.disabled = last >= total;
  if (document.activeElement !== state.fromInput) state.fromInput.value = Number.isFinite(state.from) ? state.from.toFixed(2) : "";
  if (document.activeElement !== state.toInput) state.toInput.value = Number.isFinite(state.to) ? state.to.toFixed(2) : "";
}

let waiting = [];

function drawAll() {
  reserveAll();
  const idle = waiting.length === 0;
  waiting = STATES.flatMap(drawings);
  document.body.dataset.drawn = "no";
  if (idle) requestAnimationFrame(drawNext);
}

function drawNext() {
  const begin = performance.now();
  while (waiting.length && performance.now() - begin < 40) waiting.shift()();
  if (waiting.length) setTimeout(drawNext);
  else allDrawn();
}

function allDrawn() {
  document.body.dataset.drawn = "yes";
  performance.mark("drawn");
}

/** A printer does not wait. */
function drawNow() {
  waiting = [];
  STATES.flatMap(drawings).forEach((draw) => draw());
  allDrawn();
}

function forPrint({ matches }) {
  for (const folded of document.querySelectorAll("details")) {
    if (matches) folded.dataset.open = folded.open ? "yes" : "";
    folded.open = matches || folded.dataset.open === "yes";
  }
  drawNow();
}

function onWidth() {
  let width = document.body.clientWidth;
  let timer = 0;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (document.body.clientWidth === width) return;
      width = document.body.clientWidth;
      drawAll();
    }, 150);
  });
}

for (const section of document.querySelectorAll("[data-scenario]")) {
  if (DATA[section.dataset.scenario]) STATES.push(newState(section));
}
const linked = document.getElementById(location.hash.slice(1));
if (linked) STATES.sort((a, b) => Number(b.section === linked) - Number(a.section === linked)); // it is drawn first
drawAll();
linked?.scrollIntoView();
onWidth();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
matchMedia("print").addEventListener("change", forPrint);
