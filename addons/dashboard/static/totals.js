// Totals by day and model: tiles, a chart, and a table with the same numbers.

import * as charts from "./charts.js";
import { byId, make, row, say, show, table } from "./dom.js";
import { compact, count, dollars, plural } from "./words.js";

const COLUMNS = [
  { name: "Day" }, { name: "Model", span: 2 },
  ...["Exchanges", "Failed", "In", "Cached", "Out", "Reasoning", "Cost", "At API prices"]
    .map((name) => ({ name, number: true })),
];
const MEASURES = {
  tokens: { of: (sums) => sums.input + sums.output, format: compact, name: "Tokens" },
  cost: { of: (sums) => sums.cost + sums.notional, format: dollars, name: "Cost" },
  exchanges: { of: (sums) => sums.exchanges, format: compact, name: "Exchanges" },
};
const MAX_ROWS = 500; // of the table

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
  for (const sums of totals.rows ?? []) put(sums);
  draw();
  if (totals.error) {
    show(byId("totals-empty"));
    say(byId("totals-empty"), `Totals cannot be shown: ${totals.error}`);
  }
}

export function add(sums) {
  put(sums);
  later();
}

function put(values) {
  const sums = Object.fromEntries(columns.map((name, index) => [name, values[index]]));
  rows.set(JSON.stringify([sums.day, sums.provider, sums.model]), sums);
}

// Draws once for all changes until the next frame.
function later() {
  waiting ||= requestAnimationFrame(() => { waiting = 0; draw(); });
}

function draw() {
  const length = Number(byId("days").value);
  const days = lastDays(length);
  const chosen = [...rows.values()].filter((sums) => sums.day >= days[0]);
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

const sum = (list, of) => list.reduce((all, sums) => all + of(sums), 0);

function tiles(chosen) {
  const of = (field) => sum(chosen, (sums) => sums[field]);
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
    facts.push(["Accounts, at API prices", `≈ ${dollars(of("notional"))}`, "included in the plan"]);
  }
  byId("tiles").replaceChildren(...facts.map(([name, value, note]) =>
    make("div", { class: "card tile" }, make("dt", {}, name), make("dd", {}, value),
      note ? make("dd", { class: "aside" }, note) : null)));
}

// The cost; "≥" marks one that lacks exchanges of unknown price.
function cost(sums) {
  if (!sums.unpriced) return dollars(sums.cost);
  return sums.cost ? `≥ ${dollars(sums.cost)}` : "–";
}

function chart(chosen, days) {
  const measure = MEASURES[byId("measure").value];
  const byModel = Map.groupBy(chosen, (sums) => sums.model);
  const order = [...byModel].map(([model, list]) => [model, sum(list, measure.of)])
    .sort((a, b) => b[1] - a[1]).map(([model]) => model);
  const many = order.length > charts.COLOURS;
  const named = many ? order.slice(0, charts.COLOURS - 1) : order;
  const names = many ? [...named, plural(order.length - named.length, "other model")] : named;
  const series = new Map(named.map((model, index) => [model, index]));
  const byDay = Map.groupBy(chosen, (sums) => sums.day);
  const stacks = days.map((day) => {
    const values = names.map(() => 0);
    for (const sums of byDay.get(day) ?? []) values[series.get(sums.model) ?? named.length] += measure.of(sums);
    return { day, parts: values.map((value, index) => ({ series: index, value })) };
  });
  const total = measure.format(sum(chosen, measure.of));
  const label = `${measure.name} by day and model, ${total} in ${plural(days.length, "day")}; ` +
    "the table below has the numbers.";
  charts.draw(byId("chart"), stacks, label, measure.format, (index) => names[index]);
  charts.legend(byId("legend"), names);
  const notes = [];
  if (measure.name === "Cost" && sum(chosen, (sums) => sums.notional)) {
    notes.push("Exchanges of accounts are drawn with what the API would have charged.");
  }
  if (!lasting) notes.push("relay_store is off: these totals are lost when the relay stops.");
  say(byId("totals-aside"), notes.join(" "));
}

function numbers(chosen) {
  const sorted = chosen.toSorted((a, b) => b.day.localeCompare(a.day) || a.model.localeCompare(b.model));
  const totalsTable = table("Totals by day and model, newest first", COLUMNS);
  totalsTable.element.classList.add("blocks");
  for (const sums of sorted.slice(0, MAX_ROWS)) {
    const line = row(COLUMNS);
    const cells = [sums.day, sums.model, ...["exchanges", "failed", "input", "cached", "output", "reasoning"]
      .map((field) => count(sums[field])), cost(sums), sums.notional ? `≈ ${dollars(sums.notional)}` : "–"];
    cells.forEach((text, index) => { line.children[index].textContent = text; });
    line.children[1].append(make("small", {}, sums.provider));
    totalsTable.body.append(line);
  }
  const restNote = sorted.length > MAX_ROWS ? make("p", { class: "aside" },
    `${count(sorted.length - MAX_ROWS)} older rows are not shown; choose fewer days.`) : null;
  byId("totals-table").replaceChildren(...[totalsTable.element, restNote].filter(Boolean));
}
