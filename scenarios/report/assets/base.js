"use strict";
// What all charts share: the words and symbols of events, colours of the theme, safe text.

// name in the journal -> plotly symbol, the sign that stands for it in text, theme colour, word,
// and the shorter word of the timeline
const MARKS = {
  received: { symbol: "triangle-right", sign: "▶", word: "received" },
  claimed: { symbol: "circle-open", sign: "○", word: "claimed" },
  already_done: { symbol: "diamond-open", sign: "◇", word: "found done, no second effect", brief: "found done" },
  cached: { symbol: "diamond-open", sign: "◇", word: "found done in the cache" },
  work_started: { word: "work started", silent: true },
  worked: { word: "work done", silent: true },
  rejected: { symbol: "triangle-down", sign: "▼", colour: "fail", word: "rejected" },
  work_failed: { symbol: "triangle-down", sign: "▼", colour: "fail", word: "work failed" },
  failed: { word: "recorded as FAILED", silent: true },
  completed: { symbol: "diamond", sign: "◆", colour: "pass", word: "completed, effect made", brief: "completed" },
  found_completed: { symbol: "diamond-open", sign: "◇", word: "completed, effect already there", brief: "effect already there" },
  deleted: { symbol: "square", sign: "■", colour: "pass", word: "deleted" },
  delete_stale: { symbol: "square-open", sign: "□", colour: "unknown", word: "delete came too late (stale)", brief: "delete too late" },
  released: { symbol: "triangle-left-open", sign: "◁", word: "given back" },
  abandoned: { symbol: "triangle-left-open", sign: "◁", word: "abandoned" },
  extended: { symbol: "triangle-up-open", sign: "△", word: "visibility extended" },
  extend_refused: { symbol: "triangle-up-open", sign: "△", colour: "unknown", word: "extension refused" },
  extend_ended: { symbol: "triangle-up", sign: "▲", colour: "unknown", word: "extended no more: the limit", brief: "extended no more" },
  signalled: { symbol: "hexagon-open", sign: "⬡", word: "consumer told to stop" },
  crash: { symbol: "x", sign: "✖", colour: "fail", word: "consumer crashed" },
  killed: { symbol: "x", sign: "✖", colour: "fail", word: "consumer killed" },
  expired: { symbol: "bowtie", sign: "⋈", colour: "unknown", word: "visibility expired" },
  saga: { symbol: "asterisk-open", sign: "∗", word: "saga step" },
  dead_lettered: { symbol: "star", sign: "★", colour: "fail", word: "moved to the DLQ", brief: "to the DLQ" },
  moved_back: { symbol: "star-open", sign: "☆", word: "moved back from the DLQ", brief: "moved back" },
};

function markOf(name) {
  return MARKS[name] || { symbol: "asterisk-open", sign: "∗", word: name.replaceAll("_", " ") };
}

const FATES = { completed: "✓", "in the DLQ": "DLQ", unsettled: "?", "more than one effect": "‼" };

/** Plotly reads a little HTML in its texts; ids, reasons and names must stay text. */
function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function theme(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

const PALETTE = 8;
const PATTERNS = ["", "/", ".", "x", "-"];

/** After eight consumers the colours come again, with a pattern. */
function consumerColour(index) {
  return theme(consumerTone(index));
}

function consumerTone(index) {
  return "consumer-" + ((index % PALETTE) + 1);
}

function consumerPattern(index) {
  return PATTERNS[Math.floor(index / PALETTE) % PATTERNS.length];
}

function faded(colour, share) {
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${parts.join(",")},${share})`;
}

function ordinal(number) {
  const tail = number % 100 > 10 && number % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][number % 10] || "th";
  return number + tail;
}

function seconds(value) {
  return (Math.abs(value) < 10 ? value.toFixed(3) : value.toFixed(2)) + " s";
}

function clock(start, since) {
  return new Date((start + since) * 1000).toISOString().slice(11, 23) + " UTC";
}

/** Takes the room of a chart, drawn or not, so that what is below it stays where it is. */
function reserve(place, height) {
  place.style.minHeight = `${height}px`;
  return height;
}

function layoutBase(place) {
  const ink = theme("ink");
  return {
    width: place.clientWidth, // plotly itself would keep the first one
    paper_bgcolor: theme("paper"),
    plot_bgcolor: theme("paper"),
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
    hoverlabel: { bgcolor: theme("panel"), bordercolor: theme("rule"), font: { color: ink }, align: "left" },
    hovermode: "closest",
    dragmode: "zoom",
    showlegend: false,
  };
}

function axisBase() {
  return { gridcolor: theme("rule"), linecolor: theme("rule"), zeroline: false, automargin: false };
}

const CONFIG = {
  displaylogo: false,
  responsive: false, // main.js draws again: places of marks depend on the width
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "pan2d", "zoomIn2d", "zoomOut2d"],
};
