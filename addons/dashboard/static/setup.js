// The set-up of each client, as text to copy in tabs. Arrow keys move between the tabs.

import { byId, copy, make } from "./dom.js";

let drawn = "";

export function draw(snippets) {
  if (JSON.stringify(snippets) === drawn) return;
  drawn = JSON.stringify(snippets);
  const tabs = snippets.map(tab);
  byId("setup-tabs").replaceChildren(...tabs);
  byId("setup-panels").replaceChildren(...snippets.map(panel));
  choose(tabs, 0);
}

function tab({ name }, index, all) {
  return make("button", {
    type: "button", role: "tab", id: `tab-${index}`, "aria-controls": `panel-${index}`,
    click: () => choose([...byId("setup-tabs").children], index),
    keydown: (event) => move(event, index, all.length),
  }, name);
}

function panel({ name, where, text }, index) {
  const button = make("button", { type: "button", class: "main", click: () => copy(button, text) }, "Copy");
  button.setAttribute("aria-label", `Copy the set-up of ${name}`);
  return make("div", { role: "tabpanel", id: `panel-${index}`, "aria-labelledby": `tab-${index}` },
    make("div", { class: "head" }, make("p", { class: "aside" }, where), button),
    make("pre", { tabindex: "0", role: "region", "aria-label": name }, make("code", {}, text)));
}

function choose(tabs, chosen) {
  tabs.forEach((tab, index) => {
    tab.setAttribute("aria-selected", String(index === chosen));
    tab.tabIndex = index === chosen ? 0 : -1;
    byId(`panel-${index}`).hidden = index !== chosen;
  });
}

function move(event, index, length) {
  const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const tabs = [...byId("setup-tabs").children];
  const chosen = (to + length) % length;
  choose(tabs, chosen);
  tabs[chosen].focus();
}
