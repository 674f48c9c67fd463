// The page: passes each event from the relay to its section.

import * as accounts from "./accounts.js";
import { byId, say, show } from "./dom.js";
import * as exchanges from "./exchanges.js";
import { close, open, post } from "./connection.js";
import * as providers from "./providers.js";
import * as setup from "./setup.js";
import * as totals from "./totals.js";

const STATE_TEXTS = {
  loading: "Connecting…",
  live: "Live",
  offline: "Offline, trying again…",
  refused: "Signed out",
  error: "Error",
};
const REDRAW_INTERVAL = 15_000; // ms until relative times ("in 5 min") are drawn again

const HANDLERS = {
  all,
  exchange: exchanges.add,
  totals: totals.add,
  accounts: (snapshot) => { accounts.draw(snapshot); exchanges.setAccounts(snapshot); },
  providers: providers.draw,
  alive: () => {},
};

function all(snapshot) {
  show(byId("loading"), false);
  say(byId("version"), snapshot.version);
  show(byId("leave"), snapshot.keyed && Number(location.port) !== snapshot.mitmweb?.port);
  for (const section of document.querySelectorAll("#board > section")) show(section);
  accounts.draw(snapshot.accounts);
  exchanges.setAccounts(snapshot.accounts);
  exchanges.reset(snapshot.exchanges, snapshot.mitmweb);
  totals.reset(snapshot.totals);
  providers.draw(snapshot.providers);
  setup.draw(snapshot.setup);
  byId("board").setAttribute("aria-busy", "false");
}

function onState(state, why = "") {
  const line = byId("line");
  line.dataset.state = state;
  say(line, STATE_TEXTS[state]);
  const refused = state === "refused";
  if (refused && byId("enter").hidden) ask();
  show(byId("enter"), refused);
  show(byId("board"), !refused);
  show(byId("nav"), !refused);
  say(byId("trouble"), why);
  show(byId("trouble"), Boolean(why));
  document.body.classList.toggle("stale", state === "offline" || state === "error");
}

function ask() {
  show(byId("leave"), false);
  show(byId("enter"));
  byId("key").focus();
}

async function enter(event) {
  event.preventDefault();
  const key = byId("key");
  say(byId("enter-fault"), "");
  try {
    await post("session", "", { Authorization: `Bearer ${key.value.trim()}` });
    key.value = "";
    onState("loading");
    open(onEvent, onState);
    byId("main").focus();
  } catch (error) {
    say(byId("enter-fault"), error.status === 401
      ? "This is not one of the relay's client keys." : error.message);
    key.setAttribute("aria-invalid", "true");
    key.select();
  }
}

async function leave() {
  try {
    await post("session/end");
    close();
    location.reload();
  } catch (error) {
    onState("error", error.message);
  }
}

const onEvent = (event, value) => HANDLERS[event](value);

for (const part of [accounts, exchanges, totals, providers]) part.start();
byId("enter-form").addEventListener("submit", enter);
byId("leave").addEventListener("click", leave);
setInterval(() => accounts.draw(), REDRAW_INTERVAL);
open(onEvent, onState);
