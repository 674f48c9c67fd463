// The accounts: their quota, their state, and the user's actions on them.

import { byId, copy, keep, make, safe, say, show } from "./dom.js";
import { post } from "./connection.js";
import { iso, known, until, when, window as spanned } from "./words.js";

const STATES = { ready: "Ready", busy: "Busy", limited: "Limit reached", dead: "Logged out" };
const KINDS = { ready: "good", busy: "warn", limited: "warn", dead: "bad" };
const REASONS = {
  usage_limit_reached: "the usage limit is reached",
  refresh_token_reused: "its login was used elsewhere; log in again",
  refresh_token_expired: "its login has expired; log in again",
  refresh_token_invalidated: "its login was revoked; log in again",
};

let snapshot = null;

export function start() {
  byId("login-browser").addEventListener("click", () => act("login", "browser"));
  byId("login-device").addEventListener("click", () => act("login", "device"));
}

export function draw(accounts = snapshot) {
  snapshot = accounts; // null for a key that is not the admin's
  show(byId("accounts"), snapshot !== null);
  show(byId("nav-accounts"), snapshot !== null);
  if (snapshot === null) return;
  keep(byId("accounts-list"), snapshot.accounts, (account) => account.id, card, fill);
  show(byId("accounts-list"), snapshot.accounts.length > 0);
  show(byId("accounts-empty"), snapshot.accounts.length === 0 && !snapshot.login);
  login(snapshot.login);
}

async function act(what, value) {
  const fault = byId("accounts-fault");
  say(fault, "");
  try {
    draw(await post(`accounts/${what}`, value));
  } catch (error) {
    say(fault, error.message);
  }
}

async function logout(account) {
  const dialog = byId("ask");
  say(byId("ask-text"), `This relay forgets ${nameOf(account)}; to use it here again, log in again.`);
  dialog.returnValue = "no";
  dialog.onclose = () => { if (dialog.returnValue === "yes") act("logout", account.id); };
  dialog.showModal();
}

const nameOf = (account) => account.email || account.id;

function card(account) {
  const select = make("button", { type: "button", click: () => act("select", account.id) }, "Use this account");
  const leave = make("button",
    { type: "button", class: "quiet danger", click: () => logout(account) }, "Log out");
  select.setAttribute("aria-label", `Use ${nameOf(account)}`);
  leave.setAttribute("aria-label", `Log out ${nameOf(account)}`);
  return make("li", { class: "card account" },
    make("div", { class: "account-head" },
      make("div", {}, make("h3"), make("p", { class: "aside" })),
      make("span", { class: "badge" })),
    make("p", { class: "why" }),
    make("div", { class: "quotas" }),
    make("p", { class: "credits aside" }),
    make("div", { class: "actions" }, make("span", { class: "chosen" }, "In use"), select, leave));
}

function fill(card, account) {
  const part = (selector) => card.querySelector(selector);
  card.classList.toggle("selected", Boolean(account.selected));
  say(part("h3"), nameOf(account));
  const source = account.source === "codex" ? " · Codex's own login" : "";
  const flight = account.in_flight ? ` · ${account.in_flight} in flight` : "";
  say(part(".account-head .aside"), `${account.plan || "unknown"} plan${source}${flight}`);
  part(".badge").className = `badge ${KINDS[account.state] ?? "bad"}`;
  say(part(".badge"), STATES[account.state] ?? account.state);
  say(part(".why"), why(account));
  show(part(".why"), Boolean(part(".why").textContent));
  quotas(part(".quotas"), account.quota);
  const credits = account.credits?.balance ?? account.credits?.remaining;
  say(part(".credits"), known(credits) ? `Credits: ${credits}` : "");
  show(part(".credits"), known(credits));
  show(part(".chosen"), Boolean(account.selected));
  show(part(".actions button"), !account.selected);
}

function why(account) {
  const reason = REASONS[account.reason] ?? account.reason ?? "";
  const end = account.until ? `, until ${when(account.until)} (${until(account.until)})` : "";
  return reason || end ? `${reason}${end}`.replace(/^, /, "").replace(/^./, (c) => c.toUpperCase()) : "";
}

function quotas(parent, quota) {
  const bars = ["primary", "secondary"].filter((name) => quota?.[name])
    .map((name) => ({ name, ...quota[name] }));
  const none = { name: "none" };
  keep(parent, bars.length ? bars : [none], (bar) => bar.name, bar, fillBar);
}

function bar({ name }) {
  if (name === "none") return make("p", { class: "aside" }, "Its quota is not known yet.");
  return make("div", { class: "quota" },
    make("div", { class: "quota-head" }, make("span"), make("strong")),
    make("div", { class: "meter", role: "meter", "aria-valuemin": "0", "aria-valuemax": "100" },
      make("div")),
    make("p", { class: "aside" }, make("time")));
}

function fillBar(element, quota) {
  if (quota.name === "none") return;
  const used = Math.min(100, Math.max(0, quota.used_percent ?? 0));
  const label = `${spanned(quota.window_minutes) || quota.name} limit`;
  say(element.querySelector("span"), label.replace(/^./, (c) => c.toUpperCase()));
  say(element.querySelector("strong"), `${Math.round(used)} % used`);
  const meter = element.querySelector(".meter");
  meter.setAttribute("aria-valuenow", String(Math.round(used)));
  meter.setAttribute("aria-label", label);
  meter.dataset.level = used >= 90 ? "bad" : used >= 70 ? "warn" : "good";
  meter.firstElementChild.style.width = `${used}%`;
  const time = element.querySelector("time");
  show(time, known(quota.resets_at));
  if (!known(quota.resets_at)) return;
  time.setAttribute("datetime", iso(quota.resets_at));
  say(time, `Resets ${until(quota.resets_at)}, at ${when(quota.resets_at)}`);
}

// Draws the login in progress, but only if it has changed, so that its link keeps the focus.
function login(loginState) {
  const box = byId("login");
  const key = JSON.stringify(loginState);
  show(box, Boolean(loginState));
  for (const kind of ["browser", "device"]) {
    byId(`login-${kind}`).disabled = Boolean(loginState) && !loginState.error;
  }
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.classList.toggle("bad", Boolean(loginState?.error));
  box.replaceChildren(...(loginState ? steps(loginState) : []));
}

function steps(loginState) {
  const cancel = make("button", { type: "button", class: "quiet", click: () => act("cancel") },
    loginState.error ? "Dismiss" : "Cancel");
  if (loginState.error) {
    return [make("h3", {}, "The login failed"), make("p", { role: "alert" }, loginState.error), cancel];
  }
  const url = safe(loginState.url);
  const link = url && make("a",
    { class: "button main", href: url, target: "_blank", rel: "noopener noreferrer" }, "Open the login page");
  if (loginState.kind === "browser") {
    return [make("h3", {}, "Complete the login"),
      make("p", {}, "Log in on OpenAI's page, in a browser on the machine that the relay runs on. " +
        "It leads back to the relay by itself."),
      make("div", { class: "actions" }, link, cancel)];
  }
  const button = make("button", { type: "button", click: () => copy(button, loginState.user_code) }, "Copy");
  return [make("h3", {}, "Complete the login"),
    make("p", {}, "Open the login page on any device, and enter this code:"),
    make("p", { class: "code" }, make("code", {}, loginState.user_code), button),
    known(loginState.expires) ? make("p", { class: "aside" }, `It is valid until ${when(loginState.expires)}.`) : null,
    make("div", { class: "actions" }, link, cancel)].filter(Boolean);
}
