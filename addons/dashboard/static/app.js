// The page: what the relay tells goes to the part that it concerns.

import * as accounts from "./accounts.js";
import { byId, say, show } from "./dom.js";
import * as exchanges from "./exchanges.js";
import { close, open, post } from "./line.js";
import * as providers from "./providers.js";
import * as setup from "./setup.js";
import * as totals from "./totals.js";

const LINES = {
  loading: "Connecting…",
  live: "Live",
  offline: "Offline, trying again…",
  refused: "Signed out",
  error: "In trouble",
};
const RELATIVE = 15_000; // ms between two looks at "in 5 min"

const HEARD = {
  all,
  exchange: exchanges.add,
  totals: totals.add,
  accounts: (told) => { accounts.draw(told); exchanges.named(told); },
  providers: providers.draw,
  alive: () => {},
};

function all(told) {
  show(byId("loading"), false);
  say(byId("version"), told.version);
  show(byId("leave"), told.keyed && Number(location.port) !== told.mitmweb?.port);
  for (const section of document.querySelectorAll("#board > section")) show(section);
  accounts.draw(told.accounts);
  exchanges.named(told.accounts);
  exchanges.reset(told.exchanges, told.mitmweb);
  totals.reset(told.totals);
  providers.draw(told.providers);
  setup.draw(told.setup);
  byId("board").setAttribute("aria-busy", "false");
}

function changed(state, why = "") {
  const line = byId("line");
  line.dataset.state = state;
  say(line, LINES[state]);
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
    changed("loading");
    open(heard, changed);
    byId("main").focus();
  } catch (error) {
    say(byId("enter-fault"), error.status === 401
      ? "This is none of the relay's client keys." : error.message);
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
    changed("error", error.message);
  }
}

const heard = (event, value) => HEARD[event](value);

for (const part of [accounts, exchanges, totals, providers]) part.start();
byId("enter-form").addEventListener("submit", enter);
byId("leave").addEventListener("click", leave);
setInterval(() => accounts.draw(null), RELATIVE);
open(heard, changed);
