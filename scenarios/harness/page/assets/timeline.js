"use strict";
// Draws the timeline of one page of lanes, and tells the story of the chosen message.

const MARK_PIXELS = 15; // marks that would cover each other stand side by side, in order
const WORDS_PIXELS = 480; // a plot narrower than this has no room for words
const CHARACTER = 6.3; // pixels, about

function drawTimeline(state) {
  const { place, data } = state;
  const messages = chosenMessages(state);
  const shown = messages.slice(state.page * PAGE_LANES, (state.page + 1) * PAGE_LANES);
  const lanes = lanesOf(shown);
  const margin = { l: leftOf(state, place), r: 12, t: 8, b: 40 };
  const plot = Math.max(120, place.clientWidth - margin.l - margin.r);
  const [low, high] = state.zoom || roomFor(lanes, spanOf(lanes, data), data, plot);
  const scale = (high - low) / plot; // seconds of one pixel
  Object.assign(state, { lanes, shown, scale, range: [low, high] });
  const bottom = lanes.length ? lanes.at(-1).bottom + GAP : 60;
  const layout = {
    ...layoutBase(place),
    margin,
    height: bottom + margin.t + margin.b,
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

/** The span, and beyond it what marks and words need that stand to the right of their time. */
function roomFor(lanes, [low, high], data, plot) {
  let end = high;
  const begin = low - (high - low) * 0.015;
  for (const { message } of lanes) {
    message.deliveries.forEach((one, row) => {
      const marks = one.marks.filter((mark) => !markOf(mark.name).silent);
      const words = plot >= WORDS_PIXELS ? wordsFor(message, row, data).length * CHARACTER : 0;
      const pixels = Math.min(plot * 0.6, (marks.length + 1) * MARK_PIXELS + words);
      end = Math.max(end, begin + ((marks.at(-1).t - begin) * plot) / (plot - pixels));
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
  const parts = { windows: bars(0.86), held: bars(0.2), work: bars(0.56), marks: new Map(), words: [], waits: { x: [], y: [] } };
  for (const lane of state.lanes) {
    placeWaits(parts.waits, lane);
    lane.message.deliveries.forEach((one, index) => placeDelivery(state, parts, lane, one, index));
  }
  const traces = [waitTrace(parts.waits), parts.windows, parts.held, parts.work, ...parts.marks.values()];
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

/** Side by side where they would overlap; the hover tells the true time. */
function placeMarks(state, parts, lane, one, row, look) {
  const y = rowMiddle(lane, row);
  const gap = MARK_PIXELS * state.scale;
  let free = -Infinity;
  let wordsAt = one.received;
  let expiredAt = null;
  for (const mark of one.marks) {
    if (markOf(mark.name).silent) {
      wordsAt = Math.max(wordsAt, mark.t); // the bar reaches to here
      continue;
    }
    const x = Math.max(mark.t, free);
    free = x + gap;
    if (mark.name === "expired") expiredAt = x;
    else wordsAt = Math.max(wordsAt, x);
    addMark(parts.marks, mark, { x, y, id: lane.message.id, ...look, clock: clock(state.data.start, mark.t) });
  }
  const text = wordsFor(lane.message, row, state.data);
  const length = text.length * CHARACTER * state.scale;
  const covered = expiredAt !== null && wordsAt < expiredAt + gap && expiredAt < wordsAt + gap + length;
  parts.words.push({ x: (covered ? expiredAt : wordsAt) + gap * 0.75, y, text });
}

function addMark(traces, mark, at) {
  const kind = markOf(mark.name);
  if (!traces.has(kind.word)) {
    traces.set(kind.word, {
      type: "scatter", mode: "markers", name: kind.word, x: [], y: [], hovertext: [], hoverinfo: "text", customdata: [],
      marker: { symbol: kind.symbol, size: kind.symbol === "x" ? 12 : 11, color: [], line: { width: 1, color: theme("paper") } },
    });
    if (kind.symbol.includes("open")) traces.get(kind.word).marker.line = { width: 2 };
  }
  const trace = traces.get(kind.word);
  trace.x.push(at.x);
  trace.y.push(at.y);
  trace.customdata.push(at.id);
  trace.marker.color.push(kind.colour ? theme(kind.colour) : theme("ink"));
  const note = mark.note ? `<br>${plain(mark.note)}` : "";
  trace.hovertext.push(`${at.name}<br><b>${plain(kind.word)}</b> at ${seconds(mark.t)} (${at.clock})${note}`);
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
