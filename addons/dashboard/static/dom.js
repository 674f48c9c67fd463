// Builds elements from values, never from markup, so that text from elsewhere stays text.

export const byId = (id) => document.getElementById(id);

// An HTML element: make("td", {class: "number", "data-label": "In"}, "12", node …). A function among
// the attributes listens to the event of that name.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function drawing(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

// Sets a text only if it has changed, so that screen readers announce nothing twice.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, shown = true) {
  if (element.hidden === shown) element.hidden = !shown;
}

// Gives the parent one child per item, in the items' order: `create` makes the child of a new item,
// `fill` updates each child. Children of items that stay are kept, and so is the focus in them.
export function keep(parent, items, key, create, fill) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const name = String(key(item));
    const child = before.get(name) ?? create(item);
    before.delete(name);
    child.dataset.key = name;
    fill(child, item);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  for (const child of before.values()) child.remove();
}

// A table, and its body. Narrow screens show its rows as blocks, so each cell (of `row`) names its
// column; the roles keep it a table for screen readers.
export function table(caption, columns) {
  const head = make("tr", { role: "row" },
    ...columns.map((column) => make("th",
      { scope: "col", role: "columnheader", class: column.number ? "number" : null }, column.name)));
  const body = make("tbody", { role: "rowgroup" });
  const element = make("table", { role: "table" }, make("caption", { class: "unseen" }, caption),
    make("thead", { role: "rowgroup" }, head), body);
  return { element, body };
}

export function row(columns) {
  return make("tr", { role: "row" }, ...columns.map((column) => make("td",
    { role: "cell", class: column.number ? "number" : null, "data-label": column.name,
      "data-span": column.span })));
}

// The URL if it is http or https, else null: no other URL becomes a link.
export function safe(url) {
  try {
    return ["https:", "http:"].includes(new URL(url).protocol) ? url : null;
  } catch {
    return null;
  }
}

export async function copy(button, text) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy it by hand";
  }
  setTimeout(() => { button.textContent = before; }, 2000);
}
