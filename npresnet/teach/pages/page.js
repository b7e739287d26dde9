"use strict";
// What all pages share. Everything that comes from the data is shown as text, never as markup.

const DATA = JSON.parse(document.getElementById("npresnet-data").textContent);
const MINUS = "\u2212";

const byId = (id) => document.getElementById(id);

// An element with attributes, properties in `on...`, and children (strings become text).
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

// Text with parts in bold: say(element, "plain ", ["bold"], " plain").
function say(element, ...parts) {
  element.replaceChildren(...parts.flat(1).length ? parts.map((part) => (Array.isArray(part) ? make("b", {}, part[0]) : part)) : []);
  return element;
}

function signed(text) {
  return text.replace("-", MINUS);
}

// Four significant digits, as people write them.
function short(value) {
  if (value === null) return "not a number";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return signed(value.toExponential(2)).replace("e", " × 10^").replace("^+", "^");
  return signed(Number(value.toPrecision(4)).toString());
}

// Nine significant digits tell every float32 from its neighbours.
function exact(value) {
  return value === null ? "not a number" : signed(Number(value.toPrecision(9)).toString());
}

function whole(value) {
  return Math.round(value).toLocaleString("en-US");
}

function bytes(count) {
  if (count < 1e3) return `${count} bytes`;
  if (count < 1e6) return `${short(count / 1e3)} kB`;
  if (count < 1e9) return `${short(count / 1e6)} MB`;
  return `${short(count / 1e9)} GB`;
}

function times(factor) {
  return `${Number(factor.toPrecision(3))}×`;
}

function plural(count, one, many = `${one}s`) {
  return `${whole(count)} ${count === 1 ? one : many}`;
}

function product(values) {
  return values.reduce((a, b) => a * b, 1);
}

function total(values) {
  return values.reduce((a, b) => a + b, 0);
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

function floatsOf(base64) {
  const text = atob(base64);
  const raw = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) raw[i] = text.charCodeAt(i);
  const view = new DataView(raw.buffer);
  return Float32Array.from({ length: raw.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

// --- colours -------------------------------------------------------------------------------------------------------

const SCHEME = { stops: null };

function stops() {
  if (!SCHEME.stops) {
    const style = getComputedStyle(document.documentElement);
    SCHEME.stops = ["--negative", "--zero", "--positive"].map((name) => rgb(style.getPropertyValue(name).trim()));
  }
  return SCHEME.stops;
}

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// The colour of value in -most..most: blue below, orange above; zero is neutral. As [red, green, blue].
function diverging(value, most) {
  const [negative, zero, positive] = stops();
  const share = most > 0 ? clamp(value / most, -1, 1) : 0;
  const end = share < 0 ? negative : positive;
  return zero.map((channel, i) => Math.round(channel + (end[i] - channel) * Math.abs(share)));
}

function css([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

// Black or white, whichever can be read on this colour.
function inkOn([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#15171b" : "#ffffff";
}

// Call `draw` now, and again when the colours change or the window gets another width.
const redraws = [];
function drawNow(draw) {
  redraws.push(draw);
  draw();
}

function redrawAll() {
  SCHEME.stops = null;
  for (const draw of redraws) draw();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
let lastWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== lastWidth) {
    lastWidth = innerWidth;
    redrawAll();
  }
});

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A canvas as many pixels wide as it is shown, with one unit a CSS pixel.
function sharpContext(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

// --- places of numbers ---------------------------------------------------------------------------------------------

for (const place of document.querySelectorAll("[data-show]")) {
  const value = DATA[place.dataset.show];
  place.textContent = place.dataset.as === "exact" ? exact(value) : String(value);
}
