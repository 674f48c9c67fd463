// What people with other eyes and hands would miss on this page; a list of complaints.
(() => {
  const faults = [];
  const seen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const words = (ids) => (ids ?? "").split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
  const named = (element) => element.getAttribute("aria-label") || words(element.getAttribute("aria-labelledby")) ||
    [...(element.labels ?? [])].map((label) => label.textContent).join(" ").trim() || element.textContent.trim();
  const about = (element) => `${element.tagName.toLowerCase()}#${element.id || element.className}: ${element.textContent.trim().slice(0, 40)}`;

  for (const element of document.querySelectorAll("button, a[href], input:not([hidden]), select, summary, [role=meter], [role=tab], [role=region], table, svg[role=img], dialog")) {
    const own = element.matches("table") ? element.caption?.textContent : named(element);
    if ((seen(element) || element.matches("dialog")) && !own) faults.push(`no name: ${about(element)}`);
    if (element.matches("input, select") && seen(element) && !element.labels.length) faults.push(`no label: ${about(element)}`);
  }
  for (const image of document.images) if (!image.hasAttribute("alt")) faults.push(`no alt: ${image.src}`);
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`twice: #${id}`);
  for (const element of document.querySelectorAll("[aria-labelledby], [aria-controls], [aria-describedby]")) {
    for (const name of ["aria-labelledby", "aria-controls", "aria-describedby"]) {
      for (const id of (element.getAttribute(name) ?? "").split(/\s+/).filter(Boolean)) {
        if (!document.getElementById(id)) faults.push(`${name} leads nowhere: ${id}`);
      }
    }
  }
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    if (!seen(heading)) continue;
    const next = Number(heading.tagName[1]);
    if (next > level + 1) faults.push(`a level is missing above: ${about(heading)}`);
    level = next;
  }
  for (const one of ["main", "header", "nav", "footer", "h1"]) {
    if (document.querySelectorAll(`body ${one}`).length !== 1) faults.push(`not one <${one}>`);
  }
  if (!document.documentElement.lang) faults.push("no language");
  for (const element of document.querySelectorAll("*")) {
    const scrolls = seen(element) && ["auto", "scroll"].includes(getComputedStyle(element).overflowY) &&
      element.scrollHeight > element.clientHeight + 1;
    if (scrolls && element.tabIndex < 0 && element !== document.scrollingElement) faults.push(`scrolls, not by keyboard: ${about(element)}`);
  }

  // Contrast, https://www.w3.org/TR/WCAG22/#contrast-minimum
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const colour = (text, under = [255, 255, 255]) => {
    brush.fillStyle = `rgb(${under.join(" ")})`;
    brush.fillRect(0, 0, 1, 1);
    brush.fillStyle = text;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
    return layers.reduce((under, layer) => colour(layer, under), [255, 255, 255]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !seen(element) || element.closest(":disabled, .unseen, title, noscript, script")) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const [a, b] = [light(colour(element instanceof SVGElement ? style.fill : style.color, ground)), light(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${about(element)}`);
  }

  // Targets, https://www.w3.org/TR/WCAG22/#target-size-minimum
  for (const element of document.querySelectorAll("button, select, input, [role=tab], .button")) {
    const { width, height } = element.getBoundingClientRect();
    if (seen(element) && (width < 24 || height < 24)) faults.push(`small: ${about(element)}`);
  }
  return faults;
})();
