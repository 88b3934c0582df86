"use strict";
// Which marks of one delivery are drawn together. A mark stands at its time, whatever is beside it:
// two that would overlap stand one above the other, more are one cluster at the time of its first.

const MARK_PIXELS = 16; // what a mark takes
const CLUSTER_PIXELS = 20; // what a cluster takes
const WEIGHTS = ["pass", "unknown", "fail"]; // of colours: the sign of a cluster is that of its worst mark

/** Marks in order of time become groups of them; `scale`: seconds of one pixel. */
function groupsOf(marks, scale) {
  const groups = [];
  for (let at = 0; at < marks.length; at += groups.at(-1).length) {
    groups.push(marks.slice(at, at + sizeOf(marks, at, scale)));
  }
  return groups;
}

/** How many marks, from this one on, are drawn together. */
function sizeOf(marks, at, scale) {
  const within = (from, pixels) => {
    const end = marks.findIndex((mark, index) => index > from && mark.t - marks[from].t >= pixels * scale);
    return (end < 0 ? marks.length : end) - from;
  };
  const near = within(at, MARK_PIXELS);
  const pair = near === 2 && within(at + 1, MARK_PIXELS) === 1;
  return near === 1 || pair ? near : within(at, CLUSTER_PIXELS);
}

/** The mark that a cluster shows: the worst, and of equal ones the last. */
function leadOf(group) {
  const weight = (mark) => WEIGHTS.indexOf(markOf(mark.name).colour);
  return group.reduce((best, mark) => (weight(mark) >= weight(best) ? mark : best));
}
