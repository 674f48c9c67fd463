// The last exchanges, newest first, as they happen.

import { byId, keep, make, row, say, show, table } from "./dom.js";
import { at, compact, count, dollars, iso, known, plural, seconds } from "./words.js";

const KEPT = 200;
const OUTCOMES = {
  completed: ["good", "Completed"],
  incomplete: ["warn", "Incomplete"],
  failed: ["bad", "Failed"],
  cancelled: ["warn", "Client left"],
  in_progress: ["busy", "Running"],
};
const COLUMNS = [
  { name: "Time" },
  { name: "Model", span: 2 },
  { name: "In", number: true },
  { name: "Out", number: true },
  { name: "Cost", number: true },
  { name: "First token", number: true },
  { name: "Duration", number: true },
  { name: "Client" },
  { name: "Outcome", span: 3 },
];

const rows = new Map();
let names = new Map(); // of accounts, by id
let body = null;
let flows = null;
let finished = 0;
let timer = 0;

export function start() {
  const made = table("Exchanges, newest first", COLUMNS);
  made.whole.classList.add("blocks");
  byId("exchanges-table").append(made.whole);
  body = made.body;
  setInterval(tick, 1000);
}

export function named(accounts) {
  names = new Map((accounts?.accounts ?? []).map((one) => [one.id, one.email]));
}

export function reset(all, mitmweb) {
  rows.clear();
  flows = mitmweb && flowUrl(mitmweb);
  for (const one of all) rows.set(one.id, one);
  draw();
}

export function add(one) {
  if (one.outcome !== "in_progress" && rows.get(one.id)?.outcome === "in_progress") announce();
  rows.set(one.id, one);
  draw();
}

function flowUrl({ host, port }) {
  const here = Number(location.port) === port;
  return here ? "/#/flows/" : `http://${host ?? location.hostname}:${port}/#/flows/`;
}

function draw() {
  const newest = [...rows.values()].sort((a, b) => b.at - a.at).slice(0, KEPT);
  rows.clear();
  for (const one of newest) rows.set(one.id, one);
  keep(body, newest, (one) => one.id, () => row(COLUMNS), fill);
  show(byId("exchanges-table"), newest.length > 0);
  show(byId("exchanges-empty"), newest.length === 0);
  const running = newest.filter((one) => one.outcome === "in_progress").length;
  say(byId("exchanges-count"), newest.length
    ? `The last ${count(newest.length)}${running ? `, ${running} running` : ""}` : "");
}

// A row is filled anew only where it has changed: what is open in it stays so.
function fill(element, one) {
  const state = JSON.stringify(one);
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  const open = element.querySelector("details")?.open ?? false;
  const about = one.estimated ? "~" : "";
  const cells = [
    [time(one)],
    model(one),
    [about + compact(one.input), detail(one.cached, "cached")],
    [about + compact(one.output), detail(one.reasoning, "reasoning")],
    cost(one),
    [seconds(one.ttft)],
    [duration(one)],
    [one.client || "–"],
    outcome(one, open),
  ];
  cells.forEach((children, index) => {
    element.children[index].replaceChildren(...children.filter((child) => child !== null));
  });
}

function time(one) {
  const told = make("time", { datetime: iso(one.at) }, at(one.at));
  if (!flows) return told;
  return make("a", { href: `${flows}${encodeURIComponent(one.id)}/request`,
    "aria-label": `${at(one.at)}, show the flow in mitmweb` }, told);
}

function model(one) {
  const asked = one.asked && one.asked !== one.model ? `asked for ${one.asked} · ` : "";
  return [make("span", { class: "name" }, one.model ?? "–"),
    make("small", {}, asked + [one.provider, names.get(one.account)].filter(Boolean).join(" · "))];
}

const detail = (n, what) => (n ? make("small", {}, `${compact(n)} ${what}`) : null);

function cost(one) {
  const text = dollars(one.cost);
  return one.notional
    ? [`≈ ${text}`, make("small", {}, "by API price")] : [text];
}

function duration(one) {
  return one.outcome === "in_progress" ? elapsed(one) : seconds(one.seconds);
}

const elapsed = (one) => seconds(Math.max(0, Math.floor(Date.now() / 1000 - one.at)));

function outcome(one, open) {
  const [kind, word] = OUTCOMES[one.outcome] ?? ["bad", one.outcome];
  const why = one.error ?? one.reason;
  const lines = [...one.notes, ...one.dropped.map((name) => `dropped ${name}`)];
  return [
    make("span", { class: `badge ${kind}` }, word),
    why ? make("small", { class: "cause" }, why) : null,
    lines.length ? make("details", { open },
      make("summary", {}, summary(one)),
      make("ul", {}, ...lines.map((line) => make("li", {}, line)))) : null,
  ];
}

function summary({ dropped, notes }) {
  const lost = dropped.length ? `${count(dropped.length)} dropped` : "";
  return [lost, notes.length ? plural(notes.length, "note") : ""].filter(Boolean).join(", ");
}

function tick() {
  for (const element of body?.children ?? []) {
    const one = rows.get(element.dataset.key);
    if (one?.outcome === "in_progress") say(element.children[6], elapsed(one));
  }
}

// At most one sentence in five seconds, however many end.
function announce() {
  finished += 1;
  timer ||= setTimeout(() => {
    say(byId("news"), `${plural(finished, "exchange")} ended.`);
    timer = finished = 0;
  }, 5000);
}
