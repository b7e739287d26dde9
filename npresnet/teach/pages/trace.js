// The page of `npresnet trace`: what the passes leave, every step, and memory over time.

const STEPS = DATA.steps;
const DEVICE = DATA.device;
const wordOf = (op) => DATA.labels[op] ?? op;
const sizeOf = (shape) => shape.join(" × ");

// --- the opening ---------------------------------------------------------------------------------------------------

byId("photo").append(make("img", { src: DATA.photo, alt: "The photo, as the network sees it" }));
say(byId("lead"), `The photo enters as ${sizeOf(DATA.input_shape)} numbers. ${plural(STEPS.length, "step")} later there `
  + `are ${whole(product(STEPS.at(-1).shape))}. On the way: `, [`${short(DATA.total_macs / 1e6)} million multiply-adds`], `, in `,
  [`${short(DATA.total_ms)} ms`], ` ${DEVICE.timed}.`);
byId("answers").append(...DATA.prediction.map(([label, score]) => {
  const bar = make("i");
  bar.style.width = `${Math.max(100 * score, .5)}%`;
  return make("li", {}, make("span", {}, label), make("b", {}, `${(100 * score).toFixed(1)} %`), bar);
}));

// --- 1 Fewer steps -------------------------------------------------------------------------------------------------

const COUNTS = [
  ["as in the checkpoint", DATA.nodes_before], ["BatchNorm folded into filters", DATA.nodes_folded],
  ["additions and activations fused", DATA.nodes_fused], ["as it runs", STEPS.length],
];

say(byId("passes-text"), `The network has `, [`${DATA.nodes_before} nodes`], `. It runs as `, [plural(STEPS.length, "step")],
  `: each BatchNorm disappears into the filter before it, and additions and activations are done while a convolution's result is still ${DEVICE.near}. `,
  DATA.taken_in.length ? `On the ${DEVICE.is_gpu ? "GPU" : "CPU"} the step before the ${DATA.taken_in.join(" and the ")} does that as well. ` : "",
  "Nothing is approximated: the function is the same.");
byId("ops").textContent = `Before: ${opsInWords(DATA.ops_before)}. After: ${opsInWords(DATA.ops_after)}.`;

function opsInWords(ops) {
  return Object.entries(ops).sort((a, b) => b[1] - a[1]).map(([op, count]) => `${wordOf(op)} × ${count}`).join(", ");
}

function drawCounts() {
  const narrow = innerWidth < 640;
  const [width, left, line] = narrow ? [340, 0, 50] : [960, 270, 36];
  const svg = byId("passes-bars");
  svg.setAttribute("viewBox", `0 0 ${width} ${COUNTS.length * line}`);
  svg.replaceChildren(...COUNTS.flatMap(([name, count], i) => {
    const [y, length] = [i * line + (narrow ? 22 : 6), (width - left - 60) * count / DATA.nodes_before];
    return [
      makeSvg("text", { x: 0, y: narrow ? y - 8 : y + 17 }, name),
      makeSvg("rect", { x: left, y, width: length, height: 24, rx: 3, fill: colour(i === COUNTS.length - 1 ? "--mark" : "--negative") }),
      makeSvg("text", { x: left + length + 8, y: y + 17, "font-weight": 650 }, String(count)),
    ];
  }));
}

// --- 2 Every step --------------------------------------------------------------------------------------------------

function describe(step) {
  const window = step.window ? `${step.window} ` : "";
  const groups = step.groups > 1 ? `, ${step.groups} groups` : "";
  const [first, ...more] = step.words;
  return `${window}${first}${groups}${more.map((word) => ` + ${word}`).join("")}`;
}

function details(step) {
  const sheet = step.maps.channels
    ? make("figure", {}, make("img", { src: step.maps.channels, alt: `The ${step.maps.strongest.length} strongest channels of ${step.name}` }),
      make("figcaption", {}, `The strongest channels: ${step.maps.strongest.join(", ")}. Each has a scale of its own.`))
    : make("figure", {}, make("figcaption", {}, "A row of numbers: there are no channels to show."));
  const facts = [
    ["does", step.nodes.map(([name]) => name).join(" → ") || "a part of the step that reads it"],
    ["reads", step.reads.map((name) => (name === "input" ? "the image" : name)).join(" and ")],
    ["computed", step.algorithm ? `${step.algorithm}, in ${plural(step.tiles, DEVICE.part)}` : `in ${plural(step.tiles, DEVICE.part)}`],
    ["values", `${short(step.maps.low)} to ${short(step.maps.high)}; ${(100 * step.maps.zeros).toFixed(0)} % are 0`],
    ["multiply-adds", whole(step.macs)],
    ["weights", whole(step.weights)],
    ["bytes moved", `${bytes(step.traffic)} at least`],
    ["time", `${short(step.ms)} ms, ${(100 * step.ms / DATA.total_ms).toFixed(1)} % of all`],
    ["speed", step.macs ? `${short(2 * step.macs / step.ms / 1e6)} GFLOP/s, counted as the direct sum` : "–"],
  ];
  return make("div", { class: "inside" }, sheet, make("dl", {}, facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])));
}

function listStep(step, n) {
  const bar = make("div", { class: "bar" });
  const element = make("details", { class: "step", id: `step-${n}` },
    make("summary", {},
      make("span", { class: "n" }, String(n + 1)),
      make("img", { class: "thumb", src: step.maps.mean, alt: "" }),
      make("span", {}, make("span", { class: "name" }, step.name), make("span", { class: "what" }, describe(step))),
      make("span", { class: "shape" }, sizeOf(step.shape)),
      make("span", { class: "macs right" }, step.macs ? `${short(step.macs / 1e6)} M` : "–"),
      make("span", { class: "ms right" }, `${step.ms.toPrecision(3)} ms`),
      make("span", { class: "track" }, bar)));
  element.addEventListener("toggle", () => {
    if (element.open && !element.querySelector(".inside")) element.append(details(step));
  });
  return element;
}

function showMeasure() {
  const measure = byId("measure").value;
  const most = Math.max(...STEPS.map((step) => step[measure]));
  STEPS.forEach((step, n) => {
    const bar = byId(`step-${n}`).querySelector(".bar");
    bar.style.width = `${100 * step[measure] / most}%`;
    bar.title = measure === "ms" ? `${short(step.ms)} ms` : measure === "traffic" ? bytes(step.traffic) : whole(step[measure]);
  });
}

byId("list").append(
  make("div", { class: "heads", "aria-hidden": "true" }, make("span"), make("span"), make("span", {}, "step"), make("span", {}, "result"),
    make("span", { class: "right" }, "multiply-adds"), make("span", { class: "right" }, "time"), make("span")),
  ...STEPS.map(listStep));
byId("measure").addEventListener("change", showMeasure);
byId("open-all").addEventListener("click", () => setAll(true));
byId("close-all").addEventListener("click", () => setAll(false));
byId("list").addEventListener("keydown", (event) => {
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!move || event.target.tagName !== "SUMMARY") return;
  const summaries = [...document.querySelectorAll(".step summary")];
  event.preventDefault();
  summaries[clamp(summaries.indexOf(event.target) + move, 0, summaries.length - 1)].focus();
});
showMeasure();
byId("steps-note").textContent = `Times are medians of a few passes ${DEVICE.timed}, every step in its place. `
  + (DATA.copying_ms ? `Copying the image in and the results out takes ${short(DATA.copying_ms)} ms more. ` : "")
  + (DEVICE.dtype === "float32" ? "" : `Values are ${DEVICE.dtype}. `)
  + `Pictures of large maps are shrunk to ${56} pixels a side and channel.`;

function setAll(open) {
  for (const step of document.querySelectorAll(".step")) step.open = open;
}

// --- 3 Memory over time --------------------------------------------------------------------------------------------

const BLOCKS = DATA.arena;
const clock = { at: 0 };  // the step that is looked at: at first the one with most bytes in use

function aliveAt(n) {
  return BLOCKS.filter((block) => block.first <= n && n <= block.last);
}

const inUse = STEPS.map((_, n) => total(aliveAt(n).map((block) => block.size)));
const peak = Math.max(...inUse);
clock.at = inUse.indexOf(peak);
say(byId("memory-text"), `All values share one block of memory, the arena. Time goes to the right, one column a step; a bar is
  one value, as high as its bytes, from the step that makes it to the last one that reads it. Values that are never needed
  together may lie at the same place. So `, [bytes(DATA.arena_bytes)], ` are enough, where the ${STEPS.length} results take `,
  [bytes(DATA.values_bytes)], ` side by side, and those of all ${DATA.nodes_before} nodes before fusing ${bytes(DATA.unfused_bytes)}. `,
  `At most ${bytes(peak)} are in use at once. The weights, ${bytes(DATA.weights_bytes)}, lie elsewhere.`);

if (BLOCKS.some((block) => block.halo)) {
  byId("halos").removeAttribute("hidden");
  byId("others").textContent = "without a border";
}

function ganttSize() {
  const narrow = innerWidth < 640;
  return narrow ? { width: 340, height: 300, left: 4, bottom: 24 } : { width: 980, height: 430, left: 64, bottom: 26 };
}

function drawGantt() {
  const { width, height, left, bottom } = ganttSize();
  const svg = byId("gantt");
  const columns = STEPS.length + 1;  // one for the image that is copied in
  const x = (n) => left + (n + 1) / columns * (width - left);
  const y = (offset) => (height - bottom) * (1 - offset / DATA.arena_bytes);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const parts = [makeSvg("rect", { x: left, y: 0, width: width - left, height: height - bottom, fill: colour("--hatch") })];
  for (const block of BLOCKS) {
    const end = Math.min(block.last, STEPS.length - 1) + 1;
    parts.push(makeSvg("rect", { class: "block", "data-name": block.name, x: x(block.first), width: Math.max(x(end) - x(block.first), 1),
      y: y(block.offset + block.size), height: Math.max(y(block.offset) - y(block.offset + block.size), 1),
      fill: colour(block.name === "input" ? "--quiet" : block.halo ? "--negative" : "--positive") }));
  }
  if (left > 20) {
    for (const share of [0, .25, .5, .75, 1]) {
      parts.push(makeSvg("text", { x: left - 8, y: clamp(y(share * DATA.arena_bytes) + 4, 11, height), "text-anchor": "end" }, bytes(share * DATA.arena_bytes)));
    }
  }
  parts.push(makeSvg("text", { x: left, y: height - 7 }, "image in"), makeSvg("text", { x: width, y: height - 7, "text-anchor": "end" }, "last step"),
    makeSvg("rect", { id: "now", y: 0, height: height - bottom, width: (width - left) / columns, fill: "none", stroke: colour("--mark"), "stroke-width": 2.5 }));
  svg.replaceChildren(...parts);
  showTime(clock.at);
}

function showTime(n) {
  const { width, left } = ganttSize();
  clock.at = clamp(n, 0, STEPS.length - 1);
  byId("now").setAttribute("x", left + (clock.at + 1) / (STEPS.length + 1) * (width - left));
  const alive = aliveAt(clock.at);
  const names = new Set(alive.map((block) => block.name));
  for (const block of byId("gantt").querySelectorAll(".block")) block.setAttribute("opacity", names.has(block.dataset.name) ? 1 : .38);
  const sum = total(alive.map((block) => block.size));
  say(byId("alive"), `Step ${clock.at + 1} of ${STEPS.length}: `, [STEPS[clock.at].name], `. In use: ${bytes(sum)}, by `,
    alive.map((block) => `${block.name === "input" ? "the image" : block.name} (${bytes(block.size)})`).join(", "), ".");
  Object.assign(byId("alive").dataset, { step: clock.at, bytes: sum });
}

function timeAt(event) {
  const box = byId("gantt").getBoundingClientRect();
  const { width, left } = ganttSize();
  const x = (event.clientX - box.left) / box.width * width;
  showTime(Math.floor((x - left) / (width - left) * (STEPS.length + 1)) - 1);
}

byId("gantt").addEventListener("pointermove", timeAt);
byId("gantt").addEventListener("pointerdown", timeAt);
byId("gantt").addEventListener("keydown", (event) => {
  const to = { ArrowLeft: clock.at - 1, ArrowRight: clock.at + 1, Home: 0, End: STEPS.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  showTime(to);
});

drawNow(() => { drawCounts(); drawGantt(); });
