// The connection to the relay: receives its events, and sends the user's actions.

const SILENCE_LIMIT = 45_000; // ms without an event, although the relay sends one every 15 s
const RETRY_DELAY = 4_000; // ms until the next attempt, after the relay has answered with an error

let source = null;
let watch = 0;

// Calls `onEvent(name, value)` for each event, and `onState(state, why)` as the connection's state
// changes: live, offline, refused, or error.
export function open(onEvent, onState) {
  close();
  source = new EventSource("events");
  const restartWatch = () => {
    clearTimeout(watch);
    watch = setTimeout(() => { onState("offline"); open(onEvent, onState); }, SILENCE_LIMIT);
  };
  for (const name of ["all", "exchange", "totals", "accounts", "providers", "alive"]) {
    source.addEventListener(name, (event) => {
      restartWatch();
      onState("live");
      onEvent(name, JSON.parse(event.data));
    });
  }
  source.addEventListener("error", () => {
    clearTimeout(watch);
    if (source.readyState === EventSource.CLOSED) explain(onEvent, onState);
    else onState("offline"); // the browser tries again by itself
  });
  restartWatch();
}

export function close() {
  clearTimeout(watch);
  source?.close();
}

// Requests the snapshot to learn why the stream failed, as an EventSource does not say.
async function explain(onEvent, onState) {
  try {
    const reply = await fetch("data");
    if (reply.status === 401) return onState("refused");
    if (!reply.ok) onState("error", await reason(reply));
  } catch {
    onState("offline");
  }
  watch = setTimeout(() => open(onEvent, onState), RETRY_DELAY);
}

// Sends an action of the user. Throws an Error with a message for the user, and the HTTP status.
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
  const content = await reply.json().catch(() => ({}));
  const error = content.error?.message ?? content.error;
  return typeof error === "string" ? error : `The relay answered ${reply.status}.`;
}
