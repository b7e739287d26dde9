// Sections 3 and 4: what follows the sum, and the same number in other ways.

const ACTIVATION = DATA.activation && DATA.labels[DATA.activation];  // null where the step has none

// --- 3 After the sum -----------------------------------------------------------------------------------------------

function row(cells, kind = "td") {
  return make("tr", {}, cells.map((cell, i) => make(kind, i ? { class: "figure" } : {}, cell)));
}

function sumTable(rows, last) {
  const table = make("table", { class: "sums" }, rows.map((cells) => row(cells)), row(last));
  table.lastChild.className = "total";
  return table;
}

function showNorm() {
  const norm = DATA.norm;
  if (!norm) {
    say(byId("norm").appendChild(make("p")), "No BatchNorm follows this convolution. Its bias is ", [short(DATA.bias)], ".");
    return;
  }
  const root = Math.sqrt(norm.var + norm.eps);
  byId("norm").append(
    make("p", {}, `A BatchNorm (${norm.name}) follows. In training it adapts; in use its four numbers a channel are
      constants, so it is a line, y = scale · x + shift. A line of a sum is a sum with other weights: multiply the filter
      by scale once, before anything runs, and the BatchNorm is gone.`),
    make("div", { class: "two" },
      make("div", { class: "card" }, make("h3", {}, "As trained: convolution, then BatchNorm"),
        sumTable([
          [`sum of products, with the filter as trained${DATA.raw_bias ? ", plus its bias" : ""}`, short(DATA.raw_sum + DATA.raw_bias)],
          ["minus the running mean", `${MINUS} (${short(norm.mean)})`],
          [`divided by √(variance + eps) = √(${short(norm.var)} + ${norm.eps})`, `÷ ${short(root)}`],
          ["times gamma", `× ${short(norm.gamma)}`],
          ["plus beta", `+ (${short(norm.beta)})`],
        ], ["", exact(((DATA.raw_sum + DATA.raw_bias) - norm.mean) / root * norm.gamma + norm.beta)])),
      make("div", { class: "card" }, make("h3", {}, "As run: folded into filter and bias"),
        sumTable([
          ["scale = gamma ÷ √(variance + eps)", short(norm.scale)],
          [make("span", { id: "folded-tap" }), make("span", { id: "folded-value" })],
          [`bias = (${short(DATA.raw_bias)} ${MINUS} mean) · scale + beta`, short(DATA.bias)],
          ["sum of products, with the folded filter", short(DATA.products_sum)],
          ["plus bias", `+ (${short(DATA.bias)})`],
        ], ["", exact(DATA.output)]))),
  );
}

function showFoldedTap() {
  if (!DATA.norm) return;
  const { c, u, v } = tapOf(stepping.at);
  byId("folded-tap").textContent = `weight, for example channel ${DATA.channels[0] + c}, tap ${u},${v}: ${short(RAW_WEIGHT[stepping.at])} × scale`;
  byId("folded-value").textContent = short(WEIGHT[stepping.at]);
}

// Each stage: what it is called, the value after it, and what it adds (null: not a sum).
function stages() {
  const list = [["sum of products", DATA.products_sum, DATA.products_sum], [DATA.norm ? "+ folded bias" : "+ bias", DATA.output, DATA.bias]];
  if (DATA.residual !== null) list.push([`+ residual`, DATA.output + DATA.residual, DATA.residual]);
  if (DATA.activation) list.push([ACTIVATION, DATA.step_output, null]);
  return list;
}

function drawWaterfall() {
  const list = stages();
  const narrow = innerWidth < 640;
  const [width, left, right, line] = narrow ? [340, 4, 4, 62] : [960, 210, 120, 44];
  const values = list.flatMap(([, after, adds]) => [after, adds === null ? after : after - adds]).concat(0);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (value) => left + (value - low) / (high - low || 1) * (width - left - right);
  const svg = byId("waterfall");
  svg.setAttribute("viewBox", `0 0 ${width} ${list.length * line + 6}`);
  svg.replaceChildren(makeSvg("line", { x1: x(0), x2: x(0), y1: 0, y2: list.length * line, stroke: colour("--line") }));
  list.forEach(([name, after, adds], i) => {
    const from = adds === null ? 0 : after - adds;
    const top = i * line + (narrow ? 26 : 8);
    const middle = narrow ? i * line + 14 : top + 13;
    svg.append(
      makeSvg("rect", { x: Math.min(x(from), x(after)), y: top, width: Math.max(Math.abs(x(after) - x(from)), 1.5), height: 26, rx: 3,
        fill: adds === null ? colour("--ink") : adds < 0 ? colour("--negative") : colour("--positive") }),
      makeSvg("text", { x: 4, y: middle, "dominant-baseline": "central" }, name),
      makeSvg("text", { x: width - 4, y: middle, "text-anchor": "end", "dominant-baseline": "central", "font-weight": 650 }, short(after)),
    );
    if (i && adds !== null) svg.append(makeSvg("line", { x1: x(from), x2: x(from), y1: top - line + 26, y2: top, stroke: colour("--quiet"), "stroke-dasharray": "3 3" }));
  });
}

showNorm();
const after = [`The sum is ${short(DATA.products_sum)}. With the bias it is `, [short(DATA.output)], ". "];
if (DATA.residual !== null) after.push(`The shortcut (${DATA.residual_name}) adds its value at the same place, `, [short(DATA.residual)], ". ");
if (ACTIVATION) {
  const before = DATA.output + Math.fround(DATA.residual ?? 0);
  after.push(before === DATA.step_output ? `The ${ACTIVATION} leaves it as it is. ` : `The ${ACTIVATION} makes it ${short(DATA.step_output)}. `);
}
after.push("The layer hands on ", [exact(DATA.step_output)], ".");
say(byId("steps-text"), ...after);

// --- 4 The same number again ---------------------------------------------------------------------------------------

function hex(bits, reference) {
  let same = 0;
  while (same < bits.length && bits[same] === reference[same]) same++;
  return make("span", { class: "mono hex" }, bits.slice(0, same), make("b", {}, bits.slice(same)));
}

function showWays() {
  const ends = DATA.residual !== null || DATA.activation !== null;
  const heads = ["way", "sum + bias", "its 32 bits", "ULPs"].concat(ends ? ["handed on", "ULPs"] : []);
  const reference = DATA.ways[0].bits;
  byId("ways").append(make("thead", {}, make("tr", {}, heads.map((head, i) => make("th", { class: i ? "figure" : null, scope: "col" }, head)))));
  const body = make("tbody");
  for (const way of DATA.ways) {
    const cells = [exact(way.output), hex(way.bits, reference), String(way.ulps ?? "–")].concat(ends ? [exact(way.step_output), String(way.step_ulps ?? "–")] : []);
    body.append(make("tr", { class: way.name === "fused step" ? "engine" : null, "data-way": way.name },
      make("td", {}, make("b", {}, way.name), make("br"), make("span", { class: "small quiet" }, way.text)),
      cells.map((cell) => make("td", { class: "figure" }, cell))));
  }
  byId("ways").append(body);
  const parts = DATA.step.map(([, op]) => DATA.labels[op]);
  say(byId("ways-text"), `The right number is a float64 sum of the same float32 products: ${signed(String(DATA.output))}. `,
    `Marked bits differ from the loop's. The fused step does ${parts.join(", ")} in one pass, while the result is ${DATA.device.near}; it was computed as “${DATA.engine.algorithm}”. `,
    DATA.device.dtype !== "float32" ? `It multiplies numbers rounded to ${DATA.device.dtype}: that is why it is further off. `
    : DATA.engine.algorithm.startsWith("winograd") ? "Winograd's method needs fewer products than the plain sum, and pays with a few last bits." : "");
}

showWays();
drawNow(() => { stepping.sheet = -1; goTo(stepping.at); drawWaterfall(); });

byId("others").textContent = DATA.other_layers.join("  ");
