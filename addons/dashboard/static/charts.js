// A chart with a column for each day and a colour for each model.

import { drawing, make } from "./dom.js";

const HEIGHT = 220;
const EDGE = { left: 54, right: 4, top: 10, bottom: 24 };
export const COLOURS = 6; // the last one is for all other models

// `days`: [{day, parts: [{series, value}]}], the oldest first; `format(value)` and `name(series)`
// return texts.
export function draw(parent, days, label, format, name) {
  const width = Math.max(260, parent.clientWidth);
  const svg = drawing("svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": label });
  const top = nice(Math.max(...days.map((sums) => sum(sums.parts)), 0));
  const inner = { width: width - EDGE.left - EDGE.right, height: HEIGHT - EDGE.top - EDGE.bottom };
  const y = (value) => EDGE.top + inner.height * (1 - value / top);
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const at = y(top * part);
    svg.append(drawing("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: at, y2: at }));
    svg.append(drawing("text", { class: "tick", x: EDGE.left - 8, y: at + 4, "text-anchor": "end" },
      format(top * part)));
  }
  const step = inner.width / days.length;
  const bar = Math.max(1, Math.min(step * 0.72, 44));
  const every = Math.ceil(days.length / Math.max(2, Math.floor(inner.width / 64)));
  days.forEach((sums, index) => {
    const x = EDGE.left + step * index + (step - bar) / 2;
    svg.append(column(sums, x, bar, y, format, name));
    if ((days.length - 1 - index) % every === 0) {
      const last = index === days.length - 1;
      svg.append(drawing("text", { class: "tick", y: HEIGHT - 6, x: last ? width - EDGE.right : x + bar / 2,
        "text-anchor": last ? "end" : "middle" }, sums.day.slice(5)));
    }
  });
  parent.replaceChildren(svg);
}

function column(sums, x, width, y, format, name) {
  const group = drawing("g");
  group.append(drawing("title", {}, [sums.day, ...sums.parts.filter((part) => part.value)
    .map((part) => `${name(part.series)}: ${format(part.value)}`)].join("\n")));
  let height = 0;
  for (const { series, value } of sums.parts) {
    if (!value) continue;
    const top = y(height + value);
    group.append(drawing("rect",
      { class: `series s${series}`, x, width, y: top, height: Math.max(0.5, y(height) - top) }));
    height += value;
  }
  return group;
}

const sum = (parts) => parts.reduce((all, part) => all + part.value, 0);

// The next of 1, 2, 4, 8, 10 times a power of ten, so that four equal steps have short labels.
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 8, 10].find((n) => n * power >= value) * power;
}

export function legend(parent, names) {
  parent.replaceChildren(...names.map((name, index) => {
    const key = drawing("svg", { width: 12, height: 12, "aria-hidden": "true" });
    key.append(drawing("rect", { class: `series s${index}`, width: 12, height: 12, rx: 3 }));
    return make("li", {}, key, name);
  }));
}
