// Section 5, its picture and words, and section 6: the whole product, what the matrix costs, and how npresnet avoids it.

// --- the three matrices, about to scale ----------------------------------------------------------------------------

function drawProduct() {
  const narrow = innerWidth < 640;
  const length = (count, most) => 16 + (most - 16) * Math.log2(1 + count) / Math.log2(1 + Math.max(M.positions, M.depth, M.rows));
  const most = narrow ? 120 : 230;
  const [rows, depth, positions] = [M.rows, M.depth, M.positions].map((count) => length(count, most));
  const [top, gap, left] = [26, narrow ? 22 : 50, 4];
  const height = Math.max(depth, rows) + top + 44;
  const svg = byId("product");
  const block = (x, width, tall, name, size, marks) => {
    const y = top + (Math.max(depth, rows) - tall) / 2;
    const parts = [makeSvg("rect", { x, y, width, height: tall, fill: colour("--card") })];
    if (marks.y !== undefined) parts.push(makeSvg("line", { x1: x, x2: x + width, y1: y + marks.y * tall, y2: y + marks.y * tall, stroke: colour("--mark"), "stroke-width": 2.5 }));
    if (marks.x !== undefined) parts.push(makeSvg("line", { x1: x + marks.x * width, x2: x + marks.x * width, y1: y, y2: y + tall, stroke: colour("--mark"), "stroke-width": 2.5 }));
    if (marks.both) parts.splice(1, 2, makeSvg("circle", { cx: x + marks.x * width, cy: y + marks.y * tall, r: 5, fill: colour("--mark") }));
    parts.push(makeSvg("text", { x: x + width / 2, y: y - 9, "text-anchor": "middle" }, name));
    parts.push(makeSvg("text", { x: x + width / 2, y: y + tall + 18, "text-anchor": "middle", class: "quietly" }, size));
    return parts;
  };
  const at = { y: (DATA.channel % M.rows + .5) / M.rows, x: (DATA.row * OUT_WIDTH + DATA.col + .5) / M.positions };
  const [x2, x3] = [left + depth + gap, left + depth + positions + 2 * gap];
  const sign = (x, text) => makeSvg("text", { x, y: top + Math.max(depth, rows) / 2, "text-anchor": "middle", "dominant-baseline": "central", "font-size": 20 }, text);
  svg.setAttribute("viewBox", `0 0 ${x3 + positions + 8} ${height}`);
  svg.setAttribute("aria-label", `Filters, ${M.rows} by ${M.depth}, times columns, ${M.depth} by ${M.positions}, gives the output, ${M.rows} by ${M.positions}`);
  svg.replaceChildren(
    ...block(left, depth, rows, "filters", `${whole(M.rows)} × ${whole(M.depth)}`, { y: at.y }), sign(x2 - gap / 2, "×"),
    ...block(x2, positions, depth, "columns", `${whole(M.depth)} × ${whole(M.positions)}`, { x: at.x }), sign(x3 - gap / 2, "="),
    ...block(x3, positions, rows, "output", `${whole(M.rows)} × ${whole(M.positions)}`, { ...at, both: true }));
}

// The filters of all groups as one matrix: blocks along the diagonal, zeros elsewhere.
function drawGroups() {
  if (M.groups === 1) return;
  const [count, size] = [Math.min(M.groups, 32), 190];
  const block = size / count;
  const own = Math.floor(DATA.channel / M.rows * count / M.groups);
  const svg = byId("groups");
  svg.removeAttribute("hidden");
  svg.setAttribute("viewBox", `0 0 ${innerWidth < 640 ? 370 : 680} ${size + 4}`);
  svg.setAttribute("aria-label", `The filters of ${M.groups} groups as one matrix: blocks along its diagonal`);
  svg.replaceChildren(
    makeSvg("rect", { x: 2, y: 2, width: size, height: size, fill: colour("--card") }),
    ...[...Array(count).keys()].map((g) => makeSvg("rect", { x: 2 + g * block, y: 2 + g * block, width: block, height: block,
      fill: colour(g === own ? "--mark" : "--line") })),
    makeSvg("text", { x: size + 18, y: 24, class: "quietly" }, `all filters, ${whole(M.rows * M.groups)} × ${whole(M.depth * M.groups)}`),
    makeSvg("text", { x: size + 18, y: 44, class: "quietly" }, "outside the blocks: zeros"),
    makeSvg("text", { x: size + 18, y: 64, class: "quietly" }, count < M.groups ? `${count} of ${M.groups} blocks drawn` : ""));
}

// --- words ---------------------------------------------------------------------------------------------------------

function tellCase() {
  const parts = [];
  if (M.is_the_image) {
    parts.push(["A 1 × 1 filter needs no copy. "], "Each window sees one pixel, so a column is one pixel's channels: the matrix is the input itself, read as it lies in memory. ");
  } else if (TAPS === 1) {
    parts.push(["A 1 × 1 filter with a stride "], `picks every ${ordinal(Math.max(...DATA.stride))} pixel of a row and skips the rest: the matrix is smaller than the picture. `);
  } else {
    parts.push(`Windows overlap, so most pixels are copied several times: up to ${largest(M.copies_rows) * largest(M.copies_columns)} times here. `);
  }
  if (M.groups > 1) {
    parts.push([`${M.groups} groups: `], `the layer is ${M.groups} separate products, one a group, each with ${whole(M.depth)} rows of its own. As one matrix, the filters would be blocks along the diagonal and zeros elsewhere. Shown is group ${Math.floor(DATA.channels[0] / CHANNELS)}. `);
  }
  if (Math.max(...DATA.dilation) > 1) {
    parts.push([`Dilation ${DATA.dilation.join(" × ")}: `], "the taps stand apart, so the patch is wide and has holes. The matrix has the same size as without; only the addresses differ. ");
  }
  say(byId("case"), ...parts);
  const here = M.copies_rows[clamp(inputAt(0, DATA.row, KH >> 1), 0, HEIGHT - 1)] * M.copies_columns[clamp(inputAt(1, DATA.col, KW >> 1), 0, WIDTH - 1)];
  const mean = total(M.copies_rows) * total(M.copies_columns) / (HEIGHT * WIDTH);
  byId("bytes").append(
    row(["the input", bytes(M.input_bytes), ""]),
    row([M.is_the_image ? "the matrix: the same bytes, not copied" : "the matrix", bytes(M.columns_bytes), times(M.columns_bytes / M.input_bytes)]),
    row(["the filters", bytes(M.weight_bytes), ""]),
    row(["copies of a pixel, on average", "", times(mean)]),
    row(["copies of the pixel in the middle of our patch", "", times(here)]),
    row(["multiply-adds of the layer", whole(M.macs), ""]));
  byId("cut").textContent = SHOWN.cut ? `To keep this page small, the matrix above is made of ${SHOWN.cut}. All other numbers are of the whole layer.` : "";
}

function tellEngine() {
  const { algorithm, tiles, takes_in: takesIn } = DATA.engine;
  const how = algorithm.startsWith("winograd")
    ? "Here npresnet goes another way: Winograd's algorithm transforms small tiles of the picture, and needs fewer products than the matrix has."
    : DATA.device.is_gpu ? "So do npresnet's kernels on a GPU: each tile of the matrix is fetched from where it lies in the picture, and used at once."
    : M.is_the_image ? "Here npresnet multiplies the input where it lies: a 1 × 1 filter has no matrix to build."
    : "npresnet stands between the two: it builds the matrix tile by tile, in a piece of memory that fits the cache, and uses it at once.";
  say(byId("engine-text"), how, ` This step is `, [algorithm], `, in ${plural(tiles, DATA.device.part)}.`,
    takesIn.length ? ` In the whole network it also does the ${takesIn.join(" and the ")} that follows, so that its own feature map is never written out.` : "");
}

tellCase();
tellEngine();
cell.r = clamp(Math.floor(TAPS / 2), 0, rowsOnShow() - 1);
drawNow(() => { drawProduct(); drawGroups(); paintAll(); });
