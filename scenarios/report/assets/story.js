"use strict";
// The legend and the story of one message in words: what a reader without a mouse needs.

function drawLegend(state) {
  const { legend, data } = state;
  const seen = new Map();
  for (const name of data.marks) {
    const kind = markOf(name);
    if (!kind.silent) seen.set(kind.word, kind);
  }
  const consumers = data.consumers.slice(0, PALETTE * 2).map((name, index) => {
    const swatch = element("i", { className: "swatch" });
    swatch.style.background = `var(--${consumerTone(index)})`;
    return element("span", {}, swatch, name);
  });
  if (data.consumers.length > consumers.length) {
    consumers.push(element("span", { textContent: `and ${data.consumers.length - consumers.length} more` }));
  }
  const marks = [...seen.values()].map((kind) => {
    const sign = element("i", { textContent: kind.sign });
    if (kind.colour) sign.style.color = `var(--${kind.colour})`;
    return element("span", {}, sign, " " + kind.word);
  });
  legend.replaceChildren(...consumers, ...marks);
}

function tellStory(state, message) {
  state.chosen = message;
  const effects = message.effects === null ? "" : `, effects ${message.effects}`;
  const times = message.deliveries.length === 1 ? "1 delivery" : `${message.deliveries.length} deliveries`;
  const sign = message.fate.includes(FATES[message.fate]) ? markOf("dead_lettered").sign : FATES[message.fate];
  const title = element("p", {}, element("b", { textContent: `${sign} ${message.fate}` }),
    ` after ${times}${effects}${message.poison ? ", a poison message" : ""}${message.arm ? `, sent for ${message.arm}` : ""}: `,
    element("code", { textContent: message.id }));
  const told = message.deliveries.map((one, index) => toldDelivery(state, message, one, index));
  state.story.replaceChildren(title, element("div", { className: "deliveries" }, ...told));
}

function toldDelivery(state, message, one, index) {
  const head = element("h4", {},
    `${ordinal(one.count)} delivery, ${state.data.consumers[one.consumer]} `,
    element("code", { textContent: one.digest }));
  head.style.borderColor = `var(--${consumerTone(one.consumer)})`;
  const before = message.deliveries[index - 1];
  const rows = one.marks.map((mark) => {
    const kind = markOf(mark.name);
    const again = mark.name === "received" && before
      ? `again, ${seconds(one.received - before.received)} after the ${ordinal(before.count)}` : "";
    const note = [again, mark.note].filter(Boolean).join(", ");
    return element("tr", { title: clock(state.data.start, mark.t) },
      element("td", { textContent: seconds(mark.t) }),
      element("td", { textContent: kind.sign || "" }),
      element("td", { textContent: note ? `${kind.word}: ${note}` : kind.word }));
  });
  return element("div", {}, head, element("table", {}, element("tbody", {}, ...rows)));
}
