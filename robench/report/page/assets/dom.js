// Makes elements. Text from the data always becomes a text node and is never parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

const byId = (id) => document.getElementById(id);

// Returns a region that scrolls by itself, sideways on a narrow screen, also with the keyboard.
function scrolling(label, content, kind = "wide") {
  return el("div", { class: `scrolling ${kind}`, role: "region", "aria-label": label, tabindex: "0" }, content);
}

function options(select, values, texts = values) {
  select.append(...values.map((value, place) => el("option", { value }, texts[place])));
}

// Returns a defense's name without its dataset.
const shortName = (name) => name.split("/").at(-1);

// Returns a defense's name, with its setting if it stands in several.
function labelOf(data, defense) {
  const times = data.defenses.filter((each) => each.name === defense.name).length;
  return times > 1 ? `${defense.name} (${defense.setting})` : defense.name;
}

const MARKS = { trusted: "✓", check: "?", broken: "✕", "-": "–" };

// Returns a level of trust as a badge: a mark, a word and a colour.
function trustBadge(level) {
  const word = level === "-" ? "not measured" : level;
  const mark = el("span", { "aria-hidden": "true" }, `${MARKS[level]} `);
  return el("span", { class: `trust trust-${level === "-" ? "none" : level}` }, mark, word);
}

const percent = (value) => value.toFixed(2);
const interval = (estimate) => `${estimate.low.toFixed(1)}–${estimate.high.toFixed(1)}`;
const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(2);
const count = (value) => value.toLocaleString("en");
const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;

// Returns a button that copies a field's text; if the page may not use the clipboard, the button selects the text.
function copyButton(label, field, status) {
  const say = (text) => { status.textContent = text; };
  const select = () => { field.focus(); field.select(); say("Selected: press Ctrl+C to copy."); };
  const copy = () => {
    if (!navigator.clipboard) return select();
    return navigator.clipboard.writeText(field.value).then(() => say("Copied."), select);
  };
  return el("button", { type: "button", click: copy }, label);
}
