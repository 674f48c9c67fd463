// The providers and their health.

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
const KEYS = { set: "Set", login: "Login of an account", missing: "Missing, unless clients send one", optional: "None needed" };
const DIALECTS = { chat: "Chat Completions", responses: "Responses" };

let body = null;

export function start() {
  const providerTable = table("Providers", COLUMNS);
  providerTable.element.classList.add("blocks");
  byId("providers-table").append(providerTable.element);
  body = providerTable.body;
}

export function draw(providers) {
  keep(body, providers, (provider) => provider.name, () => row(COLUMNS), fill);
  show(byId("providers-table"), providers.length > 0);
  show(byId("providers-empty"), providers.length === 0);
}

function fill(element, provider) {
  const [kind, word] = health(provider);
  const [name, dialect, key, state, failed, ttft] = element.children;
  name.replaceChildren(make("span", { class: "name" }, provider.title), make("small", {}, provider.host));
  say(dialect, DIALECTS[provider.dialect] ?? provider.dialect);
  say(key, KEYS[provider.key] ?? provider.key);
  const cause = provider.last && provider.last !== "ok" ? make("small", { class: "cause" }, provider.last) : "";
  state.replaceChildren(make("span", { class: `badge ${kind}` }, word), cause);
  say(failed, provider.exchanges ? `${count(provider.failed)} of ${plural(provider.exchanges, "exchange")}` : "–");
  say(ttft, seconds(provider.ttft));
}

function health({ exchanges, failed, last }) {
  if (!exchanges) return ["idle", "Not used yet"];
  if (last !== "ok") return ["bad", "Failing"];
  return failed / exchanges > 0.2 ? ["warn", "Unsteady"] : ["good", "Healthy"];
}
