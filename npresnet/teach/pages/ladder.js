// The ladder's page: bars on a logarithmic scale, and the table.

function time(ms) {
  if (ms >= 1000) return `${short(ms / 1000)} s`;
  return ms >= 0.1 ? `${short(ms)} ms` : `${short(ms * 1000)} µs`;
}

function percent(share) {
  if (share === null) return "";
  return share >= 0.1 ? `${Math.round(share * 100)} %` : `${Number((share * 100).toPrecision(2))} %`;
}

const timed = DATA.steps.filter((step) => step.ms !== null);
const slowest = Math.max(...timed.map((step) => step.ms));
const fastest = Math.min(...timed.map((step) => step.ms));
const floor = Math.floor(Math.log10(fastest)) - 0.3;
const ceiling = Math.ceil(Math.log10(slowest));

function place(ms) {
  return (100 * (Math.log10(ms) - floor)) / (ceiling - floor);
}

function bar(step) {
  if (step.ms === null) return make("div", { class: "bar failed" });
  const element = make("div", { class: step.computed < 1 ? "bar extrapolated" : "bar" });
  element.style.width = `${place(step.ms)}%`;
  return element;
}

function ticks() {
  const marks = [];
  for (let power = Math.ceil(floor); power < ceiling; power++) {
    const mark = make("div", { class: "tick" });
    mark.style.left = `${place(10 ** power)}%`;
    marks.push(mark);
  }
  return marks;
}

function code(step) {
  if (!step.code) return null;
  return make("details", { class: "small" }, make("summary", {}, `code of ${step.name}`), make("pre", { tabindex: "0" }, step.code));
}

for (const step of DATA.steps) {
  const right = step.ms === null ? make("span", { class: "failed-text" }, step.status) : make("span", { class: "time" }, time(step.ms));
  byId("bars").append(
    make(
      "div",
      { class: "rung", role: "listitem" },
      make("div", { class: "what" }, make("span", {}, make("b", {}, step.name), ` ${step.idea}`), right),
      make("div", { class: "track", "aria-hidden": "true" }, bar(step), ...ticks()),
      step.note ? make("p", { class: "small note" }, step.note) : null,
      code(step),
    ),
  );
  const figures = step.ms === null
    ? ["", "", "", "", ""]
    : [short(step.ms), short(step.gflops), percent(step.of_peak), short(step.gb_per_s), percent(step.of_bandwidth)];
  const error = step.error === null ? "" : short(step.error);
  byId("rows").append(
    make(
      "tr",
      {},
      make("td", {}, step.name),
      ...[...figures, error, whole(step.lines)].map((text) => make("td", { class: "figure" }, text)),
      make("td", { class: step.status === "equal" ? "" : "failed-text" }, step.status),
    ),
  );
}

const [, channels, height, width] = DATA.shape.out;
const [, seen, kernelHeight, kernelWidth] = DATA.shape.weight;
say(
  byId("size"),
  `${plural(channels, "filter")} of ${seen} × ${kernelHeight} × ${kernelWidth} on ${height} × ${width} places: `,
  [`${whole(DATA.macs)} multiply-adds`],
  ", and at least ",
  [bytes(DATA.size_bytes)],
  " to read and write.",
);
if (timed.length > 1) {
  const first = timed[0], last = timed[timed.length - 1];
  say(byId("gain"), `From ${first.name} to ${last.name}: `, [`${whole(first.ms / last.ms)} times faster`], ", with the same result.");
}
const cropped = timed.filter((step) => step.computed < 1);
byId("extrapolated").textContent = cropped
  .map((step) => `${step.name} (striped) computed ${percent(step.computed)} of the layer; its time is extrapolated to all of it.`)
  .join(" ");
byId("ceilings").textContent =
  `One thread of this machine multiplies matrices at ${short(DATA.gemm_peak_gflops)} GFLOP/s (1024 × 1024, the best of several) ` +
  `and copies memory at ${short(DATA.bandwidth_gb_per_s)} GB/s, read and written.`;
byId("machine").textContent = DATA.conditions;
