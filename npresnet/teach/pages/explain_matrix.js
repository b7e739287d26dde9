// Sections 5 and 6: the im2col matrix beside its image, and where each of its cells comes from.

const M = DATA.matrix;
const SHOWN = DATA.shown;
const [HEIGHT, WIDTH] = M.input_shape.slice(1);
const [OUT_HEIGHT, OUT_WIDTH] = M.output_shape.slice(1);
const VALUES = floatsOf(SHOWN.data);
const SHOWN_MOST = largest(VALUES);
const SHOWN_CHANNELS = SHOWN.channels[1] - SHOWN.channels[0];
const AT_ONCE = Math.min(SHOWN_CHANNELS, Math.max(1, Math.floor(36 / TAPS)));  // channels whose rows are on show
const SHOWN_COLUMNS = SHOWN.out_columns[1] - SHOWN.out_columns[0];

// The cell on which the reader is: an output position (i, j), a channel of the input, a tap (u, v).
const cell = { i: DATA.row, j: DATA.col, block: 0, r: 0 };

// Where output position i, tap u of an axis lies in the input; may be outside.
function inputAt(axis, position, tap) {
  return position * DATA.stride[axis] + tap * DATA.dilation[axis] - DATA.padding[axis];
}

function isInside(y, x) {
  return y >= 0 && y < HEIGHT && x >= 0 && x < WIDTH;
}

function valueAt(c, y, x) {
  if (!isInside(y, x)) return 0;
  const [rows, columns] = [SHOWN.rows[1] - SHOWN.rows[0], SHOWN.columns[1] - SHOWN.columns[0]];
  return VALUES[((c - SHOWN.channels[0]) * rows + y - SHOWN.rows[0]) * columns + x - SHOWN.columns[0]];
}

// Row r of what is on show -> channel of the input, tap, and row of the group's whole matrix.
function rowOf(r) {
  const c = SHOWN.channels[0] + cell.block * AT_ONCE + Math.floor(r / TAPS);
  const [u, v] = [Math.floor((r % TAPS) / KW), r % KW];
  return { c, u, v, k: (c - DATA.channels[0]) * TAPS + u * KW + v };
}

function rowsOnShow() {
  return Math.min(AT_ONCE, SHOWN_CHANNELS - cell.block * AT_ONCE) * TAPS;
}

function paintMatrix() {
  const canvas = byId("matrix").querySelector("canvas");
  const rows = rowsOnShow();
  canvas.width = SHOWN_COLUMNS;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(SHOWN_COLUMNS, rows);
  const padding = rgb(colour("--hatch"));
  for (let r = 0, at = 0; r < rows; r++) {
    const { c, u, v } = rowOf(r);
    const y = inputAt(0, cell.i, u);
    for (let j = SHOWN.out_columns[0]; j < SHOWN.out_columns[1]; j++, at += 4) {
      const x = inputAt(1, j, v);
      pixels.data.set([...(isInside(y, x) ? diverging(valueAt(c, y, x), SHOWN_MOST) : padding), 255], at);
    }
  }
  context.putImageData(pixels, 0, 0);
  const stage = byId("matrix");
  const height = clamp(rows * stage.clientWidth / SHOWN_COLUMNS, 230, innerWidth < 640 ? 260 : 380);
  canvas.style.height = `${Math.round(height)}px`;
  stage.querySelector("svg").setAttribute("viewBox", `0 0 ${SHOWN_COLUMNS} ${rows}`);
  stage.querySelector("svg").setAttribute("preserveAspectRatio", "none");
}

// The input channel of the current row, with the padding around it that windows reach into.
function planeBox() {
  const reach = [0, 1].map((axis) => DATA.padding[axis]);
  const top = SHOWN.rows[0] === 0 ? reach[0] : 0;
  const left = SHOWN.columns[0] === 0 ? reach[1] : 0;
  const bottom = SHOWN.rows[1] === HEIGHT ? reach[0] : 0;
  const right = SHOWN.columns[1] === WIDTH ? reach[1] : 0;
  return { y: SHOWN.rows[0] - top, x: SHOWN.columns[0] - left,
    height: SHOWN.rows[1] - SHOWN.rows[0] + top + bottom, width: SHOWN.columns[1] - SHOWN.columns[0] + left + right };
}

function paintPlane() {
  const box = planeBox();
  const canvas = byId("plane").querySelector("canvas");
  canvas.width = box.width;
  canvas.height = box.height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(box.width, box.height);
  const { c } = rowOf(cell.r);
  const padding = rgb(colour("--hatch"));
  for (let y = box.y, at = 0; y < box.y + box.height; y++) {
    for (let x = box.x; x < box.x + box.width; x++, at += 4) {
      pixels.data.set([...(isInside(y, x) ? diverging(valueAt(c, y, x), SHOWN_MOST) : padding), 255], at);
    }
  }
  context.putImageData(pixels, 0, 0);
  byId("plane").querySelector("svg").setAttribute("viewBox", `${box.x} ${box.y} ${box.width} ${box.height}`);
}

function outline(x, y, width, height, inner = true) {
  const box = { x, y, width, height };
  return [makeSvg("rect", { class: "box", ...box }), inner ? makeSvg("rect", { class: "box inner", ...box }) : null].filter(Boolean);
}

function markCell() {
  const rows = rowsOnShow();
  const column = cell.j - SHOWN.out_columns[0];
  byId("matrix").querySelector("svg").replaceChildren(
    ...outline(column, 0, 1, rows), ...outline(0, cell.r, SHOWN_COLUMNS, 1), ...outline(column, cell.r, 1, 1));
  const { u, v } = rowOf(cell.r);
  const taps = [];
  for (let a = 0; a < KH; a++) {
    for (let b = 0; b < KW; b++) {
      taps.push(makeSvg("rect", { class: "box inner tap", x: inputAt(1, cell.j, b), y: inputAt(0, cell.i, a), width: 1, height: 1 }));
    }
  }
  const first = [inputAt(0, cell.i, 0), inputAt(1, cell.j, 0)];
  const size = [0, 1].map((axis) => DATA.dilation[axis] * (DATA.kernel_size[axis] - 1) + 1);
  const everywhere = { x: inputAt(1, 0, v), y: inputAt(0, 0, u),
    width: (OUT_WIDTH - 1) * DATA.stride[1] + 1, height: (OUT_HEIGHT - 1) * DATA.stride[0] + 1 };
  byId("plane").querySelector("svg").replaceChildren(
    makeSvg("rect", { ...everywhere, fill: "none", stroke: colour("--ink"), "stroke-width": 1.2, "stroke-dasharray": "4 4", "vector-effect": "non-scaling-stroke" }),
    ...outline(first[1], first[0], size[1], size[0], false), ...taps,
    makeSvg("rect", { x: inputAt(1, cell.j, v), y: inputAt(0, cell.i, u), width: 1, height: 1, fill: colour("--mark"), "fill-opacity": .65 }));
}

function ordinal(n) {
  return ["", "", "second", "third"][n] ?? `${n}th`;
}

function tell() {
  const { c, u, v, k } = rowOf(cell.r);
  const [y, x] = [inputAt(0, cell.i, u), inputAt(1, cell.j, v)];
  const l = cell.i * OUT_WIDTH + cell.j;
  const patch = [0, 1].map((axis) => spanOf(["row", "column"][axis],
    [inputAt(axis, [cell.i, cell.j][axis], 0), inputAt(axis, [cell.i, cell.j][axis], DATA.kernel_size[axis] - 1) + 1]));
  const inside = isInside(y, x);
  const copied = inside ? M.copies_rows[y] * M.copies_columns[x] : 0;
  const lines = [
    ["Column", `${l}: the window at output row ${cell.i}, column ${cell.j}. Its patch: input ${patch[0]}, ${patch[1]}.`],
    ["Row", `${k}: channel ${c}, kh ${u}, kw ${v}. It is the picture shifted by ${signed(String(u * DATA.dilation[0] - DATA.padding[0]))} rows and ${signed(String(v * DATA.dilation[1] - DATA.padding[1]))} columns${Math.max(...DATA.stride) > 1 ? `, of which every ${ordinal(Math.max(...DATA.stride))} pixel is taken` : ""}.`],
    ["Cell", inside ? `${exact(valueAt(c, y, x))}, the input at channel ${c}, row ${y}, column ${x}.` : `0: row ${signed(String(y))}, column ${signed(String(x))} lies in the padding.`],
    ["Copies", inside ? `this pixel stands in the matrix ${copied === 1 ? "once" : `${copied} times`}.` : "none: padding is made, not copied."],
  ];
  const readout = byId("readout");
  readout.replaceChildren(make("dl", {}, lines.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])));
  Object.assign(readout.dataset, { row: k, column: l, channel: c, kh: u, kw: v, y, x, value: valueAt(c, y, x), copies: copied });
  byId("plane-text").textContent = `Channel ${c} of the input. Outlined: the column's patch. Filled: this cell. Dashed: all that this row of the matrix takes.`;
  tellAddress(k, l, c, u, v, y, x);
}

function tellAddress(k, l, c, u, v, y, x) {
  const [sh, sw] = DATA.stride, [ph, pw] = DATA.padding, [dh, dw] = DATA.dilation;
  const own = DATA.channels[0];
  byId("address").textContent = [
    `k = ${k}, l = ${l}`,
    `c  = ${own ? `${own} + ` : ""}k // (KH·KW) = ${own ? `${own} + ` : ""}${k} // ${TAPS} = ${c}`,
    `kh = k // KW % KH = ${k} // ${KW} % ${KH} = ${u}`,
    `kw = k % KW = ${k} % ${KW} = ${v}`,
    `i  = l // OW = ${l} // ${OUT_WIDTH} = ${cell.i}`,
    `j  = l % OW = ${l} % ${OUT_WIDTH} = ${cell.j}`,
    `y  = i·stride + kh·dilation ${MINUS} padding = ${cell.i}·${sh} + ${u}·${dh} ${MINUS} ${ph} = ${signed(String(y))}`,
    `x  = j·stride + kw·dilation ${MINUS} padding = ${cell.j}·${sw} + ${v}·${dw} ${MINUS} ${pw} = ${signed(String(x))}`,
    isInside(y, x) ? `columns[k, l] = input[${c}, ${y}, ${x}] = ${exact(valueAt(c, y, x))}` : `columns[k, l] = 0, for (${signed(String(y))}, ${signed(String(x))}) lies outside the picture`,
  ].join("\n");
}

function showCell() {
  markCell();
  tell();
}

function paintAll() {
  byId("out-row-value").textContent = cell.i;
  const first = SHOWN.channels[0] + cell.block * AT_ONCE;
  byId("block-value").textContent = span([first, first + rowsOnShow() / TAPS]);
  paintMatrix();
  paintPlane();
  showCell();
}

function selectCell(r, j) {
  const before = rowOf(cell.r).c;
  cell.r = clamp(r, 0, rowsOnShow() - 1);
  cell.j = clamp(j, SHOWN.out_columns[0], SHOWN.out_columns[1] - 1);
  if (rowOf(cell.r).c !== before) paintPlane();
  showCell();
}

function pointAt(event) {
  const box = byId("matrix").getBoundingClientRect();
  selectCell(Math.floor((event.clientY - box.top) / box.height * rowsOnShow()),
    SHOWN.out_columns[0] + Math.floor((event.clientX - box.left) / box.width * SHOWN_COLUMNS));
}

// A pixel of the picture -> the first cell of the matrix that holds it, in the row of outputs on show where there is one.
function pointAtPlane(event) {
  const [box, plane] = [byId("plane").getBoundingClientRect(), planeBox()];
  const y = plane.y + Math.floor((event.clientY - box.top) / box.height * plane.height);
  const x = plane.x + Math.floor((event.clientX - box.left) / box.width * plane.width);
  const taps = [...Array(TAPS).keys()].map((n) => [Math.floor(n / KW), n % KW]);
  const own = rowOf(cell.r).c - SHOWN.channels[0] - cell.block * AT_ONCE;
  for (const i of [cell.i, ...Array(SHOWN.out_rows[1] - SHOWN.out_rows[0]).keys()].map((n, at) => (at ? n + SHOWN.out_rows[0] : n))) {
    for (const [u, v] of taps) {
      const j = (x + DATA.padding[1] - v * DATA.dilation[1]) / DATA.stride[1];
      if (inputAt(0, i, u) === y && Number.isInteger(j) && j >= SHOWN.out_columns[0] && j < SHOWN.out_columns[1]) {
        const moved = i !== cell.i;
        Object.assign(cell, { i, j, r: own * TAPS + u * KW + v });
        byId("out-row").value = i;
        return moved ? paintAll() : showCell();
      }
    }
  }
}

byId("matrix").addEventListener("pointermove", pointAt);
byId("matrix").addEventListener("pointerdown", pointAt);
byId("plane").addEventListener("pointermove", pointAtPlane);
byId("plane").addEventListener("pointerdown", pointAtPlane);
byId("matrix").addEventListener("keydown", (event) => {
  const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
  if (!down && !right) return;
  event.preventDefault();
  event.stopPropagation();
  selectCell(cell.r + down, cell.j + right);
});

function slider(id, min, max, value, change) {
  const input = byId(id);
  Object.assign(input, { min, max, step: 1, value });
  input.disabled = min === max;
  input.addEventListener("input", () => { change(Number(input.value)); paintAll(); });
}

slider("out-row", SHOWN.out_rows[0], SHOWN.out_rows[1] - 1, cell.i, (value) => { cell.i = value; });
slider("block", 0, Math.ceil(SHOWN_CHANNELS / AT_ONCE) - 1, 0, (value) => {
  cell.block = value;
  cell.r = Math.min(cell.r, rowsOnShow() - 1);
});
