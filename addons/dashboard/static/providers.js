// The providers that are served, and how they do.

import { byId, keep, make, row, say, show, table } from "./dom.js";
import { count, plural, seconds } from "./words.js";

const COLUMNS = [
  { name: "Provider", span: 3 },
  { name: "Dialect" },
  { name: "Key" },
  { name: "Health" },
  { name: "Failed", number: true },
  { name: "First token, median", number: true, span: 2 },
];
const KEYS = { set: "Set", login: "An account's login", missing: "Missing, or the client's", optional: "None needed" };
const DIALECTS = { chat: "Chat Completions", responses: "Responses" };

let body = null;

export function start() {
  const made = table("Providers", COLUMNS);
  made.whole.classList.add("blocks");
  byId("providers-table").append(made.whole);
  body = made.body;
}

export function draw(providers) {
  keep(body, providers, (one) => one.name, () => row(COLUMNS), fill);
  show(byId("providers-table"), providers.length > 0);
  show(byId("providers-empty"), providers.length === 0);
}

function fill(element, one) {
  const [kind, word] = health(one);
  const [name, dialect, key, state, failed, ttft] = element.children;
  name.replaceChildren(make("span", { class: "name" }, one.title), make("small", {}, one.host));
  say(dialect, DIALECTS[one.dialect] ?? one.dialect);
  say(key, KEYS[one.key] ?? one.key);
  const cause = one.last && one.last !== "ok" ? make("small", { class: "cause" }, one.last) : "";
  state.replaceChildren(make("span", { class: `badge ${kind}` }, word), cause);
  say(failed, one.exchanges ? `${count(one.failed)} of ${plural(one.exchanges, "exchange")}` : "–");
  say(ttft, seconds(one.ttft));
}

function health({ exchanges, failed, last }) {
  if (!exchanges) return ["idle", "Not asked yet"];
  if (last !== "ok") return ["bad", "Failing"];
  return failed / exchanges > 0.2 ? ["warn", "Unsteady"] : ["good", "Healthy"];
}
