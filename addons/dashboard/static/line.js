// The way to the relay: its events come, and what a person does goes.

const PATIENCE = 45_000; // ms without a word, although the relay says something every 15 s
const AGAIN = 4_000; // ms until a relay that answered with an error is asked again

let source = null;
let watch = 0;

// `heard(event, value)` for each event; `changed(state)`: live, offline, refused, or error and why.
export function open(heard, changed) {
  close();
  source = new EventSource("events");
  const alive = () => {
    clearTimeout(watch);
    watch = setTimeout(() => { changed("offline"); open(heard, changed); }, PATIENCE);
  };
  for (const name of ["all", "exchange", "totals", "accounts", "providers", "alive"]) {
    source.addEventListener(name, (event) => {
      alive();
      changed("live");
      heard(name, JSON.parse(event.data));
    });
  }
  source.addEventListener("error", () => {
    clearTimeout(watch);
    if (source.readyState === EventSource.CLOSED) explain(heard, changed);
    else changed("offline"); // and the browser tries again by itself
  });
  alive();
}

export function close() {
  clearTimeout(watch);
  source?.close();
}

// An EventSource does not tell why it was refused.
async function explain(heard, changed) {
  try {
    const reply = await fetch("data");
    if (reply.status === 401) return changed("refused");
    if (!reply.ok) changed("error", await reason(reply));
  } catch {
    changed("offline");
  }
  watch = setTimeout(() => open(heard, changed), AGAIN);
}

// Sends what a person has decided. Throws an Error with words and a status.
export async function post(path, value = "", headers = {}) {
  const { token } = await answer(await fetch("token"));
  const body = new URLSearchParams({ value });
  return answer(await fetch(path,
    { method: "POST", body, headers: { ...headers, "X-Relay-Token": token } }));
}

async function answer(reply) {
  if (!reply.ok) throw Object.assign(new Error(await reason(reply)), { status: reply.status });
  return reply.status === 204 ? null : reply.json();
}

async function reason(reply) {
  const told = await reply.json().catch(() => ({}));
  const error = told.error?.message ?? told.error;
  return typeof error === "string" ? error : `The relay answered ${reply.status}.`;
}
