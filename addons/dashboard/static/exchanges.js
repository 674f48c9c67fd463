// The latest exchanges, newest first, as they happen.

import { byId, keep, make, row, say, show, table } from "./dom.js";
import { at, compact, count, dollars, iso, known, plural, seconds } from "./words.js";

const MAX_ROWS = 200;
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
let emails = new Map(); // of accounts, by id
let body = null;
let flowsUrl = null; // where mitmweb shows a flow
let finished = 0; // exchanges that are not announced yet
let timer = 0;

export function start() {
  const exchangeTable = table("Exchanges, newest first", COLUMNS);
  exchangeTable.element.classList.add("blocks");
  byId("exchanges-table").append(exchangeTable.element);
  body = exchangeTable.body;
  setInterval(tick, 1000);
}

export function setAccounts(accounts) {
  emails = new Map((accounts?.accounts ?? []).map((account) => [account.id, account.email]));
}

export function reset(all, mitmweb) {
  rows.clear();
  flowsUrl = mitmweb && urlOfFlows(mitmweb);
  for (const exchange of all) rows.set(exchange.id, exchange);
  draw();
}

export function add(exchange) {
  if (exchange.outcome !== "in_progress" && rows.get(exchange.id)?.outcome === "in_progress") announce();
  rows.set(exchange.id, exchange);
  draw();
}

function urlOfFlows({ host, port }) {
  const here = Number(location.port) === port;
  return here ? "/relay/flow/" : `http://${host ?? location.hostname}:${port}/relay/flow/`;
}

function draw() {
  const newest = [...rows.values()].sort((a, b) => b.at - a.at).slice(0, MAX_ROWS);
  rows.clear();
  for (const exchange of newest) rows.set(exchange.id, exchange);
  keep(body, newest, (exchange) => exchange.id, () => row(COLUMNS), fill);
  show(byId("exchanges-table"), newest.length > 0);
  show(byId("exchanges-empty"), newest.length === 0);
  const running = newest.filter((exchange) => exchange.outcome === "in_progress").length;
  say(byId("exchanges-count"), newest.length
    ? `The last ${count(newest.length)}${running ? `, ${running} running` : ""}` : "");
}

// Fills a row only if it has changed, so that its open details stay open.
function fill(element, exchange) {
  const state = JSON.stringify(exchange);
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  const open = element.querySelector("details")?.open ?? false;
  const about = exchange.estimated ? "~" : "";
  const cells = [
    [time(exchange)],
    model(exchange),
    [about + compact(exchange.input), detail(exchange.cached, "cached")],
    [about + compact(exchange.output), detail(exchange.reasoning, "reasoning")],
    cost(exchange),
    [seconds(exchange.ttft)],
    [duration(exchange)],
    [exchange.client || "–"],
    outcome(exchange, open),
  ];
  cells.forEach((children, index) => {
    element.children[index].replaceChildren(...children.filter((child) => child !== null));
  });
}

function time(exchange) {
  const timeElement = make("time", { datetime: iso(exchange.at) }, at(exchange.at));
  if (!flowsUrl) return timeElement;
  return make("a", { href: `${flowsUrl}${encodeURIComponent(exchange.id)}`,
    "aria-label": `${at(exchange.at)}, show the flow in mitmweb` }, timeElement);
}

function model(exchange) {
  const requested = exchange.asked && exchange.asked !== exchange.model ? `asked for ${exchange.asked} · ` : "";
  return [make("span", { class: "name" }, exchange.model ?? "–"),
    make("small", {}, requested + [exchange.provider, emails.get(exchange.account)].filter(Boolean).join(" · "))];
}

const detail = (n, what) => (n ? make("small", {}, `${compact(n)} ${what}`) : null);

function cost(exchange) {
  const text = dollars(exchange.cost);
  return exchange.notional
    ? [`≈ ${text}`, make("small", {}, "at API prices")] : [text];
}

function duration(exchange) {
  return exchange.outcome === "in_progress" ? elapsed(exchange) : seconds(exchange.seconds);
}

const elapsed = (exchange) => seconds(Math.max(0, Math.floor(Date.now() / 1000 - exchange.at)));

function outcome(exchange, open) {
  const [kind, word] = OUTCOMES[exchange.outcome] ?? ["bad", exchange.outcome];
  const why = exchange.error ?? exchange.reason;
  const lines = [...exchange.notes, ...exchange.dropped.map((name) => `dropped ${name}`)];
  return [
    make("span", { class: `badge ${kind}` }, word),
    why ? make("small", { class: "cause" }, why) : null,
    lines.length ? make("details", { open },
      make("summary", {}, summary(exchange)),
      make("ul", {}, ...lines.map((line) => make("li", {}, line)))) : null,
  ];
}

function summary({ dropped, notes }) {
  const lost = dropped.length ? `${count(dropped.length)} dropped` : "";
  return [lost, notes.length ? plural(notes.length, "note") : ""].filter(Boolean).join(", ");
}

function tick() {
  for (const element of body?.children ?? []) {
    const exchange = rows.get(element.dataset.key);
    if (exchange?.outcome === "in_progress") say(element.children[6], elapsed(exchange));
  }
}

// Announces the exchanges that ended, at most once in five seconds.
function announce() {
  finished += 1;
  timer ||= setTimeout(() => {
    say(byId("news"), `${plural(finished, "exchange")} ended.`);
    timer = finished = 0;
  }, 5000);
}
