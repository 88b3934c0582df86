"use strict";
// From the embedded rows to lanes: which messages are shown, and where each delivery lies.

const PAGE_LANES = 40;
const ROW = 24; // pixels of one delivery
const GAP = 10; // pixels between two lanes

/** Rows of numbers become objects; done once for each scenario. */
function unpacked(data) {
  return data.messages.map(([id, arm, fate, poison, effects, sent, deliveries]) => {
    const message = { id, arm, fate, poison: Boolean(poison), effects, sent };
    message.deliveries = deliveries.map(([consumer, count, digest, hiddenUntil, flat]) => {
      const marks = [];
      for (let at = 0; at < flat.length; at += 3) {
        marks.push({ name: data.marks[flat[at]], t: flat[at + 1], note: data.notes[flat[at + 2]] });
      }
      const received = marks.find((mark) => mark.name === "received").t;
      return { consumer, count, digest, hiddenUntil, marks, received };
    });
    return message;
  });
}

function happened(message, ...names) {
  return message.deliveries.some((one) => one.marks.some((mark) => names.includes(mark.name)));
}

const KINDS = {
  "all messages": () => true,
  redelivered: (message) => message.deliveries.length > 1,
  "consumer crashed": (message) => happened(message, "crash", "killed"),
  "rejected or failed": (message) => happened(message, "rejected", "work_failed"),
  "in the DLQ": (message) => message.fate === "in the DLQ",
  "completed at the first delivery": (message) => message.fate === "completed" && message.deliveries.length < 2,
  unsettled: (message) => message.fate === "unsettled",
  "more than one effect": (message) => message.fate === "more than one effect",
};

/** When a message first mattered: its first receive, else its sending. */
function firstSeen(message) {
  return message.deliveries.length ? message.deliveries[0].received : message.sent;
}

function chosenMessages(state) {
  const wanted = state.search.trim().toLowerCase();
  return state.messages.filter(
    (message) =>
      KINDS[state.kind](message) &&
      (state.consumer < 0 || message.deliveries.some((one) => one.consumer === state.consumer)) &&
      firstSeen(message) >= state.from &&
      firstSeen(message) <= state.to &&
      (!wanted || `${message.id} ${message.arm}`.toLowerCase().includes(wanted)),
  );
}

/** Those of the page that the reader is on. */
function shownMessages(state) {
  return chosenMessages(state).slice(state.page * PAGE_LANES, (state.page + 1) * PAGE_LANES);
}

/** The lanes of one page, from the top; y is in pixels. */
function lanesOf(messages) {
  let top = GAP;
  return messages.map((message) => {
    const rows = Math.max(1, message.deliveries.length);
    const lane = { message, top, bottom: top + rows * ROW, middle: top + (rows * ROW) / 2 };
    top = lane.bottom + GAP;
    return lane;
  });
}

function rowMiddle(lane, index) {
  return lane.top + (index + 0.5) * ROW;
}

/** From the first to the last moment of these lanes; windows count while somebody was in them. */
function spanOf(lanes, data) {
  let [low, high] = [Infinity, 0];
  for (const { message } of lanes) {
    low = Math.min(low, message.sent, firstSeen(message));
    for (const one of message.deliveries) {
      high = Math.max(high, Math.min(one.hiddenUntil, data.end), ...one.marks.map((mark) => mark.t));
    }
  }
  if (low >= high) [low, high] = [Math.max(0, high - 1), high + 1];
  return [low, high];
}

/** The stretch of work in a delivery, open at the end where nobody saw it end. */
function workOf(delivery, end) {
  const begin = delivery.marks.find((mark) => mark.name === "work_started");
  if (!begin) return null;
  const over = ["worked", "rejected", "work_failed", "crash", "killed"];
  const stop = delivery.marks.find((mark) => over.includes(mark.name));
  return { from: begin.t, to: stop ? stop.t : end, known: Boolean(stop) };
}
