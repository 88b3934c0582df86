"use strict";
// Draws the timeline of one page of lanes, and tells the story of the chosen message.

const STACK_PIXELS = 6; // from the middle of a row to each of two marks in it
const EDGE_PIXELS = 13; // beside the first and the last mark, and before the words
const WORDS_PIXELS = 480; // a plot narrower than this has no room for words
const CHARACTER = 6.3; // pixels, about
const MOST_TOLD = 8; // marks that the hover of a cluster tells
const CLUSTERS = "several marks";
const TIMELINE_MARGIN = { t: 8, b: 40 };

function drawTimeline(state) {
  const { place, data } = state;
  const shown = shownMessages(state);
  const lanes = lanesOf(shown);
  const margin = { l: leftOf(state, place), r: 12, ...TIMELINE_MARGIN };
  const plot = Math.max(120, place.clientWidth - margin.l - margin.r);
  const [low, high] = state.zoom || roomFor(lanes, spanOf(lanes, data), data, plot);
  const scale = (high - low) / plot; // seconds of one pixel
  Object.assign(state, { lanes, shown, scale, range: [low, high] });
  const bottom = bottomOf(lanes);
  const layout = {
    ...layoutBase(place),
    margin,
    height: reserve(place, timelineHeight(lanes)),
    barmode: "overlay",
    xaxis: { ...axisBase(), range: [low, high], ticksuffix: " s", title: { text: "seconds since the scenario began", standoff: 6 } },
    yaxis: {
      ...axisBase(), range: [bottom, 0], fixedrange: true, showgrid: false,
      tickvals: lanes.map((lane) => lane.middle), ticktext: lanes.map((lane) => laneLabel(lane.message, place)),
    },
    shapes: laneShapes(state),
    annotations: lanes.length ? [] : [{ text: "no message is chosen by these filters", showarrow: false, xref: "paper", yref: "paper" }],
  };
  Plotly.react(place, timelineTraces(state, plot >= WORDS_PIXELS, [low, high]), layout, CONFIG);
  markElements(place);
}

function timelineHeight(lanes) {
  return bottomOf(lanes) + TIMELINE_MARGIN.t + TIMELINE_MARGIN.b;
}

function bottomOf(lanes) {
  return lanes.length ? lanes.at(-1).bottom + GAP : 60;
}

/** Timeline and depths share their left edge, so that the eye can go straight down. */
function leftOf(state, place) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `bold 12px ${getComputedStyle(document.body).fontFamily}`;
  const width = (message) => pen.measureText(laneWords(message, place).join(" ")).width;
  const least = isNarrow(place) ? 92 : 124;
  return state.messages.reduce((most, message) => Math.max(most, Math.ceil(width(message)) + 12), least);
}

function isNarrow(place) {
  return place.clientWidth < 600;
}

/** The span with room for a whole mark at both ends, and for the words after the last mark of a row. */
function roomFor(lanes, [low, high], data, plot) {
  const edge = ((high - low) * EDGE_PIXELS) / (plot - 2 * EDGE_PIXELS);
  const begin = low - edge;
  let end = high + edge;
  if (plot < WORDS_PIXELS) return [begin, end];
  for (const { message } of lanes) {
    message.deliveries.forEach((one, row) => {
      const pixels = Math.min(plot * 0.6, EDGE_PIXELS + wordsFor(message, row, data).length * CHARACTER);
      const last = Math.max(...one.marks.map((mark) => mark.t));
      end = Math.max(end, begin + ((last - begin) * plot) / (plot - pixels));
    });
  }
  return [begin, end + (end - begin) * 0.01];
}

/** Where an arm must have room beside it, half an id has to do; the story below tells all of it. */
function laneWords(message, place) {
  return [FATES[message.fate] || "", message.id.slice(0, message.arm && isNarrow(place) ? 4 : 8), message.arm];
}

function laneLabel(message, place) {
  const [sign, ...words] = laneWords(message, place);
  return `<b>${plain(sign)}</b> ${plain(words.join(" "))}`.trim();
}

function laneShapes(state) {
  const rule = (lane) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: lane.bottom + GAP / 2, y1: lane.bottom + GAP / 2,
    line: { color: theme("rule"), width: 1 }, layer: "below",
  });
  const chosen = state.lanes.filter((lane) => lane.message === state.chosen && state.lanes.length > 1).map((lane) => ({
    type: "rect", xref: "paper", x0: 0, x1: 1, y0: lane.top - GAP / 2, y1: lane.bottom + GAP / 2,
    fillcolor: theme("chosen"), line: { width: 0 }, layer: "below",
  }));
  return [...chosen, ...state.lanes.map(rule)];
}

function timelineTraces(state, withWords, range) {
  const parts = { windows: bars(0.86), held: bars(0.2), work: bars(0.56), marks: new Map(), clusters: clusterTrace(), words: [], waits: { x: [], y: [] } };
  for (const lane of state.lanes) {
    placeWaits(parts.waits, lane);
    lane.message.deliveries.forEach((one, index) => placeDelivery(state, parts, lane, one, index));
  }
  const traces = [waitTrace(parts.waits), parts.windows, parts.held, parts.work, ...parts.marks.values(), parts.clusters];
  return withWords ? [...traces, wordTrace(parts.words, range, state.scale)] : traces;
}

/** While the message lies in the queue: from its sending, and from the end of each window. */
function placeWaits(waits, lane) {
  let [since, from] = [lane.message.sent, 0];
  lane.message.deliveries.forEach((one, row) => {
    if (since < one.received) {
      waits.x.push(since, since, one.received, null);
      waits.y.push(rowMiddle(lane, from), rowMiddle(lane, row), rowMiddle(lane, row), null);
    }
    [since, from] = [one.hiddenUntil, row];
  });
}

function bars(share) {
  return {
    type: "bar", orientation: "h", x: [], y: [], base: [], width: ROW * share, hovertext: [], hoverinfo: "text",
    textposition: "none", customdata: [],
    marker: { color: [], line: { color: [], width: 1 }, pattern: { shape: [], size: 5, bgcolor: theme("paper") } },
  };
}

function addBar(trace, lane, row, [from, to], look) {
  trace.x.push(to - from);
  trace.base.push(from);
  trace.y.push(rowMiddle(lane, row));
  trace.hovertext.push(look.hover);
  trace.customdata.push(lane.message.id);
  trace.marker.color.push(look.fill);
  trace.marker.line.color.push(look.line || look.fill);
  trace.marker.pattern.shape.push(look.pattern || "");
}

function placeDelivery(state, parts, lane, one, row) {
  const { data } = state;
  const colour = consumerColour(one.consumer);
  const who = plain(data.consumers[one.consumer]);
  const name = `<b>${plain(lane.message.id)}</b><br>${ordinal(one.count)} delivery ${plain(one.digest)}, ${who}`;
  const until = Math.min(one.hiddenUntil, Math.max(data.end, one.received));
  addBar(parts.windows, lane, row, [one.received, until], {
    fill: faded(colour, 0.17), line: faded(colour, 0.6),
    hover: `${name}<br>hidden from ${seconds(one.received)} to ${seconds(one.hiddenUntil)}`,
  });
  const last = Math.max(one.received, ...one.marks.filter((m) => !["expired", "dead_lettered", "moved_back"].includes(m.name)).map((m) => m.t));
  addBar(parts.held, lane, row, [one.received, last], { fill: colour, hover: `${name}<br>held for ${seconds(last - one.received)}` });
  const work = workOf(one, data.end);
  if (work) {
    const label = work.known ? `worked for ${seconds(work.to - work.from)}` : "nobody saw this work end";
    addBar(parts.work, lane, row, [work.from, work.to], { fill: colour, pattern: consumerPattern(one.consumer), hover: `${name}<br>${label}` });
  }
  placeMarks(state, parts, lane, one, row, { name, colour });
}

/** Each at its time, alone, above or below another, or in a cluster; then what became of it in words. */
function placeMarks(state, parts, lane, one, row, look) {
  const y = rowMiddle(lane, row);
  const shown = one.marks.filter((mark) => !markOf(mark.name).silent).sort((a, b) => a.t - b.t);
  const at = { id: lane.message.id, start: state.data.start, ...look };
  for (const group of groupsOf(shown, state.scale)) {
    if (group.length > 2) addCluster(parts.clusters, group, { ...at, y });
    else group.forEach((mark, place) => addMark(parts.marks, mark, { ...at, y: y + (2 * place + 1 - group.length) * STACK_PIXELS }));
  }
  const text = wordsFor(lane.message, row, state.data);
  parts.words.push({ x: wordsFrom(one, text, state.scale), y, text });
}

/** Behind all of the delivery, but before the end of its window where there is room for the words. */
function wordsFrom(one, text, scale) {
  const gap = EDGE_PIXELS * scale;
  const expired = one.marks.find((mark) => mark.name === "expired");
  const last = Math.max(...one.marks.filter((mark) => mark !== expired).map((mark) => mark.t));
  const covered = expired && expired.t > last - gap && expired.t < last + 2 * gap + text.length * CHARACTER * scale;
  return (covered ? Math.max(last, expired.t) : last) + gap;
}

function addMark(traces, mark, at) {
  const kind = markOf(mark.name);
  if (!traces.has(kind.word)) traces.set(kind.word, markTrace(kind));
  const trace = traces.get(kind.word);
  addPoint(trace, [mark.t, at.y], { t: mark.t }, at);
  trace.marker.color.push(theme(kind.colour || "ink"));
  trace.hovertext.push(`${at.name}<br>${told(mark, at)}`);
}

function addCluster(trace, group, at) {
  const [first, last] = [group[0].t, group.at(-1).t];
  const lead = markOf(leadOf(group).name);
  addPoint(trace, [first, at.y], { t0: first, t1: last }, at);
  trace.text.push(`${lead.sign}${group.length}`);
  trace.textfont.color.push(theme(lead.colour || "ink"));
  trace.marker.line.color.push(theme(lead.colour || "ink"));
  const most = group.slice(0, MOST_TOLD).map((mark) => `${markOf(mark.name).sign} ${told(mark, at)}`);
  const rest = group.length > MOST_TOLD ? [`and ${group.length - MOST_TOLD} more: click for all of them`] : [];
  trace.hovertext.push([at.name, ...most, ...rest].join("<br>"));
}

function told(mark, at) {
  const note = mark.note ? `<br>${plain(mark.note)}` : "";
  return `<b>${plain(markOf(mark.name).word)}</b> at ${seconds(mark.t)} (${clock(at.start, mark.t)})${note}`;
}

/** `meta` has what the point's element carries as data-t, or as data-t0 and data-t1. */
function addPoint(trace, [x, y], times, { id }) {
  trace.x.push(x);
  trace.y.push(y);
  trace.meta.push(times);
  trace.customdata.push(id);
}

function points(mode, name, look) {
  return { type: "scatter", mode, name, x: [], y: [], meta: [], hovertext: [], hoverinfo: "text", customdata: [], ...look };
}

function markTrace(kind) {
  const line = kind.symbol.includes("open") ? { width: 2 } : { width: 1, color: theme("paper") };
  return points("markers", kind.word, { marker: { symbol: kind.symbol, size: 10, color: [], line } });
}

function clusterTrace() {
  return points("markers+text", CLUSTERS, {
    text: [], textposition: "middle center", textfont: { size: 10, color: [] },
    marker: { symbol: "circle", size: CLUSTER_PIXELS - 1, color: theme("paper"), line: { width: 1.5, color: [] } },
  });
}

/** Each mark's element says when it was: a test, or a reader's script, compares that with its place. */
function markElements(place) {
  for (const trace of place.querySelectorAll(".scatterlayer .trace")) {
    const times = trace.__data__[0].trace.meta || [];
    for (const point of trace.querySelectorAll(".point")) {
      for (const name of ["t", "t0", "t1"]) delete point.dataset[name]; // plotly uses elements again
      Object.assign(point.dataset, times[point.__data__.i]);
    }
  }
}

const UNSAID = new Set(["received", "claimed", "deleted", "expired", "extended", "saga"]); // their signs say enough

function wordsOf(mark) {
  const point = mark.name === "crash" && /point ([\w-]+)/.exec(mark.note);
  return point ? `consumer crashed ${point[1].replace("-", " ")}` : markOf(mark.name).brief || markOf(mark.name).word;
}

/** What became of a delivery, and how it came to be, in a few words. */
function wordsFor(message, row, data) {
  const one = message.deliveries[row];
  const before = message.deliveries[row - 1];
  const again = before ? `↻ again after ${seconds(one.received - before.received)}: ` : "";
  const telling = one.marks.filter((mark) => !UNSAID.has(mark.name) && !markOf(mark.name).silent);
  const what = [...new Set(telling.map(wordsOf))].slice(-3);
  const number = data.consumers[one.consumer].replace("consumer-", "");
  return `${number} ${again}${what.join(", ") || "no outcome seen"}`;
}

function wordTrace(words, [low, high], scale) {
  const fits = words.filter((word) => word.x >= low && word.x + word.text.length * CHARACTER * scale <= high);
  return {
    type: "scatter", mode: "text", x: fits.map((w) => w.x), y: fits.map((w) => w.y), text: fits.map((w) => plain(w.text)),
    textposition: "middle right", textfont: { size: 12, color: theme("ink") }, hoverinfo: "skip",
  };
}

function waitTrace(waits) {
  return { type: "scatter", mode: "lines", ...waits, line: { dash: "dot", width: 1.5, color: theme("faint") }, hoverinfo: "skip" };
}
