// Section 7: what other numbers would do. The arithmetic is that of npresnet.window; a test compares them.

const LAYER = {
  kernel_size: DATA.kernel_size[0], stride: DATA.stride[0], padding: DATA.padding[0], dilation: DATA.dilation[0], groups: DATA.groups,
};
const IN_CHANNELS = M.input_shape[0];
const OUT_CHANNELS = M.output_shape[0];
const GROUPS = [...Array(IN_CHANNELS).keys()].map((n) => n + 1).filter((n) => IN_CHANNELS % n === 0 && OUT_CHANNELS % n === 0);
const chosen = { ...LAYER };

function extentOf({ kernel_size, dilation }) {
  return dilation * (kernel_size - 1) + 1;
}

// Output positions along one axis; 0 where the padded input is smaller than the window.
function outputSize(size, window) {
  const room = size + 2 * window.padding - extentOf(window);
  return room < 0 ? 0 : Math.floor(room / window.stride) + 1;
}

// What a layer with these numbers makes of this layer's input.
function consequences(window) {
  const size = [outputSize(HEIGHT, window), outputSize(WIDTH, window)];
  const depth = IN_CHANNELS / window.groups * window.kernel_size ** 2;
  const extent = extentOf(window);
  return {
    output_size: size,
    extent,
    receptive_field: [0, 1].map((axis) => DATA.input_field[axis] + (extent - 1) * DATA.input_jump[axis]),
    weights: OUT_CHANNELS * depth,
    macs: OUT_CHANNELS * depth * size[0] * size[1],
    columns_bytes: 4 * depth * window.groups * size[0] * size[1],
  };
}

const SLIDERS = [
  ["kernel_size", "Kernel size", 1, 11], ["stride", "Stride", 1, 4], ["padding", "Padding", 0, 8], ["dilation", "Dilation", 1, 6], ["groups", "Groups", 0, GROUPS.length - 1],
];

function makeSliders() {
  byId("what-if-sliders").replaceChildren(...SLIDERS.map(([name, label, min, max]) => {
    const isGroups = name === "groups";
    const value = isGroups ? GROUPS.indexOf(chosen.groups) : chosen[name];
    const output = make("output", {}, String(chosen[name]));
    const input = make("input", { type: "range", id: `what-if-${name}`, min, max: Math.max(max, value), value, oninput: (event) => {
      chosen[name] = isGroups ? GROUPS[Number(event.target.value)] : Number(event.target.value);
      output.textContent = chosen[name];
      showWhatIf();
    } });
    return make("label", { for: input.id }, label, " ", output, input);
  }));
}

function showWhatIf() {
  const [now, own] = [consequences(chosen), consequences(LAYER)];
  const { kernel_size: k, stride: s, padding: p, dilation: d } = chosen;
  const table = byId("what-if-table");
  table.dataset.result = JSON.stringify(now);
  if (!now.output_size[0] || !now.output_size[1]) {
    table.replaceChildren(row([`The window spans ${now.extent} inputs, more than ${HEIGHT} × ${WIDTH} with padding ${p}. It needs a larger picture.`]));
    byId("taps").replaceChildren();
    return;
  }
  const against = (value, other) => (value === other ? "as now" : times(value / other));
  table.replaceChildren(
    row([`output rows: (${HEIGHT} + 2·${p} ${MINUS} ${d}·(${k} ${MINUS} 1) ${MINUS} 1) // ${s} + 1`, `${now.output_size[0]}`, ""]),
    row(["output size", now.output_size.join(" × "), against(product(now.output_size), product(own.output_size))]),
    row([`inputs from a window's first tap to its last: ${d}·(${k} ${MINUS} 1) + 1`, `${now.extent} × ${now.extent}`, ""]),
    row(["receptive field on the photo", now.receptive_field.join(" × "), against(product(now.receptive_field), product(own.receptive_field))]),
    row(["weights", whole(now.weights), against(now.weights, own.weights)]),
    row(["multiply-adds", whole(now.macs), against(now.macs, own.macs)]),
    row(["bytes of the im2col matrix", bytes(now.columns_bytes), against(now.columns_bytes, own.columns_bytes)]));
  drawTaps(now);
}

// One row of the input, and under it the windows of the first outputs.
function drawTaps(now) {
  const { stride: s, padding: p, dilation: d, kernel_size: k } = chosen;
  const outputs = Math.min(5, now.output_size[1]);
  const first = -p;
  const shown = Math.min(WIDTH + 2 * p, Math.max((outputs - 1) * s + now.extent + 2, 16));
  const [unit, line] = [24, 26];
  const svg = byId("taps");
  svg.setAttribute("viewBox", `0 0 ${Math.max(shown, innerWidth < 640 ? 14 : 34) * unit + 4} ${(outputs + 1) * line + 8}`);
  const cells = [];
  for (let n = 0; n < shown; n++) {
    const isPadding = n + first < 0 || n + first >= WIDTH;
    cells.push(makeSvg("rect", { x: n * unit + 2, y: 2, width: unit - 2, height: line - 4, rx: 3, fill: isPadding ? "none" : colour("--line"),
      stroke: colour("--quiet"), "stroke-dasharray": isPadding ? "3 3" : null }));
  }
  for (let j = 0; j < outputs; j++) {
    const y = (j + 1.5) * line;
    const x = (tap) => (j * s + tap * d) * unit + unit / 2 + 1;
    cells.push(makeSvg("line", { x1: x(0), x2: x(k - 1), y1: y, y2: y, stroke: colour("--quiet"), "stroke-width": 2 }));
    for (let tap = 0; tap < k; tap++) cells.push(makeSvg("circle", { cx: x(tap), cy: y, r: 6.5, fill: colour("--mark") }));
  }
  svg.replaceChildren(...cells);
  byId("taps-text").textContent = `One row of the input${p ? " (dashed: padding)" : ""}, and the taps of the first ${plural(outputs, "output")}.`;
}

byId("what-if-reset").addEventListener("click", () => {
  Object.assign(chosen, LAYER);
  makeSliders();
  showWhatIf();
});
makeSliders();
drawNow(showWhatIf);
