// Sections 1 and 2: where the number looks, and its products.

const [KH, KW] = DATA.kernel_size;
const CHANNELS = DATA.patch.length;
const TAPS = KH * KW;
const COUNT = CHANNELS * TAPS;
const PATCH = DATA.patch.flat(2);
const WEIGHT = DATA.weight.flat(2);
const RAW_WEIGHT = DATA.raw_weight.flat(2);
const PRODUCTS = PATCH.map((value, k) => value * WEIGHT[k]);
const RUNNING = [];
PRODUCTS.reduce((sum, value, k) => (RUNNING[k] = sum + value), 0);

// The three loops' variables of product number k: channel of the input, row and column of the tap.
function tapOf(k) {
  return { c: Math.floor(k / TAPS), u: Math.floor((k % TAPS) / KW), v: k % KW };
}

// --- 1 Where it looks ----------------------------------------------------------------------------------------------

byId("how-many").textContent = whole(product(DATA.matrix.output_shape));
if (DATA.prediction.length) {
  const [label, score] = DATA.prediction[0];
  byId("verdict").textContent = `In the end the network says: ${label} (${(100 * score).toFixed(1)} %).`;
}

function showPicture(id, uri, text, [height, width], { rows, columns }) {
  const box = { x: columns[0], y: rows[0], width: columns[1] - columns[0], height: rows[1] - rows[0] };
  byId(id).replaceChildren(
    make("img", { src: uri, alt: text, width, height }),
    makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      makeSvg("rect", { class: "box", ...box }), makeSvg("rect", { class: "box inner", ...box })),
  );
}

function span([first, end]) {
  return end - first === 1 ? `${first}` : `${signed(String(first))} to ${signed(String(end - 1))}`;
}

// "row 3", "rows 3 to 5".
function spanOf(one, range) {
  return `${one}${range[1] - range[0] === 1 ? "" : "s"} ${span(range)}`;
}

function beyond({ rows, columns }, [height, width]) {
  const outside = rows[0] < 0 || columns[0] < 0 || rows[1] > height || columns[1] > width;
  return outside ? " Part of it lies outside the picture, where padding fills in zeros." : "";
}

function patchField() {
  const axes = [0, 1].map((axis) => {
    const first = [DATA.row, DATA.col][axis] * DATA.stride[axis] - DATA.padding[axis];
    return [first, first + DATA.dilation[axis] * (DATA.kernel_size[axis] - 1) + 1];
  });
  return { rows: axes[0], columns: axes[1] };
}

const FIELD = DATA.receptive_field;
const fieldSize = `${FIELD.rows[1] - FIELD.rows[0]} × ${FIELD.columns[1] - FIELD.columns[0]}`;
showPicture("photo", DATA.photo, "The photo, as the network sees it", DATA.photo_size, FIELD);
say(byId("photo-text"), ["The photo"], `, cut to ${DATA.photo_size.join(" × ")}. The number depends on `,
  [`${fieldSize} pixels`], ` of it.${beyond(FIELD, DATA.photo_size)}`);

const inputSize = DATA.input_picture.shape.slice(1);
showPicture("source", DATA.input_picture.uri, "The layer's input", inputSize, patchField());
say(byId("source-text"), ["The layer's input"], ` (${DATA.input_name}), ${DATA.input_picture.shape.join(" × ")}: `,
  `${DATA.input_picture.text}. The patch: ${spanOf("row", patchField().rows)}, ${spanOf("column", patchField().columns)}.`,
  beyond(patchField(), inputSize));

const outputSize2 = DATA.output_picture.shape.slice(1);
showPicture("result", DATA.output_picture.uri, "The layer's output", outputSize2,
  { rows: [DATA.row, DATA.row + 1], columns: [DATA.col, DATA.col + 1] });
say(byId("result-text"), ["The layer's output"], `, ${DATA.output_picture.shape.join(" × ")}: `,
  `${DATA.output_picture.text}, from ${short(DATA.output_picture.low)} to ${short(DATA.output_picture.high)}. Our pixel: row ${DATA.row}, column ${DATA.col}.`);

// --- 2 Patch x filter ----------------------------------------------------------------------------------------------

// What the grids show at once: one channel's taps; of 1x1 filters, 64 channels side by side.
const SHEET = TAPS > 1 ? { rows: KH, columns: KW, size: TAPS }
  : { rows: Math.ceil(Math.min(CHANNELS, 64) / 8), columns: Math.min(CHANNELS, 8), size: Math.min(CHANNELS, 64) };
const CELL = 40;
const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const MOST = { patch: largest(PATCH), weight: largest(WEIGHT), product: largest(PRODUCTS) };

const stepping = { at: 0, sheet: -1, timer: null };

function drawSheet(sheet) {
  const first = sheet * SHEET.size;
  const grids = [["patch-grid", PATCH, MOST.patch], ["weight-grid", WEIGHT, MOST.weight], ["product-grid", PRODUCTS, MOST.product]];
  for (const [id, values, most] of grids) {
    const grid = byId(id);
    grid.setAttribute("viewBox", `-2 -2 ${SHEET.columns * CELL + 4} ${SHEET.rows * CELL + 4}`);
    grid.replaceChildren();
    for (let n = 0; n < SHEET.size && first + n < COUNT; n++) {
      const [x, y] = [(n % SHEET.columns) * CELL, Math.floor(n / SHEET.columns) * CELL];
      const k = first + n;
      const paint = diverging(values[k], most);
      const { u, v } = tapOf(k);
      const isPadding = id === "patch-grid" && !DATA.inside[u][v];
      grid.append(
        makeSvg("rect", { x, y, width: CELL, height: CELL, fill: isPadding ? "none" : css(paint), rx: 3,
          class: isPadding ? "cell padding" : "cell", onclick: () => goTo(k) }),
        makeSvg("text", { x: x + CELL / 2, y: y + CELL / 2, fill: isPadding ? colour("--quiet") : inkOn(paint) },
          isPadding ? "pad 0" : tiny(values[k])),
      );
    }
    grid.append(makeSvg("rect", { class: "here", width: CELL, height: CELL, rx: 3 }));
  }
}

// Two decimals fit into a cell.
function tiny(value) {
  const size = Math.abs(value);
  return signed((size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2)).replace(/^-(0\.00)$/, "$1"));
}

function goTo(k) {
  stepping.at = clamp(k, 0, COUNT - 1);
  const sheet = Math.floor(stepping.at / SHEET.size);
  if (sheet !== stepping.sheet) drawSheet((stepping.sheet = sheet));
  const n = stepping.at - sheet * SHEET.size;
  for (const here of document.querySelectorAll(".grid .here")) {
    here.setAttribute("x", (n % SHEET.columns) * CELL);
    here.setAttribute("y", Math.floor(n / SHEET.columns) * CELL);
  }
  const { c, u, v } = tapOf(stepping.at);
  const channel = DATA.channels[0] + c;
  byId("which").textContent = `input channel ${channel} (${c + 1} of ${CHANNELS})`;
  say(byId("sentence"), `Product ${whole(stepping.at + 1)} of ${whole(COUNT)}: channel ${channel}, tap in row ${u}, column ${v}. `,
    [`${short(PATCH[stepping.at])} × ${short(WEIGHT[stepping.at])} = ${short(PRODUCTS[stepping.at])}`],
    `. Running sum: `, [short(RUNNING[stepping.at])],
    stepping.at === COUNT - 1 ? ". That is the sum of all products." : ".");
  byId("stepper").dataset.at = stepping.at;
  drawChannels();
  if (window.showFoldedTap) showFoldedTap();
}

function play() {
  const playing = stepping.timer !== null;
  byId("play").textContent = playing ? "Play" : "Pause";
  byId("play").setAttribute("aria-pressed", String(!playing));
  byId("sentence").setAttribute("aria-live", playing ? "polite" : "off");
  if (playing) {
    clearInterval(stepping.timer);
    stepping.timer = null;
    return;
  }
  if (stepping.at === COUNT - 1) goTo(0);
  const pause_ms = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1500 : 450;
  stepping.timer = setInterval(() => (stepping.at < COUNT - 1 ? goTo(stepping.at + 1) : play()), pause_ms);
}

const KEYS = {
  ArrowRight: () => goTo(stepping.at + 1),
  ArrowLeft: () => goTo(stepping.at - 1),
  ArrowDown: () => goTo(stepping.at + SHEET.size),
  ArrowUp: () => goTo(stepping.at - SHEET.size),
  Home: () => goTo(0),
  End: () => goTo(COUNT - 1),
  " ": play,
};

// The arrow keys step from anywhere on the page, unless something that wants them itself has the focus.
addEventListener("keydown", (event) => {
  const target = event.target;
  const own = target.closest("#stepper");
  const elsewhere = target !== document.body && !own;
  const vertical = ["ArrowUp", "ArrowDown", "Home", "End", " "].includes(event.key);
  if (!KEYS[event.key] || event.ctrlKey || event.altKey || event.metaKey || elsewhere || (vertical && !own)) return;
  if (event.key === " " && target.tagName === "BUTTON") return;
  event.preventDefault();
  KEYS[event.key]();
});

for (const [id, key] of [["first", "Home"], ["back", "ArrowLeft"], ["play", " "], ["next", "ArrowRight"], ["last", "End"]]) {
  byId(id).addEventListener("click", KEYS[key]);
}

function drawChannels() {
  const canvas = byId("channels");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  const context = sharpContext(canvas, width, height);
  const sums = DATA.channel_sums;
  const running = [];
  sums.reduce((sum, value, c) => (running[c] = sum + value), 0);
  const high = Math.max(0, ...sums, ...running);
  const low = Math.min(0, ...sums, ...running);
  const y = (value) => 8 + (high - value) / (high - low || 1) * (height - 16);
  const bar = Math.min(width / sums.length, 64);
  sums.forEach((value, c) => {
    context.fillStyle = value < 0 ? colour("--negative") : colour("--positive");
    context.fillRect(c * bar, Math.min(y(0), y(value)), Math.max(bar - (bar > 4 ? 1.5 : 0), .6), Math.max(Math.abs(y(value) - y(0)), .6));
  });
  context.strokeStyle = colour("--quiet");
  context.beginPath();
  context.moveTo(0, y(0));
  context.lineTo(bar * sums.length, y(0));
  context.stroke();
  context.strokeStyle = colour("--ink");
  context.lineWidth = 2;
  context.beginPath();
  running.forEach((value, c) => context.lineTo((c + .5) * bar, y(value)));
  context.stroke();
  const here = tapOf(stepping.at).c;
  context.strokeStyle = colour("--mark");
  context.lineWidth = Math.max(2, Math.min(bar, 3));
  context.strokeRect(here * bar, 2, Math.max(bar, 2), height - 4);
}

byId("channels").addEventListener("click", (event) => {
  const box = event.currentTarget.getBoundingClientRect();
  goTo(Math.floor((event.clientX - box.left) / Math.min(box.width / CHANNELS, 64)) * TAPS);
});

say(byId("channels-text"), CHANNELS === 1 ? "There is one channel only: its part is the whole sum, "
  : `Bars: the products of one channel, added up. Line: the running sum over all ${CHANNELS} channels, which ends at `,
  [short(DATA.products_sum)], ". ", CHANNELS > 1 ? "Channels are summed like taps: one filter spans all of them. " : "",
  DATA.groups > 1 ? `With ${DATA.groups} groups this filter sees the input channels ${span(DATA.channels)} alone.` : "",
  CHANNELS > 1 ? " Click a bar to go there." : "");
