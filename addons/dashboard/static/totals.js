// Sums by day and model: tiles, a chart, and a table of the same numbers.

import * as charts from "./charts.js";
import { byId, make, row, say, show, table } from "./dom.js";
import { compact, count, dollars, plural } from "./words.js";

const COLUMNS = [
  { name: "Day" }, { name: "Model", span: 2 },
  ...["Exchanges", "Failed", "In", "Cached", "Out", "Reasoning", "Cost", "By API price"]
    .map((name) => ({ name, number: true })),
];
const MEASURES = {
  tokens: { of: (one) => one.input + one.output, format: compact, name: "Tokens" },
  cost: { of: (one) => one.cost + one.notional, format: dollars, name: "Cost" },
  exchanges: { of: (one) => one.exchanges, format: compact, name: "Exchanges" },
};
const ROWS = 500; // of the table

const rows = new Map();
let columns = [];
let lasting = true;
let waiting = 0;

export function start() {
  byId("measure").addEventListener("change", draw);
  byId("days").addEventListener("change", draw);
  new ResizeObserver(later).observe(byId("chart"));
}

export function reset(totals) {
  rows.clear();
  columns = totals.columns ?? [];
  lasting = totals.lasting ?? true;
  for (const one of totals.rows ?? []) put(one);
  draw();
  if (totals.error) {
    show(byId("totals-empty"));
    say(byId("totals-empty"), `Totals cannot be shown: ${totals.error}`);
  }
}

export function add(one) {
  put(one);
  later();
}

function put(values) {
  const one = Object.fromEntries(columns.map((name, index) => [name, values[index]]));
  rows.set(JSON.stringify([one.day, one.provider, one.model]), one);
}

// Drawn once for many changes.
function later() {
  waiting ||= requestAnimationFrame(() => { waiting = 0; draw(); });
}

function draw() {
  const length = Number(byId("days").value);
  const days = lastDays(length);
  const chosen = [...rows.values()].filter((one) => one.day >= days[0]);
  show(byId("totals-empty"), rows.size === 0);
  show(byId("totals-body"), rows.size > 0);
  if (!rows.size) return say(byId("totals-empty"), "Nothing to add up yet.");
  tiles(chosen);
  chart(chosen, days);
  numbers(chosen);
}

function lastDays(length) {
  const now = Date.now();
  return Array.from({ length }, (_, i) =>
    new Date(now - (length - 1 - i) * 86_400_000).toISOString().slice(0, 10));
}

const sum = (list, of) => list.reduce((all, one) => all + of(one), 0);

function tiles(chosen) {
  const of = (field) => sum(chosen, (one) => one[field]);
  const read = of("input");
  const share = read ? `${Math.round((of("cached") / read) * 100)} % cached` : "";
  const failed = of("failed") ? `${count(of("failed"))} failed` : "";
  const unpriced = of("unpriced") ? `${plural(of("unpriced"), "exchange")} without a known price` : "";
  const facts = [
    ["Exchanges", count(of("exchanges")), failed],
    ["Tokens in", compact(read), share],
    ["Tokens out", compact(of("output")), of("reasoning") ? `${compact(of("reasoning"))} reasoning` : ""],
    ["Cost", cost({ cost: of("cost"), unpriced: of("unpriced") }), unpriced],
  ];
  if (of("notional")) {
    facts.push(["Accounts, by API price", `≈ ${dollars(of("notional"))}`, "not charged: within the plan"]);
  }
  byId("tiles").replaceChildren(...facts.map(([name, value, note]) =>
    make("div", { class: "card tile" }, make("dt", {}, name), make("dd", {}, value),
      note ? make("dd", { class: "aside" }, note) : null)));
}

// What is known of it: at least so much, where some prices are not known.
function cost(one) {
  if (!one.unpriced) return dollars(one.cost);
  return one.cost ? `≥ ${dollars(one.cost)}` : "–";
}

function chart(chosen, days) {
  const measure = MEASURES[byId("measure").value];
  const byModel = Map.groupBy(chosen, (one) => one.model);
  const order = [...byModel].map(([model, list]) => [model, sum(list, measure.of)])
    .sort((a, b) => b[1] - a[1]).map(([model]) => model);
  const many = order.length > charts.COLOURS;
  const named = many ? order.slice(0, charts.COLOURS - 1) : order;
  const names = many ? [...named, plural(order.length - named.length, "other model")] : named;
  const series = new Map(named.map((model, index) => [model, index]));
  const byDay = Map.groupBy(chosen, (one) => one.day);
  const stacks = days.map((day) => {
    const values = names.map(() => 0);
    for (const one of byDay.get(day) ?? []) values[series.get(one.model) ?? named.length] += measure.of(one);
    return { day, parts: values.map((value, index) => ({ series: index, value })) };
  });
  const total = measure.format(sum(chosen, measure.of));
  const label = `${measure.name} by day and model, ${total} in ${plural(days.length, "day")}; ` +
    "the table below has the numbers.";
  charts.draw(byId("chart"), stacks, label, measure.format, (index) => names[index]);
  charts.legend(byId("legend"), names);
  const notes = [];
  if (measure.name === "Cost" && sum(chosen, (one) => one.notional)) {
    notes.push("Turns of accounts are drawn with what the API would have cost.");
  }
  if (!lasting) notes.push("relay_store is off: these totals end with the relay.");
  say(byId("totals-aside"), notes.join(" "));
}

function numbers(chosen) {
  const sorted = chosen.toSorted((a, b) => b.day.localeCompare(a.day) || a.model.localeCompare(b.model));
  const made = table("Totals by day and model, newest first", COLUMNS);
  made.whole.classList.add("blocks");
  for (const one of sorted.slice(0, ROWS)) {
    const line = row(COLUMNS);
    const cells = [one.day, one.model, ...["exchanges", "failed", "input", "cached", "output", "reasoning"]
      .map((field) => count(one[field])), cost(one), one.notional ? `≈ ${dollars(one.notional)}` : "–"];
    cells.forEach((text, index) => { line.children[index].textContent = text; });
    line.children[1].append(make("small", {}, one.provider));
    made.body.append(line);
  }
  const more = sorted.length > ROWS ? make("p", { class: "aside" },
    `${count(sorted.length - ROWS)} older rows are not shown; choose fewer days.`) : null;
  byId("totals-table").replaceChildren(...[made.whole, more].filter(Boolean));
}
