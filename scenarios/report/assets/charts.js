"use strict";
// The charts around the timeline: overview by time, depths and consumers, calls beside the reference.

const BUCKETS = 48;
const OVERVIEW_HEIGHT = 220;
const DEPTH_HEIGHT = 320;
const OVERVIEW_FROM = PAGE_LANES; // fewer messages fit the timeline itself

const OUTCOMES = [
  { name: "completed at the first delivery", colour: "consumer-1", pattern: "" },
  { name: "completed after redelivery", colour: "consumer-6", pattern: "/" },
  { name: "in the DLQ", colour: "fail", pattern: "x" },
  { name: "unsettled or more than one effect", colour: "unknown", pattern: "." },
];

function outcomeOf(message) {
  if (message.fate === "in the DLQ") return 2;
  if (message.fate !== "completed") return 3;
  return message.deliveries.length > 1 ? 1 : 0;
}

function bucketsOf(state) {
  const size = Math.max(state.data.end, 0.001) / BUCKETS;
  const counts = OUTCOMES.map(() => new Array(BUCKETS).fill(0));
  for (const message of state.messages) {
    const at = Math.min(BUCKETS - 1, Math.max(0, Math.floor(firstSeen(message) / size)));
    counts[outcomeOf(message)][at] += 1;
  }
  return { size, counts };
}

function drawOverview(state, place) {
  const { size, counts } = bucketsOf(state);
  const base = counts[0].map((_, at) => at * size);
  const traces = OUTCOMES.map((outcome, kind) => ({
    type: "bar", name: outcome.name, x: base, y: counts[kind], width: size * 0.92, offset: 0, customdata: base,
    marker: { color: theme(outcome.colour), pattern: { shape: outcome.pattern, size: 5, fgcolor: theme("paper"), fillmode: "overlay" } },
    hovertemplate: `%{y} ${outcome.name}<br>received first from %{x:.1f} s<extra></extra>`,
  })).filter((trace) => trace.y.some(Boolean));
  const layout = {
    ...layoutBase(place), ...legendAbove(), barmode: "stack", height: reserve(place, OVERVIEW_HEIGHT), margin: { l: leftOf(state, place), r: 12, t: 34, b: 40 },
    xaxis: { ...axisBase(), range: [0, state.data.end], ticksuffix: " s", fixedrange: true, title: { text: "when first received; click a bar to see its messages below", standoff: 6 } },
    yaxis: { ...axisBase(), title: { text: "messages" }, fixedrange: true },
  };
  Plotly.react(place, traces, layout, CONFIG);
  return size;
}

function legendAbove() {
  return { showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0, font: { color: theme("ink") }, traceorder: "normal", itemclick: false, itemdoubleclick: false, maxheight: 1 } };
}

function line(name, xy, look) {
  return {
    type: "scatter", mode: "lines", name, x: xy.map((point) => point[0]), y: xy.map((point) => point[1]),
    line: { shape: "hv", width: 2.5, color: theme(look.colour), dash: look.dash }, yaxis: look.axis || "y",
    fill: look.fill ? "tozeroy" : "none", fillcolor: look.fill ? faded(theme(look.colour), 0.12) : undefined,
    hovertemplate: `%{y} ${name}<br>at %{x:.2f} s<extra></extra>`,
  };
}

function drawDepth(state, place) {
  const { samples, alive, end } = state.data;
  const column = (at) => samples.map((row) => [row[0], row[at]]);
  const traces = [
    line("visible", column(1), { colour: "consumer-1", dash: "solid", fill: true }),
    line("in flight", column(2), { colour: "consumer-2", dash: "dash" }),
    line("in the DLQ", column(3), { colour: "fail", dash: "dot" }),
    line("consumers", [...alive, [end, alive.at(-1)[1]]], { colour: "consumer-3", dash: "solid", axis: "y2", fill: true }),
  ];
  const counts = { ...axisBase(), rangemode: "tozero", fixedrange: true, tickformat: "d" };
  const step = (column) => Math.max(1, Math.ceil(Math.max(0, ...column) / 4));
  const together = state.messages.length <= PAGE_LANES; // then both have the same span of time
  const layout = {
    ...layoutBase(place), ...legendAbove(), height: reserve(place, DEPTH_HEIGHT), margin: { l: leftOf(state, place), r: 12, t: 34, b: 40 }, hovermode: "x",
    xaxis: { ...axisBase(), range: together ? state.range : [0, end], ticksuffix: " s", title: { text: "seconds since the scenario began", standoff: 6 }, anchor: "y2", fixedrange: together },
    yaxis: { ...counts, domain: [0.36, 1], title: { text: "messages" }, dtick: step(samples.flatMap((row) => row.slice(1))) },
    yaxis2: { ...counts, domain: [0, 0.26], title: { text: "consumers" }, dtick: step(alive.map((point) => point[1])) },
  };
  Plotly.react(place, traces, layout, CONFIG);
}

function costNames({ cost, reference }) {
  return [...new Set([...Object.keys(reference), ...Object.keys(cost)])].sort();
}

/** What the legend takes: a narrow one is a column. */
function costLegend(names, place) {
  return place.clientWidth < 600 ? 20 + names.length * 20 : 78;
}

function costHeight(names, place) {
  return 172 + costLegend(names, place);
}

function drawCost(state, place) {
  const { cost, reference } = state.data;
  const names = costNames(state.data);
  const rows = ["reference loop", state.data.untold ? "this run, in part" : "this run"];
  const traces = names.map((name, index) => {
    const values = [reference[name] || 0, cost[name] || 0];
    return {
      type: "bar", orientation: "h", name, y: rows, x: values, textposition: "inside", insidetextanchor: "middle", textangle: 0,
      text: values.map((value) => (value > 0 ? `${plain(name.replace(/^\w+\./, ""))}<br>${value.toFixed(2)}` : "")),
      textfont: { color: theme("paper") },
      marker: { color: consumerColour(index), line: { color: theme("paper"), width: 1 }, pattern: { shape: name.includes("empty") ? "/" : consumerPattern(index), size: 5, fgcolor: theme("paper"), fillmode: "overlay" } },
      hovertemplate: `${plain(name)}: %{x:.2f} per message<extra>%{y}</extra>`,
    };
  });
  const above = costLegend(names, place);
  const layout = {
    ...layoutBase(place), ...legendAbove(), barmode: "stack", height: reserve(place, costHeight(names, place)), margin: { l: 104, r: 12, t: above, b: 40 },
    xaxis: { ...axisBase(), fixedrange: true, title: { text: "API calls per message sent", standoff: 6 } }, yaxis: { ...axisBase(), fixedrange: true },
    uniformtext: { minsize: 10, mode: "hide" },
  };
  Plotly.react(place, traces, layout, CONFIG);
}
